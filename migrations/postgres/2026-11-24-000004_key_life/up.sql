-- How long an api-key lives, where it may be used from, and the id that stands in one which scanners can find.
ALTER TABLE api_keys ADD COLUMN expires_at TIMESTAMPTZ;
ALTER TABLE api_keys ADD COLUMN networks TEXT COLLATE "C" NOT NULL DEFAULT '';     -- prefixes with a space between; empty: anywhere
ALTER TABLE api_keys ADD COLUMN scan_id TEXT COLLATE "C";                          -- NULL: sealed, in hex
CREATE UNIQUE INDEX api_keys_scan_id ON api_keys (scan_id) WHERE scan_id IS NOT NULL;
CREATE INDEX api_keys_seal_key ON api_keys (seal_key) WHERE state <> 'revoked';
-- What the primary says of the stored key at each login.
ALTER TABLE partners ADD COLUMN key_created_at TIMESTAMPTZ;
ALTER TABLE partners ADD COLUMN key_expires_at TIMESTAMPTZ;
