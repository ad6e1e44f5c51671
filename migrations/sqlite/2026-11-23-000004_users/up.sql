-- What a user wants to be called, if not by first and last name.
ALTER TABLE users ADD COLUMN display_name TEXT NOT NULL DEFAULT '';
-- A deleted user keeps its row, so that its id names nobody else. Its name and e-mail are free again.
ALTER TABLE users ADD COLUMN deleted_at TEXT;
DROP INDEX users_one_sync_user;
CREATE UNIQUE INDEX users_one_sync_user ON users (company_id) WHERE role = 200 AND deleted_at IS NULL;
