-- What its owner recognises a login by, and why it ended.
ALTER TABLE sessions ADD COLUMN address TEXT COLLATE "C";
ALTER TABLE sessions ADD COLUMN agent TEXT COLLATE "C";
ALTER TABLE sessions ADD COLUMN ended_why TEXT COLLATE "C";
-- Refresh tokens that were exchanged for another one: who shows one again has stolen it, or was robbed.
CREATE TABLE spent_tokens (
    token_sha256 BYTEA NOT NULL PRIMARY KEY,
    session_id   UUID NOT NULL REFERENCES sessions (id) ON DELETE CASCADE,
    spent_at     TIMESTAMPTZ NOT NULL,
    successor    BYTEA                              -- it takes the spent token to decrypt it; NULL once it was used
);
CREATE INDEX spent_tokens_session ON spent_tokens (session_id);
