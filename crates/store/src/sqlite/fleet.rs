//! The fleet of one data directory: usually a single process.

use std::time::Duration;

use async_trait::async_trait;
use isochrone_domain::EpochMillis;
use rusqlite::{Connection, params};

use super::{SqliteStore, rows};
use crate::{FleetStore, Leadership, Member, Present, Result};

#[async_trait]
impl FleetStore for SqliteStore {
    async fn lead(&self, name: &str, length: Duration) -> Result<Leadership> {
        let (name, clock) = (name.to_owned(), self.clock);
        self.write_unsynced(move |db| lead(db, name, length, clock.now())).await
    }

    async fn resign(&self, name: &str) -> Result<()> {
        let name = name.to_owned();
        let sql = "UPDATE leader SET until = 0 WHERE name = ?1";
        self.write_unsynced(move |db| rows::execute(db, sql, [name]).map(drop)).await
    }

    async fn announce(&self, member: &Member, remembered: Duration) -> Result<()> {
        let (member, clock) = (member.clone(), self.clock);
        self.write_unsynced(move |db| announce(db, &member, remembered, clock.now())).await
    }

    async fn depart(&self, name: &str) -> Result<()> {
        let name = name.to_owned();
        self.write_unsynced(move |db| {
            rows::execute(db, "DELETE FROM members WHERE name = ?1", [name]).map(drop)
        })
        .await
    }

    async fn members(&self) -> Result<Vec<Present>> {
        let clock = self.clock;
        self.read(move |db| members(db, clock.now())).await
    }
}

fn lead(db: &Connection, name: String, length: Duration, now: EpochMillis) -> Result<Leadership> {
    let found = rows::one(db, "SELECT name, term, until, length FROM leader", [], |row| {
        let length = Duration::from_millis(row.get::<_, u32>(3)?.into());
        Ok((row.get::<_, String>(0)?, row.get::<_, u32>(1)?, rows::moment(row, 2)?, length))
    })?;
    let term = match found {
        None => 1,
        Some((leader, term, ..)) if leader == name => term,
        // A lease that ends later than it would, given now, was given before the clock was set back.
        Some((_, term, until, given)) if until <= now || until > now + given => term + 1,
        Some((leader, _, until, _)) => return Ok(Leadership::Following { leader, until }),
    };
    let sql = "INSERT INTO leader (one, name, term, until, length) VALUES (1, ?1, ?2, ?3, ?4)
               ON CONFLICT (one) DO UPDATE SET name = ?1, term = ?2, until = ?3, length = ?4";
    let length_ms = u32::try_from(length.as_millis()).unwrap_or(u32::MAX);
    rows::execute(db, sql, params![name, term, (now + length).0, length_ms])?;
    Ok(Leadership::Leading { term: term.into() })
}

fn announce(db: &Connection, member: &Member, remembered: Duration, now: EpochMillis) -> Result<()> {
    rows::execute(db, "DELETE FROM members WHERE forgotten <= ?1", [now.0])?;
    let sql = "INSERT INTO members (name, seen, forgotten, body) VALUES (?1, ?2, ?3, ?4)
               ON CONFLICT (name) DO UPDATE SET seen = ?2, forgotten = ?3, body = ?4";
    let forgotten = now + remembered;
    rows::execute(db, sql, params![member.name, now.0, forgotten.0, rows::json(member)]).map(drop)
}

fn members(db: &Connection, now: EpochMillis) -> Result<Vec<Present>> {
    let sql =
        "SELECT body, seen, EXISTS (SELECT 1 FROM leader WHERE leader.name = members.name AND until > ?1)
               FROM members WHERE forgotten > ?1 ORDER BY name";
    let present = rows::many(db, sql, [now.0], |row| {
        let Some(member) = rows::readable(rows::body(row), "members")? else { return Ok(None) };
        Ok(Some(Present { member, seen: rows::moment(row, 1)?, leads: row.get(2)? }))
    })?;
    Ok(present.into_iter().flatten().collect())
}
