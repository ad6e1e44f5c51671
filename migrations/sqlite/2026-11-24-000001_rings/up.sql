-- Rises with every change of the key rings: a server whose rings are older reads them anew before it answers.
ALTER TABLE settings ADD COLUMN ring_epoch INTEGER NOT NULL DEFAULT 0;
-- The ring entry that an api-key is sealed with. So far there was one.
ALTER TABLE api_keys ADD COLUMN seal_key TEXT NOT NULL DEFAULT 'r0';
-- A key that another one took over from goes on opening and verifying until it is retired; a retired one is forgotten.
CREATE TABLE keyring_new (
    id            TEXT    NOT NULL PRIMARY KEY,
    purpose       TEXT    NOT NULL CHECK (purpose IN ('seal', 'jwt')),
    state         TEXT    NOT NULL CHECK (state IN ('prepared', 'active', 'superseded', 'retired')),
    wrapped       BLOB    NOT NULL,                 -- empty once it is retired
    seals         INTEGER NOT NULL DEFAULT 0,
    created_at    TEXT    NOT NULL,
    activated_at  TEXT,
    retired_at    TEXT,
    superseded_at TEXT
) STRICT;
INSERT INTO keyring_new SELECT id, purpose, state, wrapped, seals, created_at, activated_at, retired_at, NULL FROM keyring;
DROP TABLE keyring;
ALTER TABLE keyring_new RENAME TO keyring;
CREATE UNIQUE INDEX keyring_one_active ON keyring (purpose) WHERE state = 'active';
