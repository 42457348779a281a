-- What programs may turn into tokens: authorization codes and refresh tokens, by the SHA-256 of what they hold.
CREATE TABLE grants (
    hash BLOB PRIMARY KEY,
    expires INTEGER NOT NULL,
    body TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX grants_expired ON grants (expires);
