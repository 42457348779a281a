-- Times are milliseconds since 1970 UTC, ids 16 bytes, `body` the JSON of the domain's type. The
-- other columns repeat what queries need of it, or hold what the body does not (seq, published).

CREATE TABLE tasks (
    seq       INTEGER PRIMARY KEY,
    id        BLOB NOT NULL UNIQUE,
    owner     TEXT NOT NULL COLLATE NOCASE,
    kind      TEXT NOT NULL,
    item      BLOB,
    active    INTEGER NOT NULL,
    -- The due index; a task that was disabled may have fires in it that are still to be decided.
    next_fire INTEGER,
    version   INTEGER NOT NULL,
    body      TEXT NOT NULL
) STRICT;
CREATE INDEX tasks_due ON tasks (next_fire) WHERE next_fire IS NOT NULL;
CREATE INDEX tasks_of_owner ON tasks (owner, seq);

CREATE TABLE runs (
    seq         INTEGER PRIMARY KEY,
    id          BLOB NOT NULL UNIQUE,
    task        BLOB NOT NULL REFERENCES tasks (id) ON DELETE CASCADE,
    owner       TEXT NOT NULL COLLATE NOCASE,
    kind        TEXT NOT NULL,
    planned     INTEGER NOT NULL,
    status      TEXT NOT NULL CHECK (status IN ('waiting', 'queued', 'executing', 'ended')),
    due         INTEGER,
    lease_until INTEGER,
    attempt     INTEGER NOT NULL,
    -- When this turn in the queue was published. A queued run without it is in the outbox.
    published   INTEGER,
    body        TEXT NOT NULL
) STRICT;
CREATE INDEX runs_of_task ON runs (task, planned, seq);
CREATE INDEX runs_of_owner ON runs (owner, planned, seq);
CREATE INDEX runs_planned ON runs (planned, seq);
CREATE INDEX runs_unfinished ON runs (task, status, seq) WHERE status <> 'ended';
CREATE INDEX runs_outbox ON runs (due, seq) WHERE status = 'queued' AND published IS NULL;
CREATE INDEX runs_published ON runs (kind, published, seq) WHERE status = 'queued' AND published IS NOT NULL;
CREATE INDEX runs_leased ON runs (lease_until, seq) WHERE status = 'executing';

-- Attempts whose lease lapsed. Every other attempt that is over was finished by its worker.
CREATE TABLE lapses (
    run     BLOB NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
    attempt INTEGER NOT NULL,
    PRIMARY KEY (run, attempt)
) STRICT, WITHOUT ROWID;

CREATE TABLE run_logs (
    run     BLOB NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
    attempt INTEGER NOT NULL,
    line    INTEGER NOT NULL,
    at      INTEGER NOT NULL,
    stream  TEXT NOT NULL,
    text    TEXT NOT NULL,
    PRIMARY KEY (run, attempt, line)
) STRICT, WITHOUT ROWID;

-- The ledger: one row a fire, for ever. It refers to tasks and runs that may be gone.
CREATE TABLE fires (
    fire       BLOB NOT NULL PRIMARY KEY,
    task       BLOB NOT NULL,
    run        BLOB NOT NULL,
    kind       TEXT NOT NULL,
    owner      TEXT NOT NULL,
    title      TEXT NOT NULL,
    generation INTEGER,
    planned    INTEGER NOT NULL,
    decided    INTEGER NOT NULL,
    reason     TEXT NOT NULL,
    started    INTEGER,
    outcome    TEXT,
    end_reason TEXT,
    ended_at   INTEGER
) STRICT, WITHOUT ROWID;
CREATE INDEX fires_planned ON fires (planned);
CREATE INDEX fires_of_task ON fires (task, planned);

CREATE TABLE users (
    name TEXT NOT NULL PRIMARY KEY COLLATE NOCASE,
    body TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE tokens (
    hash    BLOB NOT NULL PRIMARY KEY,
    user    TEXT NOT NULL,
    expires INTEGER NOT NULL,
    binding TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX tokens_expires ON tokens (expires);

CREATE TABLE items (
    seq     INTEGER PRIMARY KEY,
    id      BLOB NOT NULL UNIQUE,
    owner   TEXT NOT NULL COLLATE NOCASE,
    created INTEGER NOT NULL,
    body    TEXT NOT NULL
) STRICT;
CREATE INDEX items_of_owner ON items (owner, created, seq);
CREATE INDEX items_created ON items (created, seq);

CREATE TABLE item_data (
    item BLOB NOT NULL PRIMARY KEY REFERENCES items (id) ON DELETE CASCADE,
    data BLOB NOT NULL
) STRICT;

CREATE TABLE audit (
    seq  INTEGER PRIMARY KEY,
    at   INTEGER NOT NULL,
    body TEXT NOT NULL
) STRICT;
CREATE INDEX audit_at ON audit (at, seq);
