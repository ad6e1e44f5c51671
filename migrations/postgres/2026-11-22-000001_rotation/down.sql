ALTER TABLE partners DROP COLUMN rotation_key;
DROP TABLE mint_replies;
CREATE TABLE mint_replies (
    idempotency_sha256 BYTEA NOT NULL PRIMARY KEY,
    key_id             UUID NOT NULL REFERENCES api_keys (key_id) ON DELETE CASCADE,
    request_sha256     BYTEA NOT NULL,
    reply              BYTEA NOT NULL,
    created_at         TIMESTAMPTZ NOT NULL,
    expires_at         TIMESTAMPTZ NOT NULL
);
CREATE INDEX mint_replies_key ON mint_replies (key_id);
