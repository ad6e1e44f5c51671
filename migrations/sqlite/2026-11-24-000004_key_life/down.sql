ALTER TABLE partners DROP COLUMN key_expires_at;
ALTER TABLE partners DROP COLUMN key_created_at;
DROP INDEX api_keys_seal_key;
DROP INDEX api_keys_scan_id;
ALTER TABLE api_keys DROP COLUMN scan_id;
ALTER TABLE api_keys DROP COLUMN networks;
ALTER TABLE api_keys DROP COLUMN expires_at;
