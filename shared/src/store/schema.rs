//! The tables, once for both databases. `tests/store` selects every column of every table on both.

macro_rules! tables {
    ($($(#[$meta:meta])* $name:ident ($($key:ident),+) { $($column:ident: $type:ty,)+ })+) => {$(
        diesel::table! {
            use diesel::sql_types::*;
            use crate::store::types::{SqlId, SqlTime};
            $name ($($key),+) { $($column -> $type,)+ }
        }
    )+

        /// Selects every column of every table: says at once when the database is not what this program expects.
        pub(super) fn verify(conn: &mut super::Connection) -> Result<(), super::StoreError> {
            use diesel::{QueryDsl as _, RunQueryDsl as _};
            $(
                let query = $name::table.select($name::all_columns).limit(0);
                super::on_backend!(&mut *conn, |c| query.execute(c))?;
            )+
            Ok(())
        }
    };
}

tables! {
    companies (id) {
        id: SqlId,
        name: Text,
        name_key: Text,
        sync_addr: Nullable<Text>,
        active: Bool,
        key_generation: BigInt,
        created_at: SqlTime,
        updated_at: SqlTime,
    }
    users (id) {
        id: BigInt,
        company_id: SqlId,
        username: Text,
        username_key: Text,
        password_hash: Nullable<Text>,
        email: Text,
        email_key: Nullable<Text>,
        first_name: Text,
        last_name: Text,
        phone: Text,
        active: Bool,
        role: BigInt,
        generation: BigInt,
        last_login: Nullable<SqlTime>,
        password_changed: Nullable<SqlTime>,
        created_at: SqlTime,
        updated_at: SqlTime,
        display_name: Text,
        deleted_at: Nullable<SqlTime>,
    }
    settings (id) {
        id: BigInt,
        server_role: Text,
        server_id: SqlId,
        root_key_check: Binary,
        created_at: SqlTime,
        updated_at: SqlTime,
        ring_epoch: BigInt,
    }
    keyring (id) {
        id: Text,
        purpose: Text,
        state: Text,
        wrapped: Binary,
        seals: BigInt,
        created_at: SqlTime,
        activated_at: Nullable<SqlTime>,
        retired_at: Nullable<SqlTime>,
        superseded_at: Nullable<SqlTime>,
    }
    sessions (id) {
        id: SqlId,
        user_id: BigInt,
        token_sha256: Binary,
        created_at: SqlTime,
        last_seen_at: SqlTime,
        expires_at: SqlTime,
        ended_at: Nullable<SqlTime>,
        address: Nullable<Text>,
        agent: Nullable<Text>,
        ended_why: Nullable<Text>,
    }
    spent_tokens (token_sha256) {
        token_sha256: Binary,
        session_id: SqlId,
        spent_at: SqlTime,
        successor: Nullable<Binary>,
    }
    login_failures (id) {
        id: Binary,
        failures: BigInt,
        first_at: SqlTime,
        last_at: SqlTime,
    }
    login_sources (user_id, source) {
        user_id: BigInt,
        source: Text,
        last_at: SqlTime,
    }
    api_keys (key_id) {
        key_id: SqlId,
        company_id: SqlId,
        user_id: BigInt,
        generation: BigInt,
        secret_sha256: Nullable<Binary>,
        legacy_bcrypt: Nullable<Text>,
        state: Text,
        created_at: SqlTime,
        created_by: Text,
        first_used_at: Nullable<SqlTime>,
        last_used_at: Nullable<SqlTime>,
        last_used_ip: Nullable<Text>,
        valid_until: Nullable<SqlTime>,
        revoked_at: Nullable<SqlTime>,
        revoked_by: Nullable<Text>,
        revoked_why: Nullable<Text>,
        seal_key: Text,
        expires_at: Nullable<SqlTime>,
        networks: Text,
        scan_id: Nullable<Text>,
    }
    mint_replies (idempotency_sha256) {
        idempotency_sha256: Binary,
        key_id: SqlId,
        request_sha256: Binary,
        reply: Nullable<Binary>,
        created_at: SqlTime,
        expires_at: SqlTime,
    }
    slices (id) {
        id: SqlId,
        name: Text,
        name_key: Text,
        slice_type: Text,
        primary_id: Nullable<SqlId>,
        epoch: SqlId,
        current_version: BigInt,
        allow_sync: Bool,
        lock_owner: Nullable<Text>,
        lock_expires_at: Nullable<SqlTime>,
        sync_status: Text,
        last_sync_attempt: Nullable<SqlTime>,
        last_good_sync: Nullable<SqlTime>,
        created_at: SqlTime,
        updated_at: SqlTime,
        draft_change: BigInt,
    }
    slice_versions (slice_id, version) {
        slice_id: SqlId,
        version: BigInt,
        grain_count: BigInt,
        payload_bytes: BigInt,
        content_hash: Text,
        ids_hash: Text,
        set_hash: Binary,
        digest: Binary,
        content_date: Nullable<SqlTime>,
        source_epoch: Nullable<SqlId>,
        source_version: Nullable<BigInt>,
        created_at: SqlTime,
    }
    version_leases (slice_id, version) {
        slice_id: SqlId,
        version: BigInt,
        since: SqlTime,
        expires_at: SqlTime,
    }
    slice_metadata (row_id) {
        row_id: BigInt,
        slice_id: SqlId,
        key: Text,
        value: Text,
        added_in: BigInt,
        removed_in: Nullable<BigInt>,
    }
    grains (row_id) {
        row_id: BigInt,
        slice_id: SqlId,
        id: SqlId,
        grain_key: Text,
        source: Text,
        encoding: Text,
        payload: Nullable<Text>,
        payload_len: BigInt,
        payload_bytes: BigInt,
        digest: Binary,
        added_in: BigInt,
        removed_in: Nullable<BigInt>,
        created_at: SqlTime,
    }
    grain_chunks (grain_row, seq) {
        grain_row: BigInt,
        seq: BigInt,
        data: Binary,
    }
    subscriptions (id) {
        id: SqlId,
        slice_id: SqlId,
        company_id: SqlId,
        name: Text,
        name_key: Text,
        description: Text,
        active: Bool,
        offered: Bool,
        created_at: SqlTime,
        updated_at: SqlTime,
        gone: Bool,
    }
    activity (id) {
        id: BigInt,
        uid: SqlId,
        company_id: SqlId,
        sub_id: Nullable<SqlId>,
        success: Bool,
        message: Text,
        error: Text,
        duration: BigInt,
        created_at: SqlTime,
    }
    partners (primary_id) {
        primary_id: SqlId,
        api_key: Nullable<Binary>,
        candidate_key: Nullable<Binary>,
        fence: BigInt,
        sync2: Bool,
        last_login_at: Nullable<SqlTime>,
        updated_at: SqlTime,
        rotation_key: Nullable<Binary>,
        key_created_at: Nullable<SqlTime>,
        key_expires_at: Nullable<SqlTime>,
        minted_key: Nullable<Binary>,
    }
    receipts (slice_id, company_id) {
        slice_id: SqlId,
        company_id: SqlId,
        version: Nullable<BigInt>,
        inferred: Bool,
        reported_at: Nullable<SqlTime>,
        offered: Nullable<BigInt>,
        error: Text,
        error_at: Nullable<SqlTime>,
    }
    receivers (company_id) {
        company_id: SqlId,
        asked_at: SqlTime,
    }
    stages (slice_id) {
        slice_id: SqlId,
        run: SqlId,
        purpose: Text,
        owner: Text,
        source_epoch: Nullable<SqlId>,
        source_version: BigInt,
        source_digest: Nullable<Binary>,
        mark: Nullable<Text>,
        unfinished_row: Nullable<BigInt>,
        touched_at: SqlTime,
    }
    row_counts (name, shard) {
        name: Text,
        shard: BigInt,
        total: BigInt,
    }
    sync_runs (id) {
        id: SqlId,
        primary_id: SqlId,
        fence: BigInt,
        state: Text,
        slices_total: BigInt,
        slices_changed: BigInt,
        slices_failed: BigInt,
        grains_added: BigInt,
        grains_removed: BigInt,
        payload_bytes: BigInt,
        error: Text,
        started_at: SqlTime,
        finished_at: Nullable<SqlTime>,
        asked_by: Text,
        slice: Text,
        slices_done: BigInt,
        grains_done: BigInt,
        grains_total: BigInt,
        bytes_done: BigInt,
        bytes_total: BigInt,
        bytes_per_second: BigInt,
        touched_at: Nullable<SqlTime>,
        cancel_asked: Bool,
        results: Nullable<Text>,
        hook_error: Text,
    }
    outbox (id) {
        id: BigInt,
        primary_id: SqlId,
        record: Text,
        attempts: BigInt,
        created_at: SqlTime,
    }
    schedules (primary_id) {
        primary_id: SqlId,
        cron: Nullable<Text>,
        zone: Text,
        period_seconds: Nullable<BigInt>,
        jitter_seconds: BigInt,
        paused: Bool,
        next_run_at: SqlTime,
        claimed_until: Nullable<SqlTime>,
        claim: Nullable<SqlId>,
        failures: BigInt,
        last_run_id: Nullable<SqlId>,
        last_error: Text,
        created_at: SqlTime,
        updated_at: SqlTime,
    }
    tags (id) {
        id: BigInt,
        name: Text,
        description: Text,
        created_at: SqlTime,
        updated_at: SqlTime,
    }
    slice_tags (slice_id, tag_id) {
        slice_id: SqlId,
        tag_id: BigInt,
    }
    credential_stamp (id) {
        id: BigInt,
        stamp: SqlId,
    }
    high_water (id) {
        id: BigInt,
        lineage: BigInt,
        revision: BigInt,
    }
    recoveries (number) {
        number: BigInt,
        lineage: BigInt,
        base: BigInt,
        covered: BigInt,
    }
    deaths (kind, id) {
        kind: Text,
        id: Text,
    }
    imports (id) {
        id: BigInt,
        source_sha256: Binary,
        report: Nullable<Text>,
        started_at: SqlTime,
        finished_at: Nullable<SqlTime>,
    }
}

diesel::joinable!(users -> companies (company_id));
diesel::joinable!(sessions -> users (user_id));
diesel::joinable!(spent_tokens -> sessions (session_id));
diesel::joinable!(api_keys -> users (user_id));
diesel::joinable!(api_keys -> companies (company_id));
diesel::joinable!(slice_versions -> slices (slice_id));
diesel::joinable!(subscriptions -> slices (slice_id));
diesel::joinable!(grains -> slices (slice_id));
diesel::joinable!(slice_tags -> tags (tag_id));
diesel::allow_tables_to_appear_in_same_query!(
    companies,
    users,
    settings,
    keyring,
    sessions,
    spent_tokens,
    login_failures,
    login_sources,
    api_keys,
    mint_replies,
    slices,
    slice_versions,
    version_leases,
    slice_metadata,
    grains,
    grain_chunks,
    subscriptions,
    activity,
    partners,
    receipts,
    receivers,
    stages,
    sync_runs,
    outbox,
    schedules,
    tags,
    slice_tags,
    imports,
);
