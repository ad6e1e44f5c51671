//! Many first mints at once.

use futures_util::StreamExt as _;
use futures_util::future::join_all;
use futures_util::stream;
use shared::store;
use shared::wire::Id;
use tests::TestPrimary;

use super::{Http, on_each, text};

const COMPANIES: usize = 20;
const MINTS: usize = 64;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_64_parallel_first_mints_over_two_primaries_one_sync_user_and_the_newest_key_remain() {
    on_each("of_64_parallel_first_mints", |database| async move {
        let here = TestPrimary::start_on(database, None).await;
        let there = here.beside().await;
        let http = Http::new();
        let mut companies = Vec::new();
        for n in 0..COMPANIES {
            let id = here.add_company(&format!("Company {n}"), &format!("admin{n}")).await;
            companies.push((id, http.person(&here.url, &format!("admin{n}")).await));
        }
        // Four companies at once, so that mints of different companies meet too.
        let all = companies.iter().map(|company| mint_at_once(&http, [&here, &there], company));
        stream::iter(all).buffer_unordered(4).collect::<Vec<()>>().await;

        let ids: Vec<Id> = companies.iter().map(|company| company.0).collect();
        let sync_users = here.node.store.read(move |conn| store::company::sync_users(conn, &ids)).await;
        assert_eq!(sync_users.unwrap().len(), COMPANIES, "one each");
        there.stop().await;
        here.stop().await;
    })
    .await;
}

async fn mint_at_once(http: &Http, nodes: [&TestPrimary; 2], (company, admin): &(Id, String)) {
    let company = *company;
    let minted = join_all((0..MINTS).map(|n| http.mint(&nodes[n % 2].url, admin))).await;
    let mut keys: Vec<(i64, String)> = minted
        .into_iter()
        .map(|(status, body)| {
            assert_eq!(status, 200, "{body}");
            (body["generation"].as_i64().unwrap(), text(&body["sync_api_key"]))
        })
        .collect();
    keys.sort();
    let generations: Vec<usize> = keys.iter().map(|key| usize::try_from(key.0).unwrap()).collect();
    assert_eq!(generations, (1..=MINTS).collect::<Vec<_>>(), "each once, without gaps");

    let attempts =
        nodes.into_iter().flat_map(|node| keys.iter().map(move |(generation, key)| (node, *generation, key)));
    let mut works: Vec<(String, i64)> = stream::iter(attempts)
        .map(|(node, generation, key)| async move {
            let token = http.login(&node.url, key).await;
            token.map(|_token| (node.url.clone(), generation))
        })
        .buffer_unordered(4)
        .filter_map(|worked| async move { worked })
        .collect()
        .await;
    works.sort();
    let mut newest: Vec<(String, i64)> = nodes.iter().map(|node| (node.url.clone(), 64)).collect();
    newest.sort();
    assert_eq!(works, newest, "the newest on both, and no other");

    let rows = nodes[0].node.store.read(move |conn| store::api_key::list(conn, Some(company))).await.unwrap();
    let active: Vec<i64> =
        rows.iter().filter(|row| row.state == "active").map(|row| row.generation).collect();
    assert_eq!((rows.len(), active), (MINTS, vec![64]));
}
