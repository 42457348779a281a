-- What only one run at a time may have, such as a scene service that is cooked.
CREATE TABLE holds (
    what   TEXT NOT NULL PRIMARY KEY,
    holder TEXT NOT NULL,
    until  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
