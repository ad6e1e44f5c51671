//! Whether the time of a refusal tells why it was refused: each kind of bad login as often as the others, in turn.

use std::time::Instant;

use serde_json::{Value, json};
use shared::crypto::password::Policy;
use shared::node::Policies;
use shared::server::serve::Running;
use tests::node::{COMPANY_ADMIN_PASSWORD, quick};
use tests::{ADMIN, TestPrimary};

use crate::wire::{self, Request, Wire};
use crate::{Options, Result, median};

/// Of bcrypt: enough to be most of the time, as it is in use, and little enough for hundreds of tries.
const COST: u32 = 8;
/// So many failures of one account at one place have to wait for nothing.
const FREE_FAILURES: usize = 3;

struct Kind {
    what: &'static str,
    logins: Vec<Value>,
    seconds: Vec<f64>,
}

impl Kind {
    fn new(what: &'static str, logins: Vec<Value>) -> Self {
        Self { what, logins, seconds: Vec::new() }
    }
}

/// Lines of the table.
pub async fn compare(name: &str, primary: &TestPrimary, options: &Options) -> Result<Vec<String>> {
    let passwords = Policy { cost: COST, ..Policy::default() };
    let served = primary.start_twin(Policies { passwords, ..quick() }).await;
    let mut lines = Vec::new();
    let people = people(&served, options.refusals).await?;
    let keys = keys(&served, primary).await?;
    for (group, mut kinds) in [("passwords", people), ("api-keys", keys)] {
        let mut wire = Wire::connect(served.addr, None).await?;
        for round in 0..options.refusals {
            // Whoever comes first has no advantage of it.
            kinds.rotate_left(1);
            for kind in &mut kinds {
                let login = kind.logins.get(round % kind.logins.len()).ok_or("no login")?;
                let request = Request::post(served.addr, "/login", login);
                let start = Instant::now();
                let (status, _body) = wire.ask(&request).await?;
                kind.seconds.push(start.elapsed().as_secs_f64());
                if status != 401 {
                    return Err(format!("{}: answered {status}", kind.what).into());
                }
            }
        }
        let medians: Vec<(&str, f64)> =
            kinds.into_iter().map(|kind| (kind.what, median(kind.seconds))).collect();
        let least = medians.iter().map(|(_what, seconds)| *seconds).fold(f64::INFINITY, f64::min);
        for (what, seconds) in medians {
            lines.push(format!(
                "| {name} | {group}: {what} | {:.3} ms | +{:.1} % |",
                seconds * 1e3,
                (seconds / least - 1.0) * 100.0
            ));
        }
    }
    served.stop().await;
    Ok(lines)
}

/// Every account and name only as often as it may fail without waiting.
async fn people(served: &Running, refusals: usize) -> Result<Vec<Kind>> {
    let staff = tests::node::login(&served.url(), ADMIN.0, ADMIN.1).await;
    let company: Value = staff
        .post("/v1/companies", &json!({ "name": "Many People", "sync_addr": "", "active": true }))
        .await?;
    let accounts = refusals.div_ceil(FREE_FAILURES);
    for number in 0..accounts {
        for (kind, active) in [("on", true), ("off", false)] {
            let username = format!("person-{kind}-{number}");
            let user = json!({
                "first_name": "Some", "last_name": "Body", "username": username, "email": format!("{username}@example.com"),
                "password": COMPANY_ADMIN_PASSWORD, "password_confirm": COMPANY_ADMIN_PASSWORD,
                "company_id": company["id"], "role": 120, "active": active,
            });
            let _user: Value = staff.post("/v1/users", &user).await?;
        }
    }
    let logins = |kind: &str, password: &str| -> Vec<Value> {
        (0..accounts)
            .map(|number| json!({ "username": format!("person-{kind}-{number}"), "password": password }))
            .collect()
    };
    Ok(vec![
        Kind::new("unknown name", logins("not", COMPANY_ADMIN_PASSWORD)),
        Kind::new("wrong password", logins("on", "granite-lemon-tulip-8")),
        Kind::new("switched off", logins("off", COMPANY_ADMIN_PASSWORD)),
    ])
}

async fn keys(served: &Running, primary: &TestPrimary) -> Result<Vec<Kind>> {
    let mut keys = Vec::new();
    for (name, username) in [("Key Parts", "keyadmin"), ("Off Parts", "offadmin")] {
        let company = primary.add_company(name, username).await;
        let admin = tests::node::login(&served.url(), username, COMPANY_ADMIN_PASSWORD).await;
        for _generation in 0..2 {
            let minted: Value = admin.post("/v1/apikey", &json!({})).await?;
            let key = minted["sync_api_key"].as_str().ok_or("no key")?.to_owned();
            // A key that is in use has logged in before.
            wire::login(served.addr, &json!({ "sync-api-key": key })).await?;
            keys.push(key);
        }
        if username == "offadmin" {
            let staff =
                wire::login(served.addr, &json!({ "username": ADMIN.0, "password": ADMIN.1 })).await?;
            let token = staff["token"].as_str().ok_or("no token")?;
            let off = json!({ "active": false });
            let request = Request::patch(served.addr, &format!("/v1/companies/{company}"), token, &off);
            let (status, _body) = Wire::connect(served.addr, None).await?.ask(&request).await?;
            if status != 200 {
                return Err(format!("a company was switched off: {status}").into());
            }
        }
    }
    let [superseded, good, _older, off] = keys.as_slice() else { return Err("four keys".into()) };
    let other = TestPrimary::start().await;
    other.add_company("Key Parts", "keyadmin").await;
    let admin = tests::node::login(&other.url, "keyadmin", COMPANY_ADMIN_PASSWORD).await;
    let foreign: Value = admin.post("/v1/apikey", &json!({})).await?;
    let foreign = foreign["sync_api_key"].as_str().ok_or("no key")?.to_owned();
    let flipped: String = good
        .char_indices()
        .map(|(at, c)| if at == 40 { if c == '0' { '1' } else { '0' } } else { c })
        .collect();
    let cut = good.get(..good.len() - 2).unwrap_or_default();
    let random = "5a".repeat(good.len() / 2);
    Ok([
        ("random", random.as_str()),
        ("one digit changed", flipped.as_str()),
        ("cut off", cut),
        ("of another primary", foreign.as_str()),
        ("superseded", superseded.as_str()),
        ("of a company that is off", off.as_str()),
    ]
    .into_iter()
    .map(|(what, key)| Kind::new(what, vec![json!({ "sync-api-key": key })]))
    .collect())
}
