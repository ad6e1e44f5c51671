//! Requests and the owner's logins while strangers flood the login.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;
use tests::node::COMPANY_ADMIN_PASSWORD;

use crate::wire::{Request, Wire};
use crate::{Bench, Options, Result, USERNAME};

/// Where the flood comes from, as the server sees it.
const STRANGERS: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));
const VICTIMS_LOGINS: u32 = 100;

/// A line of the table.
pub async fn during(name: &str, bench: &Bench, options: &Options) -> Result<String> {
    let addr = bench.served.addr;
    let lasting = Duration::from_secs(options.flood_seconds);
    let server = Request::get(addr, "/server", Some(&bench.token));
    let idle = p95(addr, &server, lasting.min(Duration::from_secs(10))).await?;
    let (over, counts) = (Arc::new(AtomicBool::new(false)), Arc::new([const { AtomicU64::new(0) }; 3]));
    let flood: Vec<_> = (0..options.flood_clients)
        .map(|client| {
            let (over, counts) = (Arc::clone(&over), Arc::clone(&counts));
            tokio::spawn(async move {
                let mut wire =
                    Wire::connect(addr, Some(STRANGERS)).await.map_err(|error| error.to_string())?;
                for round in 0.. {
                    if over.load(Ordering::Relaxed) {
                        break;
                    }
                    // Every other one is after the victim.
                    let name = if client % 2 == 0 {
                        USERNAME.to_owned()
                    } else {
                        format!("nobody-{client}-{round}")
                    };
                    let body = json!({ "username": name, "password": "some guess" });
                    let (status, _body) = wire
                        .ask(&Request::post(addr, "/login", &body))
                        .await
                        .map_err(|error| error.to_string())?;
                    let at = match status {
                        401 => 0,
                        429 => 1,
                        503 => 2,
                        other => return Err(format!("a guess was answered {other}")),
                    };
                    if let Some(count) = counts.get(at) {
                        count.fetch_add(1, Ordering::Relaxed);
                    }
                }
                Ok(())
            })
        })
        .collect();
    let victim = tokio::spawn(async move {
        let person = json!({ "username": USERNAME, "password": COMPANY_ADMIN_PASSWORD });
        let login = Request::post(addr, "/login", &person);
        let mut wire = Wire::connect(addr, None).await.map_err(|error| error.to_string())?;
        let mut good = 0;
        for _ in 0..VICTIMS_LOGINS {
            let (status, _body) = wire.ask(&login).await.map_err(|error| error.to_string())?;
            good += u32::from(status == 200);
        }
        Ok::<u32, String>(good)
    });
    let flooded = p95(addr, &server, lasting).await?;
    let good = victim.await??;
    over.store(true, Ordering::Relaxed);
    for client in flood {
        client.await??;
    }
    let [refused, waiting, overloaded] =
        [0, 1, 2].map(|at| counts.get(at).map_or(0, |n| n.load(Ordering::Relaxed)));
    Ok(format!(
        "| {name} | {:.2} ms | {:.2} ms | {:.1} | {good} of {VICTIMS_LOGINS} | {refused}, {waiting}, {overloaded} |",
        idle * 1e3,
        flooded * 1e3,
        flooded / idle
    ))
}

/// Of one request after the other, in seconds.
async fn p95(addr: std::net::SocketAddr, request: &Request, lasting: Duration) -> Result<f64> {
    let mut wire = Wire::connect(addr, None).await?;
    let mut times = Vec::new();
    let start = Instant::now();
    while start.elapsed() < lasting {
        let asked = Instant::now();
        let (status, _body) = wire.ask(request).await?;
        if status != 200 {
            return Err(format!("GET /server was answered {status}").into());
        }
        times.push(asked.elapsed().as_secs_f64());
        // A client that asks again and again without a pause would be a flood of its own.
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    times.sort_by(f64::total_cmp);
    Ok(times.get(times.len() * 95 / 100).copied().unwrap_or(f64::NAN))
}
