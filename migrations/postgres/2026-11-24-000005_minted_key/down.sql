ALTER TABLE partners DROP COLUMN minted_key;
