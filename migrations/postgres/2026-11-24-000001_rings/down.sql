UPDATE keyring SET state = 'prepared' WHERE state = 'superseded';
ALTER TABLE keyring DROP COLUMN superseded_at;
ALTER TABLE keyring DROP CONSTRAINT keyring_state_check;
ALTER TABLE keyring ADD CONSTRAINT keyring_state_check CHECK (state IN ('prepared', 'active', 'retired'));
ALTER TABLE api_keys DROP COLUMN seal_key;
ALTER TABLE settings DROP COLUMN ring_epoch;
