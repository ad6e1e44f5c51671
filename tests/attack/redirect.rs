//! Whoever took over a primary's address, or stands on the way, sends receivers elsewhere: the key does not go there.

use std::sync::Arc;

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use serde_json::json;
use tests::fake::Fake;
use tests::{ADMIN, Pair};

use super::Caller;

#[tokio::test]
async fn a_primary_that_redirects_gets_the_key_sent_nowhere() {
    let pair = Pair::start().await;
    let id = pair.primary.server_id;
    let staff = Caller::password(&pair.secondary.url, ADMIN.0, ADMIN.1).await;
    let thief = Fake::start(Arc::new(|_asked| Box::pin(async { HttpResponse::Ok().json(json!({})) })));
    for status in [301, 302, 303, 307, 308] {
        let target = format!("{}/login", thief.url);
        let guide = Fake::start(Arc::new(move |_asked| {
            let target = target.clone();
            Box::pin(async move {
                let status = StatusCode::from_u16(status).unwrap();
                HttpResponse::build(status).insert_header(("location", target)).finish()
            })
        }));
        let path = format!("/v1/companies/{id}");
        let (moved, _company) = staff.call("PATCH", &path, Some(json!({ "sync_addr": guide.url }))).await;
        assert_eq!(moved, 200);
        let refused = pair.secondary.sync(id).await.unwrap_err();
        assert!(!guide.seen.lock().unwrap().is_empty(), "{status}: {refused}");
        assert!(thief.seen.lock().unwrap().is_empty(), "{status}: the key went on");
    }
}
