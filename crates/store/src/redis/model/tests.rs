//! The same commits and commands on the model and on a real server have the same answers.

use std::sync::{Mutex, PoisonError};

use isochrone_testkit::RedisServer;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use super::super::commit::Commit;
use super::super::keys::Shard;
use super::super::link::Link;
use super::*;
use crate::redis::address::Address;
use crate::redis::commit::commit_together;

/// The way to a server of one's own.
#[derive(Default)]
struct Direct(Mutex<Server>);

#[async_trait]
impl Transport for Direct {
    async fn send(&self, request: Request) -> Result<Response> {
        Ok(self.0.lock().unwrap_or_else(PoisonError::into_inner).answer(&request, |_| false))
    }
}

/// Few names, so that they meet: hashes and sorted sets; texts have names of their own.
const HASHES: [&str; 2] = ["h1", "h2"];
const SETS: [&str; 3] = ["z1", "z2", "z3"];
const TEXTS: [&str; 2] = ["t1", "t2"];
const FIELDS: [&str; 4] = ["v", "b", "t", "x"];
const MEMBERS: [&str; 5] = ["aa", "ab", "b", "c", "d"];
const SCORES: [f64; 6] = [-1.0, 0.0, 3.0, 3.000_976_562_5, 1_893_499_200_000.0, 1_893_499_200_000.5];

/// A step's checks and commands: each by what it is, and by what it is about.
type Step = (Vec<(u8, u8, u8, u8)>, Vec<(u8, u8, u8, u8)>);

fn pick<T: Copy>(among: &[T], by: u8) -> T {
    among[usize::from(by) % among.len()]
}

/// A key as the tests have it: beside others in one shard, apart from other cases'.
fn key(case: u64, name: &str) -> String {
    format!("{case}:{}:{name}", Shard::COMMON.tag())
}

fn commit(case: u64, (checks, commands): &Step) -> Commit {
    let mut commit = Commit::new(Shard::COMMON);
    for (kind, a, b, c) in checks {
        let (hash, field) = (key(case, pick(&HASHES, *a)), pick(&FIELDS, *b));
        let (set, other) = (key(case, pick(&SETS, *a)), key(case, pick(&SETS, *b)));
        match kind % 6 {
            0 => commit.check_is(&hash, field, c % 3),
            1 => commit.check_absent(&hash, field),
            2 => commit.check_size(&set, u64::from(c % 3)),
            3 => commit.check_score(&set, pick(&MEMBERS, *b), pick(&SCORES, *c)),
            4 => commit.check_ahead(&set, &other, u64::from(c % 2)),
            _ => commit.check_ahead_at_least(&set, &other, u64::from(c % 2)),
        }
    }
    for (kind, a, b, c) in commands {
        let (hash, field) = (key(case, pick(&HASHES, *a)), pick(&FIELDS, *b));
        let (set, other) = (key(case, pick(&SETS, *a)), key(case, pick(&SETS, *c)));
        let (member, score) = (pick(&MEMBERS, *b), pick(&SCORES, *c));
        let value = (c % 3).to_string();
        match kind % 13 {
            0 => commit.set(&hash, &[(field, value.as_bytes()), (pick(&FIELDS, *c), b"2")]),
            1 => commit.set_new(&hash, field, value.as_bytes()),
            2 => commit.unset(&hash, &[field, pick(&FIELDS, *c)]),
            3..=5 => commit.put(&set, score, member),
            6 => commit.take(&set, member),
            7 => commit.take_unless(&set, member, &other),
            8 => commit.take_until(&set, score),
            9 => commit.keep(&key(case, pick(&TEXTS, *a)), value.as_bytes()),
            11 => commit.put_next(&set, member, (&key(case, "counter"), "last"), u64::from(*c) << 45),
            10 => commit.expire(&hash, std::time::Duration::from_hours(1)),
            _ => commit.delete(&if c % 2 == 0 { hash } else { set }),
        }
    }
    commit
}

/// Everything that can be read.
fn look(case: u64) -> Batch {
    let mut batch = Batch::default();
    let mut add = |words: &[&str]| {
        let mut command = redis::cmd(words[0]);
        command.arg(&words[1..]);
        batch.push(Shard::COMMON, command);
    };
    for name in HASHES {
        let key = &key(case, name);
        add(&[&["HMGET", key], &FIELDS[..]].concat());
        add(&["HGET", key, "b"]);
        add(&["HEXISTS", key, "x"]);
        add(&["HLEN", key]);
        add(&["EXISTS", key]);
        add(&["ZCARD", key]);
    }
    for name in TEXTS {
        add(&["GET", &key(case, name)]);
        add(&["SET", &key(case, name), "9", "NX"]);
        add(&["INCR", &key(case, name)]);
    }
    for name in SETS {
        let key = &key(case, name);
        add(&["ZCARD", key]);
        add(&["EXISTS", key]);
        add(&["ZADD", key, "XX", "7", "c"]);
        add(&["ZSCORE", key, "ab"]);
        for (first, last) in [("0", "-1"), ("0", "0"), ("1", "2"), ("-2", "-1"), ("3", "1"), ("9", "12")] {
            add(&["ZRANGE", key, first, last, "WITHSCORES"]);
            add(&["ZREVRANGE", key, first, last]);
        }
        for (min, max) in
            [("-inf", "+inf"), ("0", "3"), ("(0", "(3"), ("3", "-1"), ("(3", "1893499200000"), ("-inf", "(4")]
        {
            add(&["ZRANGEBYSCORE", key, min, max, "WITHSCORES", "LIMIT", "0", "2"]);
            add(&["ZRANGEBYSCORE", key, min, max]);
            add(&["ZREVRANGEBYSCORE", key, max, min, "LIMIT", "1", "3"]);
            add(&["ZCOUNT", key, min, max]);
        }
    }
    batch
}

async fn compare(real: &Link, case: u64, steps: &[Step]) {
    let model = Link::Model(Arc::new(Direct::default()));
    for step in steps {
        let commits = [commit(case, step)];
        let answers = [&model, real].map(|link| commit_together(link, None, &commits));
        let [modelled, real_one] = futures::future::join_all(answers).await.try_into().expect("two answers");
        let numbers = |answers: Result<Vec<Result<i64>>>| {
            answers.expect("the server answers").into_iter().map(|answer| answer.expect("no error"))
        };
        assert!(numbers(modelled).eq(numbers(real_one)), "a commit's answer differs");
        let (modelled, real_one) = (model.values(look(case)).await, real.values(look(case)).await);
        let asked = look(case).commands;
        let both =
            modelled.expect("the model answers").into_iter().zip(real_one.expect("the server answers"));
        for ((_, command), (modelled, real_one)) in asked.iter().zip(both) {
            let words = String::from_utf8_lossy(&command.get_packed_command()).replace("\r\n", " ");
            let same = match (&modelled, &real_one) {
                // Their texts differ.
                (Value::ServerError(one), Value::ServerError(other)) => one.code() == other.code(),
                (one, other) => one == other,
            };
            assert!(same, "{words}: the model answers {modelled:?}, Redis {real_one:?}");
        }
    }
}

#[test]
fn the_model_answers_as_redis_does() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let server = runtime.block_on(RedisServer::start()).expect("a server");
    let address = Address::parse(&server.url()).expect("its address");
    let real = runtime.block_on(Link::open(address, None)).expect("a connection");
    let words = any::<(u8, u8, u8, u8)>;
    let step = (proptest::collection::vec(words(), 0..3), proptest::collection::vec(words(), 1..8));
    let steps = proptest::collection::vec(step, 1..12);
    let config = Config { cases: 150, failure_persistence: None, ..Config::default() };
    let case = std::cell::Cell::new(0);
    let compared = TestRunner::new(config).run(&steps, |steps| {
        case.set(case.get() + 1);
        runtime.block_on(compare(&real, case.get(), &steps));
        Ok(())
    });
    compared.expect("they agree");
}
