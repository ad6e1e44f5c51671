//! Two companies that compete send what comes to mind, by turns: neither sees nor changes what is the other's.
//!
//! Requests are drawn from the contract, so an operation that is new is tried here from its first day. What must hold
//! is asked of the database and of each answer, not of rules that this test would have to know:
//!
//! * no answer holds a text that only rows hold which the caller's company may not read (`oracle`);
//! * after one side's requests every row that is not its own is as before (`rows`);
//! * what the other side is shown, with totals, cursors and headers, is as before, and its logins are alive;
//! * nothing is a fault of the server.
//!
//! And so that none of this is true because everything was refused: each operation that a company may use has
//! succeeded.

mod offer;
mod oracle;
mod request;
mod rows;
mod twin;
mod world;

use std::collections::BTreeMap;
use std::fmt::Write as _;

use rand::RngExt as _;
use rand::seq::SliceRandom as _;
use serde_json::Value;
use shared::node::contract::Access;
use shared::wire::user::Role;
use tests::TestDatabase;
use tests::seed::{Draw, draw_of, say, seed};

use self::offer::Drawn;
use self::oracle::Canaries;
use self::request::{Draft, Maker};
use self::rows::Rows;
use self::world::{Answer, World, send};

/// Requests of one side in one round.
const REQUESTS: usize = 140;

/// What comes anew without anybody's doing, and which shown values a use of one's own changes.
const OF_THE_MOMENT: [&str; 3] = ["last_seen_at", "last_used_at", "request_id"];

/// These end logins: afterwards it is looked who is still there.
const ENDING: [&str; 9] = [
    "logout",
    "endSession",
    "deleteUser",
    "changePassword",
    "mintApiKey",
    "mintApiKeyAtRoot",
    "revokeApiKeys",
    "revokeApiKeysAtRoot",
    "exchangeRefreshToken",
];

/// How an operation was answered.
#[derive(Default)]
struct Tally {
    sound: u32,
    sound_good: u32,
    asked: u32,
    good: u32,
}

struct Story {
    test: &'static str,
    world: World,
    all: Vec<Drawn>,
    /// What is still to be asked in this pass through all operations, by side: the operation, and whether soundly.
    decks: [Vec<(usize, bool)>; 2],
    tallies: BTreeMap<&'static str, Tally>,
    /// The requests of this round.
    log: Vec<String>,
    round: u32,
}

impl Drop for Story {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let Self { test, round, log, .. } = self;
            let last =
                log.iter().rev().take(5).rev().fold(String::new(), |all, line| format!("{all}{line}\n"));
            let seed = seed();
            say(&format!(
                "{test} failed in round {round}; again: SANDPIPER_TEST_SEED={seed} cargo test -p tests --test attack -- {test}\n{last}"
            ));
        }
    }
}

impl Story {
    fn new(test: &'static str, world: World) -> Self {
        let (all, decks) = (Drawn::all(), [Vec::new(), Vec::new()]);
        Self { test, world, all, decks, tallies: BTreeMap::new(), log: Vec::new(), round: 0 }
    }

    /// Roles in a company.
    fn is_for_tenants(&self, drawn: &Drawn) -> bool {
        [Role::CompanyAdmin, Role::Sync, Role::User]
            .into_iter()
            .any(|role| drawn.is_for(role, self.world.role))
    }

    fn deal(&mut self, side: usize, draw: &mut Draw) -> (usize, bool) {
        if self.decks[side].is_empty() {
            let mut deck = Vec::new();
            for (index, drawn) in self.all.iter().enumerate() {
                let wishes: &[bool] = if drawn.operation.id == "openapi" {
                    &[true]
                } else if self.is_for_tenants(drawn) {
                    &[true, false, false]
                } else {
                    &[false]
                };
                deck.extend(wishes.iter().map(|sound| (index, *sound)));
            }
            deck.shuffle(draw);
            self.decks[side] = deck;
        }
        self.decks[side].pop().unwrap()
    }

    async fn round(&mut self, number: u32) {
        self.round = number;
        self.log.clear();
        let mut draw = draw_of(self.test, number);
        let side = usize::try_from(number).unwrap() % 2;
        let other = 1 - side;
        self.world.seat_everybody(side).await;
        self.world.seat_everybody(other).await;
        let shown = self.shown(other).await;
        let before = self.world.rows().await;
        let mine = &self.world.sides[side];
        let canaries = Canaries::of(&before, &mine.company, &self.world.sides[other].told);
        assert!(canaries.count() > 100, "{} canaries", canaries.count());
        let company = mine.company.clone();
        for _ in 0..REQUESTS {
            self.ask(side, &mut draw, &before, &canaries).await;
        }
        let after = self.world.rows().await;
        let (rows_before, rows_after) = (before.beyond(&company), after.beyond(&company));
        let (lost, come): (Vec<_>, Vec<_>) =
            (rows_before.difference(&rows_after).collect(), rows_after.difference(&rows_before).collect());
        assert!(
            lost.is_empty() && come.is_empty(),
            "changed from {lost:#?}\nto {come:#?}\nby {:#?}",
            self.log
        );
        for seat in 0..self.world.sides[other].seats.len() {
            assert!(self.world.is_alive(other, seat).await, "a login of the other side: {:#?}", self.log);
        }
        let now = self.shown(other).await;
        for ((what, before), (_what, after)) in shown.iter().zip(&now) {
            assert_eq!(before, after, "{what} shows what the other side did: {:#?}", self.log);
        }
    }

    /// Everything that a side can read without a wish of its own: all lists, also by pages of one row, and one row of
    /// each kind, in each role.
    async fn shown(&self, side: usize) -> Vec<(String, Answer)> {
        let rows = self.world.rows().await;
        let maker = Maker { world: &self.world, rows: &rows, side };
        let mut shown = Vec::new();
        // Always the same rows.
        let mut draw = draw_of("shown", 0);
        for (seat, who) in self.world.sides[side].seats.iter().enumerate() {
            if who.username.ends_with("deputy") {
                continue;
            }
            for drawn in self.all.iter().filter(|drawn| drawn.operation.method == "GET") {
                let is_public = drawn.operation.access == Access::Public;
                if is_public || !drawn.is_for(who.role, self.world.role) {
                    continue;
                }
                let mut draft = maker.sound(&mut draw, drawn, seat);
                let mut wishes = vec![Vec::new()];
                if !drawn.sorts.is_empty() {
                    wishes.push(vec![("pagesize".to_owned(), "1".to_owned())]);
                }
                for wish in wishes {
                    draft.query = wish;
                    let mut answer = send(draft.build(&self.world, side)).await;
                    assert!(answer.status < 300, "{draft:?}: {answer:?}");
                    without_moments(&mut answer);
                    shown.push((format!("{} {}", draft.method, draft.url()), answer));
                }
            }
        }
        shown
    }

    async fn ask(&mut self, side: usize, draw: &mut Draw, rows: &Rows, canaries: &Canaries) {
        let (index, sound) = self.deal(side, draw);
        let drawn = &self.all[index];
        let id = drawn.operation.id;
        let mut seat = draw.random_range(0..self.world.sides[side].seats.len());
        if sound {
            let roles: Vec<Role> = self.world.sides[side].seats.iter().map(|seat| seat.role).collect();
            while !drawn.is_for(roles[seat], self.world.role)
                || id == "exchangeRefreshToken" && roles[seat] == Role::Sync
            {
                seat = (seat + 1) % roles.len();
            }
        }
        let maker = Maker { world: &self.world, rows, side };
        let mut draft = if sound { maker.sound(draw, drawn, seat) } else { maker.wild(draw, drawn) };
        if sound {
            self.prepare(side, id, &mut draft).await;
        }
        let answer = send(draft.build(&self.world, side)).await;
        let said = draft.said();
        self.log.push(format!("{draft:?} -> {}", answer.status));
        let seen = canaries.seen(&answer.text, &said, &self.world.sides[side].written);
        assert!(seen.is_empty(), "{seen:?} of others in the answer to {draft:?}:\n{}", answer.text);
        assert!(answer.status < 500, "{draft:?}: {answer:?}");
        let is_good = answer.status < 300;
        let is_over = draft.token.as_ref().is_some_and(|token| self.is_dead(side, token));
        assert!(!is_good || !is_over, "a login that is over: {draft:?}: {answer:?}");
        let tally = self.tallies.entry(id).or_default();
        tally.asked += 1;
        tally.good += u32::from(is_good);
        tally.sound += u32::from(sound);
        tally.sound_good += u32::from(sound && is_good);
        if is_good {
            self.learn(side, id, &draft, &answer.body()).await;
        }
    }

    fn is_dead(&self, side: usize, token: &String) -> bool {
        self.world.sides[side].seats.iter().any(|seat| seat.dead.contains(token))
    }

    /// Some must have made first what they end.
    async fn prepare(&mut self, side: usize, id: &str, draft: &mut Draft) {
        let boss = self.world.sides[side].seats[0].token.clone();
        match id {
            "deleteUser" => {
                let name = format!("{}u{}", self.world.sides[side].mark, self.world.next());
                let body = world::new_user(&self.world.sides[side].company, &name, Role::User);
                let made = self.world.request(side, "POST", "/v1/users").bearer_auth(boss).json(&body);
                draft.path = vec![("user_id", send(made).await.body()["id"].to_string())];
            }
            "endSession" => {
                let token = draft.token.clone().unwrap_or_default();
                let list =
                    send(self.world.request(side, "GET", "/v1/sessions").bearer_auth(token)).await.body();
                let session = list["data"][0]["id"].as_str().unwrap_or_else(|| panic!("{list}")).to_owned();
                draft.path = vec![("session_id", session)];
            }
            _ => {}
        }
    }

    /// What an answer gave to the side, and what it wrote.
    async fn learn(&mut self, side: usize, id: &str, draft: &Draft, answer: &Value) {
        if draft.method != "GET" {
            let mut written = Vec::new();
            texts_of(draft.body.as_ref().unwrap_or(&Value::Null), &mut written);
            self.world.sides[side].written.extend(written);
        }
        for name in ["token", "refresh_token", "sync_api_key"] {
            self.world.told(side, answer[name].as_str().unwrap_or_default());
        }
        self.world.told(side, answer["paging"]["next"].as_str().unwrap_or_default());
        if let Some(key) = answer["sync_api_key"].as_str() {
            self.world.sides[side].key = key.to_owned();
            // Else it would go on with the key before, and end in the other side's turn, with the overlap.
            let seats = &self.world.sides[side].seats;
            if let Some(robot) = seats.iter().position(|seat| seat.role == Role::Sync) {
                self.world.log_in(side, robot).await;
            }
        }
        if id == "exchangeRefreshToken" && self.world.sides[side].seats[draft.seat].role != Role::Sync {
            let seat = &mut self.world.sides[side].seats[draft.seat];
            // Who showed the token of another seat, or a spent one, ends no more than his own side's login.
            if draft.body.as_ref().is_some_and(|body| body["refresh_token"] == seat.refresh.as_str()) {
                seat.refresh = answer["refresh_token"].as_str().unwrap_or_default().to_owned();
            }
        }
        if ENDING.contains(&id) {
            self.world.seat_everybody(side).await;
        }
    }

    /// Prints what succeeded, and demands that enough did.
    fn conclude(&self) {
        let (mut lines, mut wrong) = (String::new(), Vec::new());
        let (mut asked, mut good) = (0, 0);
        for drawn in self.all.iter().filter(|drawn| self.is_for_tenants(drawn)) {
            let id = drawn.operation.id;
            let Some(tally) = self.tallies.get(id) else {
                wrong.push(format!("{id} was not asked"));
                continue;
            };
            let _ = write!(lines, " {id} {}/{}", tally.good, tally.asked);
            (asked, good) = (asked + tally.asked, good + tally.good);
            if tally.sound_good * 2 < tally.sound || tally.good == 0 {
                wrong.push(format!("{id}: of {} sound requests {} succeeded", tally.sound, tally.sound_good));
            }
        }
        say(&format!("{}: {good} of {asked} requests that a company may send succeeded:{lines}", self.test));
        assert!(wrong.is_empty(), "{wrong:#?}");
        assert!(good * 10 > asked * 3 && good * 10 < asked * 9, "{good} of {asked}");
    }
}

fn texts_of(value: &Value, texts: &mut Vec<String>) {
    match value {
        Value::String(text) => texts.push(rows::normal(text)),
        Value::Array(items) => items.iter().for_each(|item| texts_of(item, texts)),
        Value::Object(members) => members.values().for_each(|member| texts_of(member, texts)),
        _ => {}
    }
}

fn without_moments(answer: &mut Answer) {
    let Some((head, body)) = answer.text.split_once("\n\n") else { return };
    let Ok(mut body) = serde_json::from_str::<Value>(body) else { return };
    forget(&mut body);
    answer.text = format!("{head}\n\n{body}");
}

fn forget(value: &mut Value) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(forget),
        Value::Object(members) => {
            members.retain(|name, _value| !OF_THE_MOMENT.contains(&name.as_str()));
            members.values_mut().for_each(forget);
        }
        _ => {}
    }
}

async fn tell(test: &'static str, world: World) {
    let rounds = tests::times(80);
    say(&format!("{test}: {rounds} rounds with SANDPIPER_TEST_SEED={}", seed()));
    let mut story = Story::new(test, world);
    for round in 1..=rounds {
        story.round(round).await;
    }
    story.conclude();
}

#[tokio::test]
async fn whatever_two_companies_ask_of_a_primary_neither_sees_nor_changes_what_is_the_others() {
    let test = "whatever_two_companies_ask_of_a_primary";
    for database in TestDatabase::each(test) {
        let world = World::on_primary(database, &mut draw_of(test, 0)).await;
        tell(test, world).await;
    }
}

#[tokio::test]
async fn whatever_two_companies_ask_of_a_secondary_neither_sees_nor_changes_what_is_the_others() {
    let test = "whatever_two_companies_ask_of_a_secondary";
    for database in TestDatabase::each(test) {
        let world = World::on_secondary(database, &mut draw_of(test, 0)).await;
        tell(test, world).await;
    }
}
