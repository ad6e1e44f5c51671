DROP TABLE spent_tokens;
ALTER TABLE sessions DROP COLUMN ended_why;
ALTER TABLE sessions DROP COLUMN agent;
ALTER TABLE sessions DROP COLUMN address;
