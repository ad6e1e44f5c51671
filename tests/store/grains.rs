//! Versioned grains: what belongs to which version, in which order, with which payload.

use shared::crypto::set_hash::grain_digest;
use shared::node::service::version::measure;
use shared::store::grain::NewGrain;
use shared::store::{self, Connection, StoreError};
use shared::wire::Id;
use tests::TestDatabase;

use super::{add_slice, id, now, write};

fn grain(slice_id: Id, id: Id, key: &str, payload: &str, version: i64) -> NewGrain {
    NewGrain {
        slice_id,
        id,
        grain_key: key.to_owned(),
        source: "test".to_owned(),
        encoding: "raw".to_owned(),
        payload: payload.to_owned(),
        digest: grain_digest(id, key, "raw", "test", payload).to_vec(),
        added_in: version,
        created_at: now(),
    }
}

fn keys_at(conn: &mut Connection, slice: Id, version: i64) -> Result<Vec<String>, StoreError> {
    let mut keys: Vec<String> =
        store::grain::page(conn, slice, version, None, 100)?.into_iter().map(|row| row.grain_key).collect();
    keys.sort();
    Ok(keys)
}

#[tokio::test]
async fn each_version_keeps_its_own_grains() {
    for database in TestDatabase::each("each_version_keeps_its_own_grains") {
        let store = database.store();
        write(&store, |conn| {
            let slice = add_slice(conn, "items")?;
            let (a, b) = (id(), id());
            store::grain::insert(conn, &[grain(slice, a, "a", "1", 1), grain(slice, b, "b", "1", 1)])?;
            store::grain::remove(conn, slice, 2, &[a])?;
            store::grain::insert(conn, &[grain(slice, id(), "a", "2", 2)])?;
            assert_eq!(keys_at(conn, slice, 0)?, Vec::<String>::new());
            assert_eq!(keys_at(conn, slice, 1)?, ["a", "b"]);
            assert_eq!(keys_at(conn, slice, 2)?, ["a", "b"]);
            assert!(store::grain::find(conn, slice, 1, a)?.is_some());
            assert!(store::grain::find(conn, slice, 2, a)?.is_none());
            // The id may come back.
            store::grain::remove(conn, slice, 3, &[b])?;
            store::grain::insert(conn, &[grain(slice, b, "b", "3", 4)])?;
            assert_eq!(keys_at(conn, slice, 3)?, ["a"]);
            assert_eq!(keys_at(conn, slice, 4)?, ["a", "b"]);
            Ok(())
        })
        .await
        .unwrap();
    }
}

#[tokio::test]
async fn a_live_id_or_key_is_there_once() {
    for database in TestDatabase::each("a_live_id_or_key_is_there_once") {
        let store = database.store();
        let taken = id();
        let slice = write(&store, move |conn| {
            let slice = add_slice(conn, "items")?;
            store::grain::insert(conn, &[grain(slice, taken, "a", "1", 1)])?;
            Ok(slice)
        })
        .await
        .unwrap();
        for twice in [grain(slice, taken, "other", "1", 1), grain(slice, id(), "a", "1", 1)] {
            let refused = write(&store, move |conn| store::grain::insert(conn, &[twice])).await;
            assert!(matches!(refused, Err(StoreError::Conflict(_))), "{refused:?}");
        }
    }
}

#[tokio::test]
async fn what_is_added_and_removed_in_one_draft_never_was_and_undo_takes_back_the_rest() {
    for database in TestDatabase::each("what_is_added_and_removed_in_one_draft") {
        let store = database.store();
        write(&store, |conn| {
            let slice = add_slice(conn, "items")?;
            let (old, brief) = (id(), id());
            store::grain::insert(conn, &[grain(slice, old, "old", "1", 1)])?;
            // The draft of version 2.
            store::grain::insert(conn, &[grain(slice, brief, "brief", "1", 2)])?;
            assert_eq!(store::grain::remove(conn, slice, 2, &[brief, old])?, 2);
            assert!(store::grain::kept(conn, brief)?.is_empty(), "no trace of it");
            let digest = grain_digest(old, "old", "raw", "test", "1");
            assert!(!store::grain::restore(conn, slice, 2, old, &[0; 32])?, "another content");
            assert!(store::grain::restore(conn, slice, 2, old, &digest)?);
            assert_eq!(keys_at(conn, slice, 2)?, ["old"]);
            store::grain::remove(conn, slice, 2, &[old])?;
            store::grain::insert(conn, &[grain(slice, id(), "old", "2", 2)])?;
            while store::grain::undo(conn, slice, 2, 1)? > 0 {}
            assert_eq!(store::grain::find(conn, slice, 2, old)?.map(|row| row.removed_in), Some(None));
            assert_eq!(keys_at(conn, slice, 2)?, ["old"]);
            Ok(())
        })
        .await
        .unwrap();
    }
}

#[tokio::test]
async fn ids_sort_by_bytes_on_every_database() {
    for database in TestDatabase::each("ids_sort_by_bytes") {
        let store = database.store();
        write(&store, |conn| {
            let slice = add_slice(conn, "items")?;
            let mut ids: Vec<Id> = (0..300).map(|_| id()).collect();
            let grains: Vec<_> = ids.iter().map(|id| grain(slice, *id, &id.to_string(), "x", 1)).collect();
            store::grain::insert(conn, &grains)?;
            ids.sort_by_key(|id| *id.as_bytes());
            let mut found = Vec::new();
            while let page = store::grain::index_page(conn, slice, 1, found.last().copied(), 7)?
                && !page.is_empty()
            {
                found.extend(page.into_iter().map(|(id, _digest)| id));
            }
            assert_eq!(found, ids);
            Ok(())
        })
        .await
        .unwrap();
    }
}

#[tokio::test]
async fn payloads_of_any_size_come_back_as_they_were() {
    for database in TestDatabase::each("payloads_of_any_size") {
        let store = database.store();
        write(&store, |conn| {
            let slice = add_slice(conn, "files")?;
            // Around the limit for a row, around the size of a piece, and across it in the middle of a character.
            for size in [0, 1, 64 * 1024, 64 * 1024 + 1, 1024 * 1024, 1024 * 1024 + 1, 3_000_001] {
                let mut payload = "x".repeat(size % 3);
                payload.push_str(&"€".repeat(size / 3));
                let id = id();
                store::grain::insert(conn, &[grain(slice, id, &size.to_string(), &payload, 1)])?;
                let row = store::grain::find(conn, slice, 1, id)?.unwrap();
                assert_eq!(usize::try_from(row.payload_bytes).unwrap(), payload.len());
                assert_eq!(usize::try_from(row.payload_len).unwrap(), payload.chars().count());
                assert!(store::payload::of_row(conn, &row)? == payload, "{size}");
                assert!(store::payload::of_rows(conn, vec![row])?[0].1 == payload, "{size}");
            }
            Ok(())
        })
        .await
        .unwrap();
    }
}

#[tokio::test]
async fn a_draft_is_measured_by_its_changes_and_equals_the_whole() {
    for database in TestDatabase::each("a_draft_is_measured") {
        let store = database.store();
        write(&store, |conn| {
            let slice = add_slice(conn, "items")?;
            let base = store::version::find(conn, slice, 0)?.unwrap();
            assert!(!measure(conn, &base)?.changed);
            let grains: Vec<_> = (0..20).map(|n| grain(slice, id(), &n.to_string(), "abc", 1)).collect();
            store::grain::insert(conn, &grains)?;
            store::metadata::replace(conn, slice, 1, &[("vcdb".to_owned(), "2026".to_owned())])?;
            let measured = measure(conn, &base)?;
            assert_eq!((measured.grain_count, measured.payload_bytes, measured.changed), (20, 60, true));
            let mut whole = shared::crypto::set_hash::SetHash::default();
            for grain in &grains {
                whole.add_grain(&grain.digest);
            }
            whole.add_pair("vcdb", "2026");
            assert_eq!(measured.set_hash, whole);
            Ok(())
        })
        .await
        .unwrap();
    }
}

#[tokio::test]
async fn the_way_between_versions_is_the_same_by_small_pages() {
    for database in TestDatabase::each("the_way_between_versions") {
        let store = database.store();
        write(&store, |conn| {
            let slice = add_slice(conn, "items")?;
            let ids: Vec<Id> = (0..40).map(|_| id()).collect();
            // Versions 1 to 4 add ten each; 3 and 4 remove five each of the first twenty.
            for (version, batch) in (1..).zip(ids.chunks(10)) {
                let grains: Vec<_> =
                    batch.iter().map(|id| grain(slice, *id, &id.to_string(), "x", version)).collect();
                store::grain::insert(conn, &grains)?;
            }
            store::grain::remove(conn, slice, 3, &ids[0..5])?;
            store::grain::remove(conn, slice, 4, &ids[10..15])?;
            for (from, to, added, removed) in
                [(0, 4, 30, 0), (1, 4, 25, 5), (2, 4, 20, 10), (3, 4, 10, 5), (4, 4, 0, 0)]
            {
                for limit in [1, 3, 7, 100] {
                    let (mut found, mut after) = (Vec::new(), None);
                    loop {
                        let page = store::grain::added_between(conn, slice, from, to, after, limit)?;
                        let Some(last) = page.last() else { break };
                        after = Some((last.added_in, last.id));
                        found.extend(page.iter().map(|row| (row.added_in, row.id)));
                    }
                    assert_eq!(found.len(), added, "added {from} to {to} by {limit}");
                    assert!(found.is_sorted(), "{from} to {to} by {limit}");
                    let (mut found, mut after) = (Vec::new(), None);
                    loop {
                        let page = store::grain::removed_between(conn, slice, from, to, after, limit)?;
                        let Some(last) = page.last() else { break };
                        after = Some((last.removed_in.unwrap(), last.id));
                        found.extend(page.iter().map(|row| (row.removed_in.unwrap(), row.id)));
                    }
                    assert_eq!(found.len(), removed, "removed {from} to {to} by {limit}");
                    assert!(found.is_sorted(), "{from} to {to} by {limit}");
                }
            }
            Ok(())
        })
        .await
        .unwrap();
    }
}
