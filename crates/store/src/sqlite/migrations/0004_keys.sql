-- What a token was made for; those that were there are of people who signed in.
ALTER TABLE tokens ADD COLUMN purpose TEXT NOT NULL DEFAULT '{"kind":"signIn"}';
CREATE INDEX tokens_of ON tokens (user COLLATE NOCASE, expires);
