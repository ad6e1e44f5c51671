DROP TABLE outbox;
DROP INDEX sync_runs_started;
DROP INDEX sync_runs_primary;
ALTER TABLE sync_runs
    DROP CONSTRAINT sync_runs_state_check,
    DROP COLUMN asked_by,
    DROP COLUMN slice,
    DROP COLUMN slices_done,
    DROP COLUMN grains_done,
    DROP COLUMN grains_total,
    DROP COLUMN bytes_done,
    DROP COLUMN bytes_total,
    DROP COLUMN bytes_per_second,
    DROP COLUMN touched_at,
    DROP COLUMN cancel_asked,
    DROP COLUMN results,
    DROP COLUMN hook_error;
UPDATE sync_runs SET state = 'error' WHERE state IN ('failed', 'cancelled');
ALTER TABLE sync_runs
    ADD CONSTRAINT sync_runs_state_check CHECK (state IN ('running', 'success', 'error', 'interrupted'));
