ALTER TABLE subscriptions DROP COLUMN gone;
