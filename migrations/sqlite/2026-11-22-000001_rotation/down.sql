ALTER TABLE partners DROP COLUMN rotation_key;
DROP TABLE mint_replies;
CREATE TABLE mint_replies (
    idempotency_sha256 BLOB NOT NULL PRIMARY KEY,
    key_id             BLOB NOT NULL REFERENCES api_keys (key_id) ON DELETE CASCADE,
    request_sha256     BLOB NOT NULL,
    reply              BLOB NOT NULL,
    created_at         TEXT NOT NULL,
    expires_at         TEXT NOT NULL
) STRICT;
CREATE INDEX mint_replies_key ON mint_replies (key_id);
