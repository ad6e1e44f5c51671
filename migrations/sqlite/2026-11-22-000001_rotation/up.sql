-- A reply that was kept for a retry is forgotten at the key's first login, but that its Idempotency-Key was used is
-- not: so `reply` may be NULL. Nothing wrote this table before.
DROP TABLE mint_replies;
CREATE TABLE mint_replies (
    idempotency_sha256 BLOB NOT NULL PRIMARY KEY,  -- of caller and Idempotency-Key
    key_id             BLOB NOT NULL REFERENCES api_keys (key_id) ON DELETE CASCADE,
    request_sha256     BLOB NOT NULL,
    reply              BLOB,
    created_at         TEXT NOT NULL,
    expires_at         TEXT NOT NULL
) STRICT;
CREATE INDEX mint_replies_key ON mint_replies (key_id);
CREATE INDEX mint_replies_expires ON mint_replies (expires_at);

-- On a secondary: the Idempotency-Key of a rotation under way, encrypted; written before the primary is asked.
ALTER TABLE partners ADD COLUMN rotation_key BLOB;
