//! What `commit.lua` does.

use redis::Value;

use super::commands::{self, Problem, number};
use super::data::{Keyspace, Score};

/// `words`: the number of keys, the keys, and the script's arguments.
pub(super) fn run(keys: &mut Keyspace, now_us: i64, words: &[&[u8]]) -> Result<Value, Problem> {
    let [count, rest @ ..] = words else { return Err(Problem::Syntax) };
    let (names, arguments) = rest.split_at_checked(number(count)?).ok_or(Problem::Syntax)?;
    let named = |word: &[u8]| -> Result<&[u8], Problem> {
        number::<usize>(word)?.checked_sub(1).and_then(|at| names.get(at)).copied().ok_or(Problem::Syntax)
    };
    let [checks, rest @ ..] = arguments else { return Err(Problem::Syntax) };
    let checks: usize = number(checks)?;
    let (checked, mut rest) = rest.split_at_checked(checks * 4).ok_or(Problem::Syntax)?;
    for (nth, check) in checked.chunks_exact(4).enumerate() {
        let [kind, key, x, y] = check else { return Err(Problem::Syntax) };
        if !holds(keys, now_us, kind, named(key)?, x, y, named)? {
            return Ok(Value::Int(nth as i64 + 1));
        }
    }
    while let [count, after @ ..] = rest {
        let (words, behind) = after.split_at_checked(number(count)?).ok_or(Problem::Syntax)?;
        rest = behind;
        let [name, key, arguments @ ..] = words else { return Err(Problem::Syntax) };
        let key = named(key)?;
        if *name == b"TAKEUNLESS" {
            let [member, other] = arguments else { return Err(Problem::Syntax) };
            if size(keys, now_us, named(other)?)? == 0 {
                keys.change_sorted(key, now_us, |set| set.take(member))?;
            }
            continue;
        }
        if *name == b"PUTNEXT" {
            let [member, counter, field, least] = arguments else { return Err(Problem::Syntax) };
            let last: Option<&Vec<u8>> =
                keys.hash(named(counter)?, now_us)?.and_then(|fields| fields.get(*field));
            let last: u64 = last.map_or(Ok(0), |last| number(last))?;
            let next = (last + 1).max(number(least)?).to_string();
            for command in [
                vec![b"HSET".as_slice(), named(counter)?, field, next.as_bytes()],
                vec![b"ZADD".as_slice(), key, next.as_bytes(), member],
            ] {
                if let error @ Value::ServerError(_) = commands::answer(keys, now_us, &command) {
                    return Ok(error);
                }
            }
            continue;
        }
        let command: Vec<&[u8]> = [*name, key].into_iter().chain(arguments.iter().copied()).collect();
        if let error @ Value::ServerError(_) = commands::answer(keys, now_us, &command) {
            // As Lua's `call`: what was done before stays.
            return Ok(error);
        }
    }
    Ok(Value::Int(0))
}

fn holds<'a>(
    keys: &mut Keyspace,
    now_us: i64,
    kind: &[u8],
    key: &[u8],
    x: &[u8],
    y: &[u8],
    named: impl Fn(&[u8]) -> Result<&'a [u8], Problem>,
) -> Result<bool, Problem> {
    Ok(match kind {
        b"is" => keys.hash(key, now_us)?.and_then(|fields| fields.get(x)).is_some_and(|value| value == y),
        b"absent" => !keys.hash(key, now_us)?.is_some_and(|fields| fields.contains_key(x)),
        b"size" => size(keys, now_us, key)? == number::<i64>(x)?,
        b"score" => {
            let wanted = Score(number(y)?);
            keys.sorted(key, now_us)?.and_then(|set| set.score(x)) == Some(wanted)
        }
        _ => {
            let ahead = size(keys, now_us, key)? - size(keys, now_us, named(x)?)?;
            let wanted: i64 = number(y)?;
            if kind == b"ahead" { ahead == wanted } else { ahead >= wanted }
        }
    })
}

fn size(keys: &mut Keyspace, now_us: i64, key: &[u8]) -> Result<i64, Problem> {
    Ok(keys.sorted(key, now_us)?.map_or(0, |set| set.len() as i64))
}
