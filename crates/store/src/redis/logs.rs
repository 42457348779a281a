//! The lines of runs' logs: a hash of lines by attempt and number, and a sorted set of their order.

use isochrone_domain::{Fence, LogLine, RunId};

use super::RedisStore;
use super::batch::Batch;
use super::commit::Commit;
use super::keys::Shard;
use super::leases::current;
use super::records::{executing, from_json, json, readable};
use crate::{Finished, Page, Paged, Result, Tries};

impl RedisStore {
    /// Adds an attempt's lines, numbered from `first`; a number that is there stays as it is.
    pub(super) async fn add_lines(
        &self,
        run: RunId,
        fence: Fence,
        first: u64,
        lines: &[LogLine],
    ) -> Result<Finished> {
        let mut tries = Tries::default();
        loop {
            let stored = match current(self.find_run(run).await?, fence) {
                Ok(stored) => stored,
                Err(refusal) => return Ok(Finished::Fenced(self.precise(run, refusal).await?)),
            };
            let mut commit = Commit::new(Shard::of_run(run));
            commit.check_is(&self.keys.run(run), "t", executing(fence));
            for (number, line) in (first..).zip(lines) {
                let field = format!("{}:{number}", fence.attempt);
                commit.set_new(&self.keys.log(run), &field, &json(line));
                commit.put(&self.keys.log_order(run), place(fence.attempt, number), &field);
            }
            if self.commit_unreplicated(commit).await? {
                return Ok(Finished::Kept(Box::new(stored.run)));
            }
            tries.again().await?;
        }
    }

    /// A part of a run's log, all attempts.
    pub(super) async fn lines(&self, run: RunId, page: Page) -> Result<Paged<LogLine>> {
        let (shard, order) = (Shard::of_run(run), self.keys.log_order(run));
        let last = page.offset.saturating_add(page.limit).min(i64::MAX as u64) as i64 - 1;
        let first = page.offset.min(i64::MAX as u64).to_string();
        let mut batch = Batch::default();
        batch.add(shard, ["ZCARD", &order]);
        if page.limit > 0 {
            batch.add(shard, ["ZRANGE", &order, &first, &last.to_string()]);
        }
        let mut answers = self.ask(batch).await?;
        let total = answers.count()?;
        let fields = if page.limit > 0 { answers.members()? } else { Vec::new() };
        let mut rows = Vec::with_capacity(fields.len());
        for fields in fields.chunks(1_000) {
            let mut command = redis::cmd("HMGET");
            command.arg(self.keys.log(run)).arg(fields);
            let mut batch = Batch::default();
            batch.push(shard, command);
            for line in self.ask(batch).await?.texts()? {
                // Absent: trimmed a moment ago.
                let line =
                    line.map(|line| readable(from_json(&line), "log line of run", &run)).transpose()?;
                rows.extend(line.flatten());
            }
        }
        Ok(Paged { rows, total })
    }
}

/// A line's place in the log; exact as a score for 2^21 attempts of 2^32 lines.
fn place(attempt: u32, number: u64) -> u64 {
    (u64::from(attempt) << 32) + number.min(u64::from(u32::MAX))
}
