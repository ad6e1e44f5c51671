-- What its owner recognises a login by, and why it ended.
ALTER TABLE sessions ADD COLUMN address TEXT;
ALTER TABLE sessions ADD COLUMN agent TEXT;
ALTER TABLE sessions ADD COLUMN ended_why TEXT;
-- Refresh tokens that were exchanged for another one: who shows one again has stolen it, or was robbed.
CREATE TABLE spent_tokens (
    token_sha256 BLOB NOT NULL PRIMARY KEY,
    session_id   BLOB NOT NULL REFERENCES sessions (id) ON DELETE CASCADE,
    spent_at     TEXT NOT NULL,
    successor    BLOB                               -- it takes the spent token to decrypt it; NULL once it was used
) STRICT;
CREATE INDEX spent_tokens_session ON spent_tokens (session_id);
