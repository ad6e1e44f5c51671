//! PostgreSQL over TLS: only with the feature `postgres-tls`, since OpenSSL takes minutes to build.

#![allow(clippy::unwrap_used, reason = "a test stops where it fails")]

use std::os::unix::fs::PermissionsExt as _;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use shared::store::{Connection, DatabaseUrl, Store, StoreError};
use tests::{TestDatabase, postgres};

/// An authority, and a server certificate of it for `localhost`.
fn certificates(folder: &std::path::Path) {
    let authority_key = KeyPair::generate().unwrap();
    let mut authority = CertificateParams::new(Vec::new()).unwrap();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    std::fs::write(folder.join("authority.crt"), authority.self_signed(&authority_key).unwrap().pem())
        .unwrap();
    let issuer = Issuer::new(authority, authority_key);
    let server_key = KeyPair::generate().unwrap();
    let server = CertificateParams::new(vec!["localhost".to_owned()])
        .unwrap()
        .signed_by(&server_key, &issuer)
        .unwrap();
    std::fs::write(folder.join("server.crt"), server.pem()).unwrap();
    std::fs::write(folder.join("server.key"), server_key.serialize_pem()).unwrap();
    // The server runs as another user.
    std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o755)).unwrap();
}

#[tokio::test]
async fn a_server_that_proves_itself_is_used_over_tls_and_any_other_is_refused() {
    let Some(cluster) = postgres::private("a_server_that_proves_itself") else { return };
    let folder = tempfile::tempdir().unwrap();
    certificates(folder.path());
    let database = TestDatabase::on(&cluster);
    cluster.require_tls(folder.path());
    cluster.stop();
    cluster.start();
    let by_name = database.text().replace("127.0.0.1", "localhost");
    let authority = folder.path().join("authority.crt");
    let open = |url: &str, end: &str| -> Result<Store, StoreError> {
        Store::open(format!("{url}&hostaddr=127.0.0.1{end}").parse::<DatabaseUrl>().unwrap())
    };
    for end in
        [format!("&sslmode=verify-full&sslrootcert={}", authority.display()), "&sslmode=require".to_owned()]
    {
        let store = open(&by_name, &end).unwrap();
        assert!(is_encrypted(&store).await, "{end}");
    }
    for (url, end, says) in [
        // The system's trust store does not know the authority.
        (&by_name, "&sslmode=verify-full".to_owned(), "certificate verify failed"),
        // An address is not in the certificate.
        (
            &database.text().to_owned(),
            format!("&sslmode=verify-full&sslrootcert={}", authority.display()),
            "does not match host name",
        ),
        (&by_name, "&sslmode=disable".to_owned(), "no pg_hba.conf entry"),
    ] {
        match open(url, &end).map(|_store| ()) {
            Err(StoreError::Missing(message)) => assert!(message.contains(says), "{end}: {message}"),
            other => panic!("{end}: {other:?}"),
        }
    }
}

async fn is_encrypted(store: &Store) -> bool {
    #[derive(diesel::QueryableByName)]
    struct Row {
        #[diesel(sql_type = diesel::sql_types::Bool)]
        ssl: bool,
    }
    store
        .read(|conn| -> Result<bool, StoreError> {
            let Connection::Postgres(conn) = conn else { return Ok(false) };
            let row: Row = diesel::RunQueryDsl::get_result(
                diesel::sql_query("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()"),
                conn,
            )?;
            Ok(row.ssl)
        })
        .await
        .unwrap()
}
