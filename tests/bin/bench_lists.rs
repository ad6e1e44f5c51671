//! `cargo bench-lists`: what a page of a long list costs, at its beginning and at its end, by `next` and by `page`.
//!
//! Fills a fresh database (SQLite, and PostgreSQL where it can be had) through the store, serves it, and asks over HTTP.
//! Each figure is the median of several requests. The ratios are what to look at: machines differ, and so do their days.

#![allow(clippy::indexing_slicing, reason = "a benchmark stops where an answer is not as it must be")]

use std::time::{Duration, Instant};

use clap::Parser;
use serde_json::{Value, json};
use shared::clock::Random;
use shared::crypto::set_hash::grain_digest;
use shared::store::company::CompanyRow;
use shared::store::grain::NewGrain;
use shared::store::{self, StoreError};
use shared::wire::Id;
use tests::{TestDatabase, TestPrimary};

/// Measures lists of many companies and grains on both databases
#[derive(Parser)]
#[command(name = "bench-lists")]
struct Options {
    /// Companies in the list
    #[arg(long, default_value_t = 100_000)]
    companies: usize,
    /// Grains in one slice
    #[arg(long, default_value_t = 1_000_000)]
    grains: usize,
    /// Requests for each figure
    #[arg(long, default_value_t = 9)]
    samples: usize,
}

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

#[tokio::main]
async fn main() -> Result<()> {
    let options = Options::parse();
    println!("| database | list | rows | first by next | last by next | ratio | last by page |");
    println!("| --- | --- | ---: | ---: | ---: | ---: | ---: |");
    for database in TestDatabase::each("bench-lists") {
        let name = if database.text().starts_with("sqlite") { "SQLite" } else { "PostgreSQL" };
        let primary = TestPrimary::start_on(database, None).await;
        eprintln!("{name}: adding {} companies and {} grains …", options.companies, options.grains);
        add_companies(&primary, options.companies).await?;
        let slice = add_grains(&primary, options.grains).await?;
        // The publisher's own is one more.
        let (companies, grains) = (options.companies + 1, options.grains);
        for (list, path, rows) in [
            ("companies", "/v1/companies".to_owned(), companies),
            ("companies by created_at", "/v1/companies?sort=created_at:desc".to_owned(), companies),
            ("grains of all slices", "/v1/grains".to_owned(), grains),
            ("grains of one slice", format!("/v1/grains/slice/{slice}"), grains),
            ("the same, last id first", format!("/v1/grains/slice/{slice}?sort=id:desc"), grains),
        ] {
            let line = measure(&primary, &path, rows, options.samples).await?;
            println!("| {name} | {list} {line}");
        }
        primary.stop().await;
    }
    Ok(())
}

async fn add_companies(primary: &TestPrimary, count: usize) -> Result<()> {
    let now = primary.node.clock.now();
    for start in (0..count).step_by(2_000) {
        let end = count.min(start + 2_000);
        primary
            .node
            .store
            .write(move |conn| -> std::result::Result<(), StoreError> {
                for number in start..end {
                    let name = format!("Company {number:08}");
                    let row = CompanyRow {
                        id: Random::System.id(),
                        name_key: store::company::name_key(&name),
                        name,
                        sync_addr: None,
                        active: number % 2 == 0,
                        key_generation: 0,
                        created_at: now
                            .plus(chrono::Duration::milliseconds(i64::try_from(number).unwrap_or(0))),
                        updated_at: now,
                    };
                    store::company::insert(conn, &row)?;
                }
                Ok(())
            })
            .await?;
    }
    Ok(())
}

async fn add_grains(primary: &TestPrimary, count: usize) -> Result<Id> {
    let body = json!({ "name": "Many", "slice_type": "pies-items", "allow_sync": true });
    let slice: Value = primary.admin.post("/v1/slices", &body).await?;
    let slice: Id = slice["id"].as_str().unwrap_or_default().parse()?;
    let now = primary.node.clock.now();
    for start in (0..count).step_by(2_000) {
        let end = count.min(start + 2_000);
        primary
            .node
            .store
            .write(move |conn| -> std::result::Result<(), StoreError> {
                let new: Vec<NewGrain> = (start..end)
                    .map(|number| {
                        let (id, grain_key) = (Random::System.id(), format!("part {number}"));
                        let payload = format!("payload of part {number}");
                        NewGrain {
                            slice_id: slice,
                            id,
                            digest: grain_digest(id, &grain_key, "raw", "bench", &payload).to_vec(),
                            grain_key,
                            source: "bench".to_owned(),
                            encoding: "raw".to_owned(),
                            payload,
                            added_in: 1,
                            created_at: now,
                        }
                    })
                    .collect();
                store::grain::insert(conn, &new)
            })
            .await?;
    }
    // Publishing so many takes longer than a client of this kind waits for; the server goes on.
    let published = primary.admin.call(reqwest::Method::POST, &format!("/v1/slices/refresh/{slice}")).await;
    if let Err(error) = published {
        eprintln!("waiting for the publication ({error}) …");
    }
    tests::wait_until("a published slice", async || {
        let shown = primary.admin.get::<Value>(&format!("/v1/slices/{slice}")).await;
        shown.is_ok_and(|shown| shown["content_count"].as_u64() == u64::try_from(count).ok())
    })
    .await;
    Ok(slice)
}

const PAGE_SIZE: i64 = 50;

/// First page, the page behind the last `next`, and the last page by number.
async fn measure(primary: &TestPrimary, path: &str, rows: usize, samples: usize) -> Result<String> {
    let with = |more: &str| format!("{path}{}{more}", if path.contains('?') { '&' } else { '?' });
    let first: Value = primary.admin.get(&with("pagesize=50")).await?;
    let total = first["paging"]["items_total"].as_i64().unwrap_or_default();
    if usize::try_from(total)? != rows {
        return Err(format!("{path} says that there are {total} rows, and there are {rows}").into());
    }
    let last_page = (total + PAGE_SIZE - 1) / PAGE_SIZE;
    // The cursor in front of the last page is on the page before it.
    let before: Value = primary.admin.get(&with(&format!("pagesize=50&page={}", last_page - 1))).await?;
    let next = before["paging"]["next"].as_str().ok_or("the page before the last one has a next")?;
    let begin = first["paging"]["next"].as_str().ok_or("the first page has a next")?;
    let at_start = median(primary, &with(&format!("pagesize=50&next={begin}")), samples).await?;
    let at_end = median(primary, &with(&format!("pagesize=50&next={next}")), samples).await?;
    let by_page = median(primary, &with(&format!("pagesize=50&page={last_page}")), samples).await?;
    let ms = |time: Duration| format!("{:.1} ms", time.as_secs_f64() * 1_000.0);
    let ratio = at_end.as_secs_f64() / at_start.as_secs_f64();
    Ok(format!("| {total} | {} | {} | {ratio:.2} | {} |", ms(at_start), ms(at_end), ms(by_page)))
}

async fn median(primary: &TestPrimary, path: &str, samples: usize) -> Result<Duration> {
    let mut times = Vec::with_capacity(samples);
    for _ in 0..samples.max(1) {
        let start = Instant::now();
        let _page: Value = primary.admin.get(path).await?;
        times.push(start.elapsed());
    }
    times.sort_unstable();
    Ok(times[times.len() / 2])
}
