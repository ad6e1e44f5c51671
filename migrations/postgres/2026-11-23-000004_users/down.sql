DROP INDEX users_one_sync_user;
DELETE FROM users WHERE deleted_at IS NOT NULL;
ALTER TABLE users DROP COLUMN deleted_at;
ALTER TABLE users DROP COLUMN display_name;
CREATE UNIQUE INDEX users_one_sync_user ON users (company_id) WHERE role = 200;
