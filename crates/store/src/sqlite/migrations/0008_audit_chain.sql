-- The audit log as a chain: each entry's digest covers the one before it.
CREATE TABLE chained_audit (
    -- The entry's number, from 1.
    number INTEGER PRIMARY KEY,
    at     INTEGER NOT NULL,
    body   TEXT NOT NULL,
    -- The key of its digest; none: a plain one.
    key    TEXT,
    digest BLOB NOT NULL
) STRICT;
INSERT INTO chained_audit (number, at, body, key, digest)
WITH RECURSIVE
    ordered AS (SELECT row_number() OVER (ORDER BY at, seq) AS number, at, body FROM audit),
    chained AS (
        SELECT number, at, body, audit_digest(number, zeroblob(32), body) AS digest FROM ordered WHERE number = 1
        UNION ALL
        SELECT next.number, next.at, next.body, audit_digest(next.number, chained.digest, next.body)
        FROM chained JOIN ordered AS next ON next.number = chained.number + 1
    )
SELECT number, at, body, audit_key(), digest FROM chained;
DROP TABLE audit;
ALTER TABLE chained_audit RENAME TO audit;
CREATE INDEX audit_at ON audit (at, number);
-- Where the chain ends, and up to where it was forgotten.
CREATE TABLE audit_chain (
    one        INTEGER PRIMARY KEY CHECK (one = 1),
    number     INTEGER NOT NULL,
    digest     BLOB NOT NULL,
    checkpoint TEXT
) STRICT;
INSERT INTO audit_chain (one, number, digest)
SELECT 1, coalesce(max(number), 0),
       coalesce((SELECT digest FROM audit ORDER BY number DESC LIMIT 1), zeroblob(32))
FROM audit;
