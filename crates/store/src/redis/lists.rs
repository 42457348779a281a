//! Indexes of many shards as one list.

use std::cmp::Ordering;

use redis::cmd;

use super::RedisStore;
use super::batch::Batch;
use super::keys::{Index, Shard};
use crate::Result;

/// A sorted set and its shard.
pub(super) type Source = (Shard, String);

/// Which end of the sets comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum From {
    Lowest,
    Highest,
}

/// The scores that count.
#[derive(Clone, Debug)]
pub(super) struct Span {
    pub(super) min: String,
    pub(super) max: String,
}

impl Span {
    pub(super) fn all() -> Span {
        Span { min: "-inf".to_owned(), max: "+inf".to_owned() }
    }

    /// Up to this score; the fractions of a millisecond that order a moment's entries count to it.
    pub(super) fn through(score: i64) -> Span {
        Span { max: format!("({}", score.saturating_add(1)), ..Span::all() }
    }

    pub(super) fn before(score: i64) -> Span {
        Span { max: format!("({score}"), ..Span::all() }
    }

    pub(super) fn after(score: i64) -> Span {
        Span { min: format!("({score}"), ..Span::all() }
    }

    pub(super) fn within(span: &std::ops::Range<isochrone_domain::EpochMillis>) -> Span {
        Span { min: span.start.0.to_string(), max: format!("({}", span.end.0) }
    }
}

/// A member of one of the sets.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Entry {
    pub(super) score: f64,
    pub(super) member: Vec<u8>,
}

struct Part {
    entries: Vec<Entry>,
    /// How many were asked for; fewer came: there are no more.
    asked: usize,
}

impl RedisStore {
    /// An index of every shard with tasks.
    pub(super) fn everywhere(&self, index: Index) -> Vec<Source> {
        Shard::of_tasks().map(|shard| (shard, self.keys.index(shard, index))).collect()
    }

    /// The first members of many sorted sets as if they were one. Equal scores are ordered by the member.
    pub(super) async fn first(
        &self,
        sources: &[Source],
        from: From,
        span: &Span,
        limit: u64,
    ) -> Result<Vec<Entry>> {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        if limit == 0 || sources.is_empty() {
            return Ok(Vec::new());
        }
        // Some more than each one's share; where one has more of the first ones, it is asked again.
        let share = limit.saturating_mul(4).div_ceil(sources.len()).min(limit);
        let mut parts: Vec<Part> =
            sources.iter().map(|_| Part { entries: Vec::new(), asked: share }).collect();
        let mut to_ask: Vec<usize> = (0..sources.len()).collect();
        loop {
            self.fetch(sources, &mut parts, &to_ask, from, span).await?;
            let mut merged: Vec<Entry> = parts.iter().flat_map(|part| part.entries.iter().cloned()).collect();
            merged.sort_unstable_by(|a, b| order(from, a, b));
            merged.truncate(limit);
            let last = merged.last().filter(|_| merged.len() == limit);
            to_ask.clear();
            for (place, part) in parts.iter_mut().enumerate() {
                let hides = part.entries.len() == part.asked && part.asked < limit;
                let ends_before =
                    |last| part.entries.last().is_some_and(|end| order(from, end, last) == Ordering::Less);
                if hides && last.is_none_or(ends_before) {
                    part.asked = part.asked.saturating_mul(8).min(limit);
                    to_ask.push(place);
                }
            }
            if to_ask.is_empty() {
                return Ok(merged);
            }
        }
    }

    async fn fetch(
        &self,
        sources: &[Source],
        parts: &mut [Part],
        places: &[usize],
        from: From,
        span: &Span,
    ) -> Result<()> {
        let mut batch = Batch::default();
        for place in places {
            let (shard, key) = &sources[*place];
            let (name, begin, end) = match from {
                From::Lowest => ("ZRANGEBYSCORE", &span.min, &span.max),
                From::Highest => ("ZREVRANGEBYSCORE", &span.max, &span.min),
            };
            let mut command = cmd(name);
            command
                .arg(key)
                .arg(begin)
                .arg(end)
                .arg("WITHSCORES")
                .arg("LIMIT")
                .arg(0)
                .arg(parts[*place].asked);
            batch.push(*shard, command);
        }
        let mut answers = self.ask(batch).await?;
        for place in places {
            let scored = answers.scored()?;
            parts[*place].entries =
                scored.into_iter().map(|(member, score)| Entry { score, member }).collect();
        }
        Ok(())
    }

    /// How many members the sets have in all.
    pub(super) async fn total(&self, sources: &[Source]) -> Result<u64> {
        let mut batch = Batch::default();
        for (shard, key) in sources {
            batch.add(*shard, ["ZCARD", key]);
        }
        let mut answers = self.ask(batch).await?;
        let mut total = 0;
        for _ in sources {
            total += answers.count()?;
        }
        Ok(total)
    }
}

fn order(from: From, a: &Entry, b: &Entry) -> Ordering {
    let ascending = a.score.total_cmp(&b.score).then_with(|| a.member.cmp(&b.member));
    match from {
        From::Lowest => ascending,
        From::Highest => ascending.reverse(),
    }
}
