-- The outbox has numbers instead of a mark a run: a queued run that is due has the next number, and keeps it until it is
-- claimed; how far each type is published stands beside it. A queued run without a number is due later.
DROP INDEX runs_outbox;
DROP INDEX runs_published;
ALTER TABLE runs DROP COLUMN published;
ALTER TABLE runs ADD COLUMN number INTEGER;
CREATE INDEX runs_outbox ON runs (kind, number) WHERE number IS NOT NULL;
CREATE INDEX runs_delayed ON runs (due, seq) WHERE status = 'queued' AND number IS NULL;
CREATE TABLE outbox (
    one  INTEGER PRIMARY KEY CHECK (one = 1),
    last INTEGER NOT NULL
) STRICT;
INSERT INTO outbox (one, last) VALUES (1, 0);
CREATE TABLE published_through (
    kind   TEXT PRIMARY KEY,
    number INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
