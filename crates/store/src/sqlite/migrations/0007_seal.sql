-- The keys that something in this database may be sealed with, by their ids.
CREATE TABLE seal_keys (
    id TEXT NOT NULL PRIMARY KEY
) STRICT, WITHOUT ROWID;
