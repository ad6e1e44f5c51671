-- The primary lists it no longer: its last copy stays until staff remove it.
ALTER TABLE subscriptions ADD COLUMN gone INTEGER NOT NULL DEFAULT 0;
