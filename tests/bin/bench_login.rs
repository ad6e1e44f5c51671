//! `cargo bench-login`: what a login and an authenticated request cost, beside a handler that does nothing and one that reads
//! one row through the same store; and what is left of that during a flood of logins.
//!
//! Client and servers share this machine, so each figure holds the client's work too: it is the same for all, and makes
//! every ratio smaller than it would be. The ratios are what to look at: machines differ, and so do their days.

#![allow(
    clippy::as_conversions,
    clippy::cast_precision_loss,
    clippy::indexing_slicing,
    reason = "counts become ratios, and members of answers are looked at"
)]

#[path = "bench_login/flood.rs"]
mod flood;
#[path = "bench_login/refusals.rs"]
mod refusals;
#[path = "bench_login/wire.rs"]
mod wire;

use std::time::{Duration, Instant};

use actix_web::{App, HttpResponse, HttpServer, web};
use clap::Parser;
use serde_json::{Value, json};
use shared::crypto::password::Policy;
use shared::node::Policies;
use shared::server::serve::Running;
use shared::store::{self, Store};
use shared::wire::Id;
use tests::node::{COMPANY_ADMIN_PASSWORD, quick};
use tests::{TestDatabase, TestPrimary};

use wire::Request;

/// Measures logins and authenticated requests on both databases
#[derive(Parser)]
#[command(name = "bench-login")]
struct Options {
    /// Seconds for each figure of each round
    #[arg(long, default_value_t = 2)]
    seconds: u64,
    /// Rounds; each figure is the median of its rounds, in which all are measured in turn
    #[arg(long, default_value_t = 9)]
    rounds: usize,
    /// Connections that ask at the same time
    #[arg(long, default_value_t = 16)]
    connections: usize,
    /// Seconds of the flood
    #[arg(long, default_value_t = 30)]
    flood_seconds: u64,
    /// Clients of the flood
    #[arg(long, default_value_t = 64)]
    flood_clients: usize,
    /// Refused logins of each kind
    #[arg(long, default_value_t = 200)]
    refusals: usize,
    /// Only this database
    #[arg(long, value_parser = ["sqlite", "postgres"])]
    database: Option<String>,
}

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

#[tokio::main]
async fn main() -> Result<()> {
    let options = Options::parse();
    println!("| database | what | a second | of one read |");
    println!("| --- | --- | ---: | ---: |");
    let (mut floods, mut refusals) = (Vec::new(), Vec::new());
    for database in TestDatabase::each("bench-login") {
        if options.database.as_ref().is_some_and(|only| !database.text().starts_with(only)) {
            continue;
        }
        let name = if database.text().starts_with("sqlite") { "SQLite" } else { "PostgreSQL" };
        let bench = Bench::start(database).await?;
        eprintln!("{name}: rates …");
        rates(name, &bench, &options).await?;
        eprintln!("{name}: a flood of {} clients for {} s …", options.flood_clients, options.flood_seconds);
        floods.push(flood::during(name, &bench, &options).await?);
        eprintln!("{name}: {} refusals of each kind …", options.refusals);
        refusals.extend(refusals::compare(name, &bench.primary, &options).await?);
        bench.stop().await;
    }
    println!();
    println!(
        "| database | `GET /server`, p95 | during the flood | ratio | logins of the victim | of the flood: 401, 429, 503 |"
    );
    println!("| --- | ---: | ---: | ---: | ---: | --- |");
    if floods.is_empty() {
        return Err("there is no such database to measure: install PostgreSQL".into());
    }
    for line in floods {
        println!("{line}");
    }
    println!();
    println!("| database | refused login, bcrypt at cost 8 | median | over the least of its group |");
    println!("| --- | --- | ---: | ---: |");
    for line in refusals {
        println!("{line}");
    }
    Ok(())
}

/// A primary at the real cost of passwords, a company with an admin and a key, and the server to compare with.
struct Bench {
    primary: TestPrimary,
    served: Running,
    beside: actix_web::dev::ServerHandle,
    beside_addr: std::net::SocketAddr,
    token: String,
    api_key: String,
}

const USERNAME: &str = "companyadmin";

impl Bench {
    async fn start(database: TestDatabase) -> Result<Self> {
        let primary = TestPrimary::start_on(database, None).await;
        primary.add_company("Retail Parts", USERNAME).await;
        let real = Policies { passwords: Policy::default(), ..quick() };
        let served = primary.start_twin(real).await;
        let admin = tests::node::login(&served.url(), USERNAME, COMPANY_ADMIN_PASSWORD).await;
        let minted: Value = admin.post("/v1/apikey", &json!({})).await?;
        let api_key = minted["sync_api_key"].as_str().unwrap_or_default().to_owned();
        let login = wire::login(served.addr, &json!({ "sync-api-key": api_key })).await?;
        let token = login["token"].as_str().ok_or("no token")?.to_owned();
        let (store, company) = (primary.node.store.clone(), primary.server_id);
        let (beside, beside_addr) = serve_beside(store, company)?;
        Ok(Self { primary, served, beside, beside_addr, token, api_key })
    }

    async fn stop(self) {
        self.beside.stop(true).await;
        self.served.stop().await;
        self.primary.stop().await;
    }
}

/// What there is to compare with, as bare as it goes.
fn serve_beside(store: Store, company: Id) -> Result<(actix_web::dev::ServerHandle, std::net::SocketAddr)> {
    let server = HttpServer::new(move || {
        let store = store.clone();
        App::new()
            .route("/bare", web::get().to(|| async { HttpResponse::Ok().json(json!({ "a": 1 })) }))
            .route(
                "/read",
                web::get().to(move || {
                    let store = store.clone();
                    async move {
                        let found = store.read(move |conn| store::company::find(conn, company)).await;
                        match found {
                            Ok(Some(row)) => {
                                HttpResponse::Ok().json(json!({ "id": row.id, "name": row.name }))
                            }
                            _ => HttpResponse::InternalServerError().finish(),
                        }
                    }
                }),
            )
    })
    .workers(std::thread::available_parallelism().map_or(2, |cores| cores.get().max(2)))
    .tcp_nodelay(true)
    .disable_signals()
    .bind(("127.0.0.1", 0))?;
    let addr = *server.addrs().first().ok_or("no address")?;
    let server = server.run();
    let handle = server.handle();
    tokio::spawn(server);
    Ok((handle, addr))
}

async fn rates(name: &str, bench: &Bench, options: &Options) -> Result<()> {
    let key = json!({ "sync-api-key": bench.api_key });
    let kinds = [
        ("a handler that does nothing", Request::get(bench.beside_addr, "/bare", None)),
        ("a handler with one indexed read", Request::get(bench.beside_addr, "/read", None)),
        (
            "`GET /server` with a machine's token",
            Request::get(bench.served.addr, "/server", Some(&bench.token)),
        ),
        ("login with an api-key", Request::post(bench.served.addr, "/login", &key)),
    ];
    let mut measured: Vec<Vec<f64>> = kinds.iter().map(|_| Vec::new()).collect();
    for _round in 0..options.rounds {
        for ((_what, request), rates) in kinds.iter().zip(&mut measured) {
            rates.push(wire::rate(request, options.connections, Duration::from_secs(options.seconds)).await?);
        }
    }
    let one_read = measured.get(1).cloned().unwrap_or_default();
    for ((what, _request), rates) in kinds.iter().zip(measured) {
        // Of each round: a machine that others use too is quicker in one than in the next.
        let ratio = median(rates.iter().zip(&one_read).map(|(rate, read)| rate / read * 100.0).collect());
        println!("| {name} | {what} | {:.0} | {ratio:.0} % |", median(rates));
    }
    // Passwords are another matter: what bcrypt takes is what they are meant to take.
    let threads =
        std::thread::available_parallelism().map_or(1, |cores| cores.get().saturating_sub(1).max(1));
    let start = Instant::now();
    let hash = tokio::task::spawn_blocking(|| bcrypt::hash("granite-lemon-tulip-7", Policy::default().cost))
        .await??;
    let raw = threads as f64 / start.elapsed().as_secs_f64();
    assert!(hash.starts_with("$2b$12$"));
    let person = json!({ "username": USERNAME, "password": COMPANY_ADMIN_PASSWORD });
    let request = Request::post(bench.served.addr, "/login", &person);
    let rate = wire::rate(&request, threads + 1, Duration::from_secs(options.seconds.max(3))).await?;
    println!(
        "| {name} | login with a password | {rate:.1} | {:.0} % of bcrypt alone ({raw:.1}) |",
        rate / raw * 100.0
    );
    Ok(())
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
