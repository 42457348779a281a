-- The scheduler that leads. A lease that was given back ends in the past.
CREATE TABLE leader (
    one   INTEGER PRIMARY KEY CHECK (one = 1),
    name  TEXT NOT NULL,
    term  INTEGER NOT NULL,
    until INTEGER NOT NULL,
    -- Of the lease, in the same milliseconds: tells whether the clock was set back since.
    length INTEGER NOT NULL
) STRICT;

CREATE TABLE members (
    name      TEXT NOT NULL PRIMARY KEY,
    seen      INTEGER NOT NULL,
    forgotten INTEGER NOT NULL,
    body      TEXT NOT NULL
) STRICT, WITHOUT ROWID;
