-- Whose database this is.
CREATE TABLE installation (
    one INTEGER NOT NULL PRIMARY KEY CHECK (one = 1),
    id  BLOB NOT NULL
) STRICT;

-- Runs that are gone, and when they went; until nothing is left of them in the artifact store.
CREATE TABLE deleted_runs (
    id BLOB NOT NULL PRIMARY KEY,
    at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX deleted_runs_at ON deleted_runs (at);
