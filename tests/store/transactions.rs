//! A write is whole or not at all, and writers queue.

use shared::store::list::Selection;
use shared::store::{self, StoreError};
use tests::TestDatabase;

use super::{company, now, write};

#[tokio::test]
async fn a_write_that_fails_or_panics_changes_nothing() {
    for database in TestDatabase::each("a_write_that_fails_or_panics") {
        let store = database.store();
        let (refused, broken) = (company("Refused"), company("Broken"));
        let result: Result<(), StoreError> = store
            .write(move |conn| {
                store::company::insert(conn, &refused)?;
                Err(StoreError::Internal("on purpose".to_owned()))
            })
            .await;
        assert!(result.is_err());
        let writer = store.clone();
        let panicked = tokio::spawn(async move {
            writer
                .write(move |conn| -> Result<(), StoreError> {
                    store::company::insert(conn, &broken)?;
                    panic!("on purpose")
                })
                .await
        });
        assert!(panicked.await.is_err());
        for _ in 0..20 {
            let left = store
                .read(|conn| store::company::list(conn, None, &Selection::all(&store::company::COLUMNS)))
                .await
                .unwrap();
            assert_eq!(left.1, 0, "{}", database.url());
        }
        write(&store, |conn| store::company::insert(conn, &company("Good"))).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn parallel_read_then_write_loses_no_update() {
    for database in TestDatabase::each("parallel_read_then_write") {
        let store = database.store();
        let row = company("Retail Parts");
        let id = row.id;
        write(&store, move |conn| store::company::insert(conn, &row)).await.unwrap();
        // A second pool on the same database: another process, as far as it is concerned.
        let other = database.store();
        let mut tasks = Vec::new();
        for n in 0..200 {
            let store = if n % 2 == 0 { store.clone() } else { other.clone() };
            tasks.push(tokio::spawn(async move {
                write(&store, move |conn| store::company::next_key_generation(conn, id)).await.unwrap()
            }));
        }
        let mut generations = Vec::new();
        for task in tasks {
            generations.push(task.await.unwrap());
        }
        generations.sort_unstable();
        assert_eq!(generations, (1..=200).collect::<Vec<i64>>(), "{}", database.url());
    }
}

#[tokio::test]
async fn only_the_newest_run_holds_the_fence_and_one_the_lock() {
    for database in TestDatabase::each("only_the_newest_run_holds_the_fence") {
        let store = database.store();
        let row = company("Better Brakes");
        let id = row.id;
        let (first, second) = write(&store, move |conn| {
            store::company::insert(conn, &row)?;
            Ok((store::partner::raise_fence(conn, id, now())?, store::partner::raise_fence(conn, id, now())?))
        })
        .await
        .unwrap();
        assert!(second > first);
        for (fence, held) in [(first, false), (second, true)] {
            let holds =
                write(&store, move |conn| store::partner::holds_fence(conn, id, fence)).await.unwrap();
            assert_eq!(holds, held);
        }
        let lock = store.try_run_lock(id).await.unwrap();
        assert!(lock.is_some());
        assert!(database.store().try_run_lock(id).await.unwrap().is_none(), "another process is told");
        assert!(store.try_run_lock(super::id()).await.unwrap().is_some(), "another primary is free");
        drop(lock);
        assert!(database.store().try_run_lock(id).await.unwrap().is_some());
    }
}
