//! The commands, each as Redis has it.

use redis::Value;

use super::commit;
use super::data::{Kept, Keyspace, Score, SortedSet, WrongType, error};

/// Carries out one command: its name and its arguments.
pub(super) fn answer(keys: &mut Keyspace, now_us: i64, words: &[&[u8]]) -> Value {
    let [name, arguments @ ..] = words else { return error("ERR", "an empty command") };
    carried_out(keys, now_us, name, arguments).unwrap_or_else(|problem| match problem {
        Problem::WrongType => error("WRONGTYPE", "Operation against a key holding the wrong kind of value"),
        Problem::Syntax => {
            error("ERR", &format!("the model has no such command: {}", String::from_utf8_lossy(name)))
        }
    })
}

/// Why a command was not carried out.
pub(super) enum Problem {
    WrongType,
    Syntax,
}

impl From<WrongType> for Problem {
    fn from(_: WrongType) -> Problem {
        Problem::WrongType
    }
}

fn carried_out(keys: &mut Keyspace, now_us: i64, name: &[u8], arguments: &[&[u8]]) -> Result<Value, Problem> {
    Ok(match (name, arguments) {
        (b"TIME", []) => {
            let parts = [now_us.div_euclid(1_000_000), now_us.rem_euclid(1_000_000)];
            Value::Array(parts.map(|part| text(part.to_string().into_bytes())).to_vec())
        }
        (b"INFO", _) => text(INFO.as_bytes().to_vec()),
        (b"CONFIG", [_, name]) => {
            let value: &[u8] = match *name {
                b"appendonly" => b"yes",
                b"appendfsync" => b"always",
                b"maxmemory-policy" => b"noeviction",
                b"no-appendfsync-on-rewrite" => b"no",
                _ => return Ok(Value::Array(Vec::new())),
            };
            Value::Array(vec![text(name.to_vec()), text(value.to_vec())])
        }
        // It has no replicas.
        (b"WAIT", [_, _]) => Value::Int(0),
        (b"EVALSHA" | b"EVAL", [_, rest @ ..]) => commit::run(keys, now_us, rest)?,
        (b"EXISTS", [key]) => Value::Int(keys.get(key, now_us).is_some().into()),
        (b"GET", [key]) => match keys.get(key, now_us) {
            None => Value::Nil,
            Some(Kept::Text(value)) => text(value.clone()),
            Some(_) => return Err(Problem::WrongType),
        },
        (b"SET", [key, value, options @ ..]) => match options {
            [b"PX", ms] => {
                let ms: i64 = number(ms)?;
                set(keys, key, value, Some(now_us + ms * 1_000))
            }
            [b"NX"] if keys.get(key, now_us).is_some() => Value::Nil,
            [] | [b"NX"] => set(keys, key, value, None),
            _ => return Err(Problem::Syntax),
        },
        (b"INCR", [key]) => {
            let before = match keys.get(key, now_us) {
                None => 0,
                Some(Kept::Text(value)) => number::<i64>(value)?,
                Some(_) => return Err(Problem::WrongType),
            };
            keys.set(key, (before + 1).to_string().as_bytes(), None);
            Value::Int(before + 1)
        }
        (b"UNLINK" | b"DEL", [key]) => Value::Int(keys.remove(key, now_us).into()),
        (b"PEXPIRE", [key, ms]) => {
            let ms: i64 = number(ms)?;
            Value::Int(keys.expire(key, now_us, now_us + ms * 1_000).into())
        }
        (b"SCAN", [_, b"MATCH", pattern, ..]) => {
            let begin = pattern.strip_suffix(b"*").ok_or(Problem::Syntax)?;
            let names = keys.names().filter(|name| name.starts_with(begin));
            Value::Array(vec![
                text(b"0".to_vec()),
                Value::Array(names.map(|name| text(name.to_vec())).collect()),
            ])
        }
        (_, [key, rest @ ..]) if name.starts_with(b"H") => of_hash(keys, now_us, name, key, rest)?,
        (_, [key, rest @ ..]) if name.starts_with(b"Z") => of_sorted_set(keys, now_us, name, key, rest)?,
        _ => return Err(Problem::Syntax),
    })
}

const INFO: &str = "redis_version:7.2.0\r\naof_enabled:1\r\nmaxmemory_policy:noeviction\r\n";

fn set(keys: &mut Keyspace, key: &[u8], value: &[u8], until_us: Option<i64>) -> Value {
    keys.set(key, value, until_us);
    Value::Okay
}

fn of_hash(
    keys: &mut Keyspace,
    now_us: i64,
    name: &[u8],
    key: &[u8],
    arguments: &[&[u8]],
) -> Result<Value, Problem> {
    let fields = match name {
        b"HSET" | b"HSETNX" | b"HDEL" => None,
        _ => keys.hash(key, now_us)?,
    };
    let found = |field: &[u8]| {
        fields.and_then(|fields| fields.get(field)).map_or(Value::Nil, |value| text(value.clone()))
    };
    let all = fields.into_iter().flatten();
    Ok(match (name, arguments) {
        (b"HGET", [field]) => found(field),
        (b"HMGET", wanted) => Value::Array(wanted.iter().map(|field| found(field)).collect()),
        (b"HGETALL", []) => {
            Value::Array(all.flat_map(|(name, value)| [text(name.clone()), text(value.clone())]).collect())
        }
        (b"HKEYS", []) => Value::Array(all.map(|(name, _)| text(name.clone())).collect()),
        (b"HVALS", []) => Value::Array(all.map(|(_, value)| text(value.clone())).collect()),
        (b"HLEN", []) => count(all.count()),
        (b"HEXISTS", [field]) => Value::Int((found(field) != Value::Nil).into()),
        (b"HSET", pairs) if !pairs.is_empty() && pairs.len().is_multiple_of(2) => {
            let new = keys.change_hash(key, now_us, |fields| {
                let mut new = 0;
                for pair in pairs.chunks_exact(2) {
                    if let Some(value) = fields.get_mut(pair[0]) {
                        pair[1].clone_into(value);
                    } else {
                        fields.insert(pair[0].to_vec(), pair[1].to_vec());
                        new += 1;
                    }
                }
                new
            })?;
            count(new)
        }
        (b"HSETNX", [field, value]) => {
            let new = keys.change_hash(key, now_us, |fields| {
                let new = !fields.contains_key(*field);
                if new {
                    fields.insert(field.to_vec(), value.to_vec());
                }
                new
            })?;
            Value::Int(new.into())
        }
        (b"HDEL", names) => {
            let gone = keys.change_hash(key, now_us, |fields| {
                names.iter().filter(|name| fields.remove(**name).is_some()).count()
            })?;
            count(gone)
        }
        _ => return Err(Problem::Syntax),
    })
}

fn of_sorted_set(
    keys: &mut Keyspace,
    now_us: i64,
    name: &[u8],
    key: &[u8],
    arguments: &[&[u8]],
) -> Result<Value, Problem> {
    match (name, arguments) {
        (b"ZADD", [b"XX", score, member]) => {
            let score = Score(number(score)?);
            if keys.sorted(key, now_us)?.is_some_and(|set| set.contains(member)) {
                keys.change_sorted(key, now_us, |set| set.put(score, member))?;
            }
            return Ok(Value::Int(0));
        }
        (b"ZADD", pairs) if !pairs.is_empty() && pairs.len().is_multiple_of(2) => {
            let scores = pairs.chunks_exact(2).map(|pair| number(pair[0]).map(Score));
            let scores = scores.collect::<Result<Vec<_>, _>>()?;
            let new = keys.change_sorted(key, now_us, |set| {
                let members = pairs.chunks_exact(2).map(|pair| pair[1]);
                scores.into_iter().zip(members).filter(|(score, member)| set.put(*score, member)).count()
            })?;
            return Ok(count(new));
        }
        (b"ZREM", members) => {
            let gone = keys
                .change_sorted(key, now_us, |set| members.iter().filter(|member| set.take(member)).count())?;
            return Ok(count(gone));
        }
        (b"ZREMRANGEBYSCORE", [min, max]) => {
            let (min, max) = (Bound::parse(min)?, Bound::parse(max)?);
            let gone = keys.change_sorted(key, now_us, |set| {
                let within = within(set, min, max).map(|(_, member)| member.to_vec());
                let members: Vec<_> = within.collect();
                members.iter().filter(|member| set.take(member)).count()
            })?;
            return Ok(count(gone));
        }
        (b"ZINTER", [first, second]) => {
            let other: Vec<Vec<u8>> = keys
                .sorted(second, now_us)?
                .map(|set| set.iter().map(|(_, member)| member.to_vec()).collect())
                .unwrap_or_default();
            let Some(set) = keys.sorted(first, now_us)? else { return Ok(Value::Array(Vec::new())) };
            let both = other.into_iter().filter(|member| set.contains(member));
            return Ok(Value::Array(both.map(text).collect()));
        }
        _ => {}
    }
    let nothing = SortedSet::default();
    let set = keys.sorted(key, now_us)?.unwrap_or(&nothing);
    Ok(match (name, arguments) {
        (b"ZCARD", []) => count(set.len()),
        (b"ZSCORE", [member]) => {
            set.score(member).map_or(Value::Nil, |score| text(score.0.to_string().into_bytes()))
        }
        (b"ZCOUNT", [min, max]) => count(within(set, Bound::parse(min)?, Bound::parse(max)?).count()),
        (b"ZRANGE", [first, last, rest @ ..]) => {
            listed(by_place(set.iter(), set.len(), number(first)?, number(last)?), rest)?
        }
        (b"ZREVRANGE", [first, last, rest @ ..]) => {
            listed(by_place(set.iter().rev(), set.len(), number(first)?, number(last)?), rest)?
        }
        (b"ZRANGEBYSCORE", [min, max, rest @ ..]) => {
            listed(within(set, Bound::parse(min)?, Bound::parse(max)?), rest)?
        }
        (b"ZREVRANGEBYSCORE", [max, min, rest @ ..]) => {
            listed(within(set, Bound::parse(min)?, Bound::parse(max)?).rev(), rest)?
        }
        _ => return Err(Problem::Syntax),
    })
}

/// An end of a span of scores.
#[derive(Clone, Copy)]
struct Bound {
    score: f64,
    excluded: bool,
}

impl Bound {
    fn parse(word: &[u8]) -> Result<Bound, Problem> {
        let (excluded, word) = word.strip_prefix(b"(").map_or((false, word), |word| (true, word));
        Ok(Bound { score: number(word)?, excluded })
    }
}

fn within(set: &SortedSet, min: Bound, max: Bound) -> impl DoubleEndedIterator<Item = (Score, &[u8])> {
    set.between(Score(min.score), Score(max.score)).filter(move |(score, _)| {
        (!min.excluded || score.0 > min.score) && (!max.excluded || score.0 < max.score)
    })
}

fn by_place<'a>(
    members: impl Iterator<Item = (Score, &'a [u8])>,
    len: usize,
    first: i64,
    last: i64,
) -> impl Iterator<Item = (Score, &'a [u8])> {
    let place = |place: i64| if place < 0 { place + len as i64 } else { place };
    let (first, last) = (place(first).max(0), place(last));
    members.skip(first as usize).take((last - first + 1).max(0) as usize)
}

/// Members as they are asked for: with scores, a part of them.
fn listed<'a>(members: impl Iterator<Item = (Score, &'a [u8])>, options: &[&[u8]]) -> Result<Value, Problem> {
    let (scores, options) = match options {
        [b"WITHSCORES", rest @ ..] => (true, rest),
        rest => (false, rest),
    };
    let (offset, limit) = match options {
        [] => (0, usize::MAX),
        [b"LIMIT", offset, limit] => (number(offset)?, number(limit)?),
        _ => return Err(Problem::Syntax),
    };
    let mut list = Vec::new();
    for (score, member) in members.skip(offset).take(limit) {
        list.push(text(member.to_vec()));
        if scores {
            list.push(text(score.0.to_string().into_bytes()));
        }
    }
    Ok(Value::Array(list))
}

fn text(bytes: Vec<u8>) -> Value {
    Value::BulkString(bytes)
}

fn count(number: usize) -> Value {
    Value::Int(number as i64)
}

pub(super) fn number<T: std::str::FromStr>(word: &[u8]) -> Result<T, Problem> {
    super::super::batch::parse(word).ok_or(Problem::Syntax)
}
