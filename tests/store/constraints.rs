//! Uniqueness holds in the database, whatever the code above it does.

use shared::store::api_key::ApiKeyRow;
use shared::store::{self, StoreError};
use shared::wire::Id;
use tests::TestDatabase;

use super::{company, id, now, user, write};

#[tokio::test]
async fn a_company_has_one_name_and_one_sync_user() {
    for database in TestDatabase::each("a_company_has_one_name") {
        let store = database.store();
        let row = company("Retail Parts");
        let (company_id, same_name) = (row.id, company("RETAIL parts"));
        write(&store, move |conn| store::company::insert(conn, &row)).await.unwrap();
        let conflict = write(&store, move |conn| store::company::insert(conn, &same_name)).await;
        assert!(matches!(conflict, Err(StoreError::Conflict(_))), "{conflict:?}");
        write(&store, move |conn| store::user::insert(conn, &user(company_id, "sync_a", 200))).await.unwrap();
        let second =
            write(&store, move |conn| store::user::insert(conn, &user(company_id, "sync_b", 200))).await;
        assert!(matches!(second, Err(StoreError::Conflict(_))), "{second:?}");
        write(&store, move |conn| store::user::insert(conn, &user(company_id, "anna", 120))).await.unwrap();
        let again =
            write(&store, move |conn| store::user::insert(conn, &user(company_id, "ANNA", 120))).await;
        assert!(matches!(again, Err(StoreError::Conflict(_))), "{again:?}");
    }
}

fn key(company_id: Id, user_id: i64, generation: i64, state: &str) -> ApiKeyRow {
    ApiKeyRow {
        secret_sha256: Some(vec![0; 32]),
        state: state.to_owned(),
        seal_key: "r0".to_owned(),
        ..ApiKeyRow::new(id(), (company_id, user_id), generation, "test", now())
    }
}

#[tokio::test]
async fn a_company_has_one_active_key_and_each_generation_once() {
    for database in TestDatabase::each("a_company_has_one_active_key") {
        let store = database.store();
        let row = company("Retail Parts");
        let company_id = row.id;
        let user_id = write(&store, move |conn| {
            store::company::insert(conn, &row)?;
            Ok(store::user::insert(conn, &user(company_id, "sync_a", 200))?.id)
        })
        .await
        .unwrap();
        let insert = |row: ApiKeyRow| write(&store, move |conn| store::api_key::insert(conn, &row));
        insert(key(company_id, user_id, 1, "active")).await.unwrap();
        for refused in [key(company_id, user_id, 2, "active"), key(company_id, user_id, 1, "revoked")] {
            assert!(matches!(insert(refused).await, Err(StoreError::Conflict(_))));
        }
        insert(key(company_id, user_id, 2, "revoked")).await.unwrap();
        assert!(insert(key(company_id, user_id, 3, "lost")).await.is_err(), "unknown state");
    }
}

#[tokio::test]
async fn rows_that_are_referred_to_stay() {
    for database in TestDatabase::each("rows_that_are_referred_to_stay") {
        let store = database.store();
        let row = company("Retail Parts");
        let company_id = row.id;
        write(&store, move |conn| {
            store::company::insert(conn, &row)?;
            store::user::insert(conn, &user(company_id, "anna", 120))
        })
        .await
        .unwrap();
        let deleted = write(&store, move |conn| store::company::delete(conn, company_id)).await;
        assert!(matches!(deleted, Err(StoreError::Reference(_))), "{deleted:?}");
    }
}
