-- The primary lists it no longer: its last copy stays until staff remove it.
ALTER TABLE subscriptions ADD COLUMN gone BOOLEAN NOT NULL DEFAULT FALSE;
