-- A reply that was kept for a retry is forgotten at the key's first login, but that its Idempotency-Key was used is
-- not: so `reply` may be NULL. Nothing wrote this table before.
DROP TABLE mint_replies;
CREATE TABLE mint_replies (
    idempotency_sha256 BYTEA NOT NULL PRIMARY KEY, -- of caller and Idempotency-Key
    key_id             UUID NOT NULL REFERENCES api_keys (key_id) ON DELETE CASCADE,
    request_sha256     BYTEA NOT NULL,
    reply              BYTEA,
    created_at         TIMESTAMPTZ NOT NULL,
    expires_at         TIMESTAMPTZ NOT NULL
);
CREATE INDEX mint_replies_key ON mint_replies (key_id);
CREATE INDEX mint_replies_expires ON mint_replies (expires_at);

-- On a secondary: the Idempotency-Key of a rotation under way, encrypted; written before the primary is asked.
ALTER TABLE partners ADD COLUMN rotation_key BYTEA;
