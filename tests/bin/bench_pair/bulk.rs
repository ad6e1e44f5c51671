//! What the database itself takes: the same rows into the same tables with all their indexes and triggers, in one transaction
//! that is as durable as ours: COPY on PostgreSQL, 500 rows a statement on SQLite.

use std::time::{Duration, Instant};

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Binary, Text};
use shared::node::service::version;
use shared::store::grain::NewGrain;
use shared::store::slice::SliceRow;
use shared::store::{self, AnyConnection, Store, StoreError};
use shared::wire::{Id, Timestamp};
use tests::TestDatabase;

use super::Result;
use super::grains::Sample;

diesel::table! {
    /// Named for COPY alone, which takes text for each.
    grains (row_id) {
        row_id -> BigInt,
        slice_id -> Text,
        id -> Text,
        grain_key -> Text,
        source -> Text,
        encoding -> Text,
        payload -> Text,
        payload_len -> BigInt,
        payload_bytes -> BigInt,
        digest -> Binary,
        added_in -> BigInt,
        created_at -> Text,
    }
}

const ROWS: usize = 500;

/// How long the database takes for the rows; making them is not counted.
pub(super) async fn load(database: &TestDatabase, sample: &Sample) -> Result<Duration> {
    let store = database.store();
    let now = shared::clock::Clock::System.now();
    let slice_id = Id(uuid::Uuid::from_u128(1));
    store.write(move |conn| add_slice(conn, slice_id, now)).await?;
    let sample = *sample;
    let (spent, end) = store
        .write(move |conn| -> std::result::Result<_, StoreError> {
            let mut spent = Duration::ZERO;
            // The order of a feed, and the best for the indexes.
            for numbers in sample.by_id(slice_id).chunks(20 * ROWS) {
                let rows: Vec<NewGrain> =
                    numbers.iter().map(|number| sample.grain(slice_id, *number, 0, now)).collect();
                let begin = Instant::now();
                insert(conn, &rows)?;
                spent += begin.elapsed();
            }
            Ok((spent, Instant::now()))
        })
        .await?;
    Ok(spent + end.elapsed())
}

/// How long the database takes for the pieces of the only payload of a slice, which are read from `from`; and their bytes.
pub(super) async fn load_pieces(
    database: &TestDatabase,
    from: &Store,
    slice_id: Id,
) -> Result<(u64, Duration)> {
    let store = database.store();
    let now = shared::clock::Clock::System.now();
    let numbers = from
        .read(move |conn| -> std::result::Result<_, StoreError> {
            let rows = store::grain::page(conn, slice_id, i64::MAX - 1, None, 1)?;
            rows.first()
                .map(|row| Ok((row.row_id, store::payload::count_pieces(conn, row.row_id)?)))
                .transpose()
        })
        .await?;
    let (there, count) = numbers.ok_or("a slice without grains")?;
    store.write(move |conn| add_slice(conn, slice_id, now)).await?;
    let sample = Sample { count: 1, bytes: 1 };
    let here = store
        .write(move |conn| -> std::result::Result<_, StoreError> {
            let grain = sample.grain(slice_id, 0, 0, now);
            let id = grain.id;
            store::grain::insert(conn, &[grain])?;
            Ok(store::grain::live(conn, id)?.first().map(|row| row.row_id))
        })
        .await?
        .ok_or("a grain that is not there")?;
    let (pieces, mut arriving) = tokio::sync::mpsc::channel::<Vec<u8>>(4);
    let from = from.clone();
    let reader = tokio::spawn(async move {
        for seq in 0..count {
            let piece = from.read(move |conn| store::payload::piece(conn, there, seq)).await?;
            if pieces.send(piece.unwrap_or_default()).await.is_err() {
                break;
            }
        }
        Ok::<_, StoreError>(())
    });
    let (bytes, spent, end) = store
        .write(move |conn| -> std::result::Result<_, StoreError> {
            let (mut bytes, mut spent, mut seq) = (0, Duration::ZERO, 0);
            while let Some(piece) = arriving.blocking_recv() {
                let begin = Instant::now();
                store::payload::insert_piece(conn, here, seq, &piece)?;
                spent += begin.elapsed();
                bytes += piece.len() as u64;
                seq += 1;
            }
            Ok((bytes, spent, Instant::now()))
        })
        .await?;
    let took = spent + end.elapsed();
    reader.await??;
    Ok((bytes, took))
}

fn add_slice(conn: &mut AnyConnection, id: Id, now: Timestamp) -> std::result::Result<(), StoreError> {
    let row = SliceRow {
        draft_change: 0,
        id,
        name: "bench".to_owned(),
        name_key: "bench".to_owned(),
        slice_type: "pies-items".to_owned(),
        primary_id: None,
        epoch: id,
        current_version: 0,
        allow_sync: true,
        lock_owner: None,
        lock_expires_at: None,
        sync_status: "none".to_owned(),
        last_sync_attempt: None,
        last_good_sync: None,
        created_at: now,
        updated_at: now,
    };
    store::slice::insert(conn, &row)?;
    store::version::insert(conn, &version::empty(id, now))
}

fn insert(conn: &mut AnyConnection, rows: &[NewGrain]) -> QueryResult<()> {
    match conn {
        AnyConnection::Sqlite(conn) => rows.chunks(ROWS).try_for_each(|rows| insert_sqlite(conn, rows)),
        AnyConnection::Postgres(conn) => copy_postgres(conn, rows),
    }
}

fn insert_sqlite(conn: &mut SqliteConnection, rows: &[NewGrain]) -> QueryResult<()> {
    let mut sql = String::from(
        "INSERT INTO grains (slice_id, id, grain_key, source, encoding, payload, payload_len, payload_bytes, digest, \
         added_in, created_at) VALUES ",
    );
    sql.push_str(&vec!["(?,?,?,?,?,?,?,?,?,?,?)"; rows.len()].join(","));
    let mut query = diesel::sql_query(sql).into_boxed::<diesel::sqlite::Sqlite>();
    for row in rows {
        let length = row.payload.len() as i64;
        query = query
            .bind::<Binary, _>(row.slice_id.as_bytes().as_slice())
            .bind::<Binary, _>(row.id.as_bytes().as_slice())
            .bind::<Text, _>(&row.grain_key)
            .bind::<Text, _>(&row.source)
            .bind::<Text, _>(&row.encoding)
            .bind::<Text, _>(&row.payload)
            .bind::<BigInt, _>(length)
            .bind::<BigInt, _>(length)
            .bind::<Binary, _>(&row.digest)
            .bind::<BigInt, _>(row.added_in)
            .bind::<Text, _>(row.created_at.get().to_rfc3339_opts(chrono::SecondsFormat::Micros, true));
    }
    query.execute(conn).map(drop)
}

fn copy_postgres(conn: &mut PgConnection, rows: &[NewGrain]) -> QueryResult<()> {
    let columns = (
        grains::slice_id,
        grains::id,
        grains::grain_key,
        grains::source,
        grains::encoding,
        grains::payload,
        grains::payload_len,
        grains::payload_bytes,
        grains::digest,
        grains::added_in,
        grains::created_at,
    );
    diesel::copy_from(grains::table)
        .from_raw_data(columns, |out| {
            for row in rows {
                // None of the sample's texts holds a tab, a line end or a backslash.
                writeln!(
                    out,
                    "{}\t{}\t{}\t{}\t{}\t{}\t{length}\t{length}\t\\\\x{}\t{}\t{}",
                    row.slice_id.0,
                    row.id.0,
                    row.grain_key,
                    row.source,
                    row.encoding,
                    row.payload,
                    data_encoding::HEXLOWER.encode(&row.digest),
                    row.added_in,
                    row.created_at,
                    length = row.payload.len(),
                )
                .map_err(|error| diesel::result::Error::SerializationError(error.into()))?;
            }
            Ok(())
        })
        .execute(conn)
        .map(drop)
}
