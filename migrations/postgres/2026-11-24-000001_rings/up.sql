-- Rises with every change of the key rings: a server whose rings are older reads them anew before it answers.
ALTER TABLE settings ADD COLUMN ring_epoch BIGINT NOT NULL DEFAULT 0;
-- The ring entry that an api-key is sealed with. So far there was one.
ALTER TABLE api_keys ADD COLUMN seal_key TEXT COLLATE "C" NOT NULL DEFAULT 'r0';
-- A key that another one took over from goes on opening and verifying until it is retired; a retired one is forgotten.
ALTER TABLE keyring DROP CONSTRAINT keyring_state_check;
ALTER TABLE keyring ADD CONSTRAINT keyring_state_check CHECK (state IN ('prepared', 'active', 'superseded', 'retired'));
ALTER TABLE keyring ADD COLUMN superseded_at TIMESTAMPTZ;
