CREATE TABLE keyring_old (
    id           TEXT    NOT NULL PRIMARY KEY,
    purpose      TEXT    NOT NULL CHECK (purpose IN ('seal', 'jwt')),
    state        TEXT    NOT NULL CHECK (state IN ('prepared', 'active', 'retired')),
    wrapped      BLOB    NOT NULL,
    seals        INTEGER NOT NULL DEFAULT 0,
    created_at   TEXT    NOT NULL,
    activated_at TEXT,
    retired_at   TEXT
) STRICT;
INSERT INTO keyring_old SELECT id, purpose, replace(state, 'superseded', 'prepared'), wrapped, seals, created_at, activated_at, retired_at FROM keyring;
DROP TABLE keyring;
ALTER TABLE keyring_old RENAME TO keyring;
CREATE UNIQUE INDEX keyring_one_active ON keyring (purpose) WHERE state = 'active';
ALTER TABLE api_keys DROP COLUMN seal_key;
ALTER TABLE settings DROP COLUMN ring_epoch;
