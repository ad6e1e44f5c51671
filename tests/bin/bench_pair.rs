//! `cargo bench-pair`: what a sync costs beside what the database itself takes for the same rows, how much of it crosses the
//! wire, and how much memory both servers need; from a thousand grains to a million.
//!
//! The servers are the real programs, in processes of their own. Everything shares this machine, the databases too, so the
//! ratios are what to look at: machines differ, and so do their days.

#![allow(
    clippy::as_conversions,
    clippy::cast_possible_wrap,
    clippy::cast_precision_loss,
    clippy::indexing_slicing,
    reason = "counts become ratios, and members of answers are looked at"
)]

#[path = "bench_pair/bulk.rs"]
mod bulk;
#[path = "bench_pair/grains.rs"]
mod grains;
#[path = "bench_pair/relay.rs"]
mod relay;
#[path = "bench_pair/servers.rs"]
mod servers;

use std::time::{Duration, Instant};

use clap::Parser;
use shared::wire::Id;
use tests::TestDatabase;
use tests::binaries::Programs;
use tests::postgres::Postgres;

use grains::Sample;
use servers::{Pair, Peak};

/// Measures syncs of the real servers on both databases, beside the database's own rate
#[derive(Parser)]
#[command(name = "bench-pair")]
struct Options {
    /// Grains in the slices, one slice each
    #[arg(long, value_delimiter = ',', default_values_t = [1_000, 10_000, 100_000, 1_000_000])]
    grains: Vec<usize>,
    /// Bytes of each payload
    #[arg(long, default_value_t = 1_024)]
    bytes: usize,
    /// Grains changed for each delta
    #[arg(long, default_value_t = 100)]
    changes: usize,
    /// Syncs for each figure of no-ops and deltas
    #[arg(long, default_value_t = 5)]
    samples: usize,
    /// Bytes of the one large file; 0 for none
    #[arg(long, default_value_t = 1 << 30)]
    file: u64,
    /// Slices for the sync of many in which nothing is new; 0 for none
    #[arg(long, default_value_t = 300)]
    slices: usize,
    /// Only this database
    #[arg(long, value_parser = ["sqlite", "postgres"])]
    database: Option<String>,
}

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

#[tokio::main]
async fn main() -> Result<()> {
    let options = Options::parse();
    eprintln!("building the two servers …");
    let programs = Programs::build()?;
    shared::server::tls::install_provider();
    let (mut loads, mut deltas, mut files, mut nothings) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    if let Postgres::Available(cluster) = tests::postgres::cluster() {
        cluster.wait_for_disk()?;
    }
    for database in TestDatabase::each("bench-pair") {
        if options.database.as_ref().is_some_and(|only| !database.text().starts_with(only)) {
            continue;
        }
        let name = if database.text().starts_with("sqlite") { "SQLite" } else { "PostgreSQL" };
        let pair = Pair::start(&programs, database, another(name)?).await?;
        for count in &options.grains {
            let sample = Sample { count: *count, bytes: options.bytes };
            eprintln!("{name}: {count} grains into the tables themselves …");
            let bulk = bulk::load(&another(name)?, &sample).await?;
            eprintln!("{name}: {count} grains through the pair …");
            let load = first_load(&pair, &sample).await?;
            loads.push(load.row(name, &sample, bulk));
            deltas.push(delta(&pair, load.slice, &sample, &options).await?.row(name, &sample));
        }
        if options.file > 0 {
            eprintln!("{name}: a file of {} bytes through the pair …", options.file);
            files.push(file(&pair, options.file, &another(name)?).await?.row(name));
        }
        if options.slices > 0 {
            // Without what was measured before.
            let pair = Pair::start(&programs, another(name)?, another(name)?).await?;
            eprintln!("{name}: {} slices in which nothing is new …", options.slices);
            nothings.push(nothing(name, &pair, &options).await?);
        }
    }
    if loads.is_empty() {
        return Err("there is no such database to measure: install PostgreSQL".into());
    }
    println!(
        "| database | grains | bulk load, a second | first load, a second | of bulk load | wire, of payload | memory above idle: primary | secondary |"
    );
    println!("| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |");
    for row in &loads {
        println!("{row}");
    }
    println!();
    println!(
        "| database | grains | sync with nothing new | {} changed | wire, of the changed payloads compressed | memory above idle: primary | secondary |",
        options.changes
    );
    println!("| --- | ---: | ---: | ---: | ---: | ---: | ---: |");
    for row in &deltas {
        println!("{row}");
    }
    println!();
    println!(
        "| database | file, MiB | its payload text, MiB | into the tables themselves, MiB of text a second | published | synced | of bulk load | wire, of the text | memory above idle: primary (publishing) | primary | secondary |"
    );
    println!("| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |");
    for row in &files {
        println!("{row}");
    }
    println!();
    println!("| database | slices | sync with nothing new | requests | wire |");
    println!("| --- | ---: | ---: | ---: | ---: |");
    for row in &nothings {
        println!("{row}");
    }
    Ok(())
}

/// A fresh database of the same kind.
fn another(name: &str) -> Result<TestDatabase> {
    match name {
        "SQLite" => Ok(TestDatabase::sqlite()),
        _ => TestDatabase::postgres("bench-pair").ok_or_else(|| "PostgreSQL went away".into()),
    }
}

/// A sync of a slice that the secondary has never seen.
struct FirstLoad {
    slice: Id,
    took: Duration,
    wire: u64,
    peak: Peak,
}

async fn first_load(pair: &Pair, sample: &Sample) -> Result<FirstLoad> {
    let slice = pair.publish(sample).await?;
    pair.forget_peak()?;
    let (took, wire) = pair.sync().await?;
    let peak = pair.peak()?;
    pair.require_equal(slice).await?;
    Ok(FirstLoad { slice, took, wire, peak })
}

impl FirstLoad {
    fn row(&self, database: &str, sample: &Sample, bulk: Duration) -> String {
        let rate = |took: Duration| sample.count as f64 / took.as_secs_f64();
        format!(
            "| {database} | {} | {:.0} | {:.0} | {:.0} % | {:.2} | {} | {} |",
            sample.count,
            rate(bulk),
            rate(self.took),
            rate(self.took) / rate(bulk) * 100.0,
            self.wire as f64 / (sample.count * sample.bytes) as f64,
            self.peak.primary(),
            self.peak.secondary(),
        )
    }
}

/// Syncs of a slice of which little or nothing changed.
struct Delta {
    nothing: Duration,
    took: Duration,
    wire: u64,
    compressed: u64,
    peak: Peak,
}

async fn delta(pair: &Pair, slice: Id, sample: &Sample, options: &Options) -> Result<Delta> {
    let (mut nothing, mut took, mut wires) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..options.samples {
        nothing.push(pair.sync().await?.0);
    }
    let mut compressed = Vec::new();
    pair.forget_peak()?;
    for round in 0..options.samples {
        compressed.push(pair.change(slice, sample, options.changes, round).await?);
        let (time, wire) = pair.sync().await?;
        took.push(time);
        wires.push(wire);
    }
    let peak = pair.peak()?;
    pair.require_equal(slice).await?;
    Ok(Delta {
        nothing: median(nothing),
        took: median(took),
        wire: median(wires),
        compressed: median(compressed),
        peak,
    })
}

impl Delta {
    fn row(&self, database: &str, sample: &Sample) -> String {
        let ms = |time: Duration| format!("{:.1} ms", time.as_secs_f64() * 1_000.0);
        format!(
            "| {database} | {} | {} | {} | {:.2} ({} KiB) | {} | {} |",
            sample.count,
            ms(self.nothing),
            ms(self.took),
            self.wire as f64 / self.compressed as f64,
            self.wire / 1_024,
            self.peak.primary(),
            self.peak.secondary(),
        )
    }
}

/// A file that is one grain.
struct File {
    bytes: u64,
    text: u64,
    bulk: Duration,
    published: Duration,
    publishing: Peak,
    took: Duration,
    wire: u64,
    peak: Peak,
}

async fn file(pair: &Pair, bytes: u64, empty: &TestDatabase) -> Result<File> {
    pair.forget_peak()?;
    let begin = Instant::now();
    let slice = pair.publish_file(bytes).await?;
    let (published, publishing) = (begin.elapsed(), pair.peak()?);
    pair.forget_peak()?;
    let (took, wire) = pair.sync().await?;
    let peak = pair.peak()?;
    pair.require_equal(slice).await?;
    let (text, bulk) = bulk::load_pieces(empty, pair.published_store(), slice).await?;
    Ok(File { bytes, text, bulk, published, publishing, took, wire, peak })
}

impl File {
    fn row(&self, database: &str) -> String {
        let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
        let rate = |took: Duration| mib(self.text) / took.as_secs_f64();
        format!(
            "| {database} | {:.0} | {:.0} | {:.0} | {:.1} s | {:.1} s | {:.0} % | {:.2} | {} | {} | {} |",
            mib(self.bytes),
            mib(self.text),
            rate(self.bulk),
            self.published.as_secs_f64(),
            self.took.as_secs_f64(),
            rate(self.took) / rate(self.bulk) * 100.0,
            self.wire as f64 / self.text as f64,
            self.publishing.primary(),
            self.peak.primary(),
            self.peak.secondary(),
        )
    }
}

/// A sync of many slices, none of which has changed.
async fn nothing(database: &str, pair: &Pair, options: &Options) -> Result<String> {
    for _ in 0..options.slices {
        pair.publish(&Sample { count: 10, bytes: options.bytes }).await?;
    }
    pair.sync().await?;
    let (mut times, mut wires, mut requests) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..options.samples {
        let before = pair.requests();
        let (time, wire) = pair.sync().await?;
        times.push(time);
        wires.push(wire);
        requests.push(pair.requests() - before);
    }
    Ok(format!(
        "| {database} | {} | {:.1} ms | {} | {} KiB |",
        options.slices,
        median(times).as_secs_f64() * 1_000.0,
        median(requests),
        median(wires) / 1_024,
    ))
}

fn median<T: Ord + Copy>(mut values: Vec<T>) -> T {
    values.sort_unstable();
    values[values.len() / 2]
}
