//! Requests drawn from the contract: sound ones, and ones in which everything may be somebody else's or nonsense.

use data_encoding::BASE64URL_NOPAD;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use rand::RngExt as _;
use rand::seq::{IndexedRandom as _, IteratorRandom as _};
use serde_json::{Map, Value, json};
use shared::clock::Random;
use shared::node::contract::Access;
use shared::wire::user::Role;
use tests::node::COMPANY_ADMIN_PASSWORD;
use tests::seed::Draw;

use super::offer::Drawn;
use super::rows::Rows;
use super::world::{Side, World, new_user};

/// A request before it is written down.
#[derive(Clone)]
pub struct Draft {
    pub method: String,
    pub template: &'static str,
    pub seat: usize,
    pub token: Option<String>,
    /// Values of the parameters in the path.
    pub path: Vec<(&'static str, String)>,
    pub query: Vec<(String, String)>,
    pub headers: Vec<(&'static str, String)>,
    pub body: Option<Value>,
    /// Instead of a body that is JSON.
    pub raw: Option<String>,
}

/// As whoever looks for the fault reads it.
impl std::fmt::Debug for Draft {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "seat {}: {} {} {:?}", self.seat, self.method, self.url(), self.headers)?;
        match (&self.raw, &self.body) {
            (Some(raw), _) => write!(f, " {raw:?}"),
            (None, Some(body)) => write!(f, " {body}"),
            (None, None) => Ok(()),
        }
    }
}

impl Draft {
    pub fn url(&self) -> String {
        let mut path = self.template.to_owned();
        for (name, value) in &self.path {
            let value = utf8_percent_encode(value, NON_ALPHANUMERIC).to_string();
            path = path.replace(&format!("{{{name}}}"), &value);
        }
        let escape = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
        let query: Vec<String> =
            self.query.iter().map(|(name, value)| format!("{}={}", escape(name), escape(value))).collect();
        if query.is_empty() { path } else { format!("{path}?{}", query.join("&")) }
    }

    /// All that it says.
    pub fn said(&self) -> String {
        let body = self.body.as_ref().map(Value::to_string).or(self.raw.clone()).unwrap_or_default();
        let Self { path, query, headers, token, .. } = self;
        format!("{path:?} {query:?} {headers:?} {token:?}\n{body}")
    }

    pub fn build(&self, world: &World, side: usize) -> reqwest::RequestBuilder {
        let mut request = world.request(side, &self.method, &self.url());
        if let Some(token) = &self.token {
            request = request.bearer_auth(token);
        }
        for (name, value) in &self.headers {
            request = request.header(*name, value);
        }
        match (&self.raw, &self.body) {
            (Some(raw), _) => request.header("content-type", "application/json").body(raw.clone()),
            (None, Some(body)) => request.json(body),
            (None, None) => request,
        }
    }
}

/// Which table has what a name speaks of.
fn source(name: &str, template: &str) -> Option<(&'static str, &'static str)> {
    Some(match name {
        "company_id" | "primary_id" | "server_id" => ("companies", "id"),
        "slice_id" => ("slices", "id"),
        "grain_id" | "ids" => ("grains", "id"),
        "subscription_id" | "sub_id" => ("subscriptions", "id"),
        "session_id" => ("sessions", "id"),
        "user_id" | "sync_user_id" => ("users", "id"),
        "activity_id" => ("activity", "id"),
        "tag_id" => ("tags", "id"),
        "key_id" => ("api_keys", "key_id"),
        "ring_key" | "seal_key" => ("keyring", "id"),
        // A hash is what a thief of the database has.
        "token" | "refresh_token" | "token_sha256" => ("sessions", "token_sha256"),
        "epoch" => ("slices", "epoch"),
        "digest" => ("slice_versions", "digest"),
        "grain_key" => ("grains", "grain_key"),
        "username" => ("users", "username"),
        "email" => ("users", "email"),
        "name" if template.contains("/slices/") => ("slices", "name"),
        "name" if template.contains("/subs") => ("subscriptions", "name"),
        "name" | "slice_name" => ("companies", "name"),
        _ => return None,
    })
}

/// Draws for one side.
pub struct Maker<'a> {
    pub world: &'a World,
    pub rows: &'a Rows,
    pub side: usize,
}

impl Maker<'_> {
    fn own(&self) -> &Side {
        &self.world.sides[self.side]
    }

    /// Values that a name may have, of rows that the company may read or of all others.
    pub fn pool(&self, name: &str, template: &str, own: bool) -> Vec<String> {
        let Some((table, column)) = source(name, template) else { return Vec::new() };
        self.rows.column(&self.own().company, own, table, column)
    }

    /// A value that should work, for somebody of the side.
    fn sound_value(&self, draw: &mut Draw, name: &str, template: &str, seat: usize) -> String {
        let seat = &self.own().seats[seat];
        match name {
            "user_id" => return seat.id.to_string(),
            "token" | "refresh_token" => return seat.refresh.clone(),
            "company_id" => return self.own().company.clone(),
            _ => {}
        }
        let mut pool = self.pool(name, template, true);
        if matches!(name, "slice_id" | "grain_id" | "ids") || name == "name" && template.contains("/slices/")
        {
            // Of slices that are switched on: those whose grains may be read.
            let open = self.rows.column(&self.own().company, true, "grains", "slice_id");
            let slices = self.rows.readable(&self.own().company, true).filter(|row| row.table == "slices");
            let open_names = slices.filter(|row| open.iter().any(|id| row.get("id") == Some(id)));
            match name {
                "slice_id" => pool = open,
                "name" => pool = open_names.filter_map(|row| row.get("name").map(str::to_owned)).collect(),
                _ => {}
            }
        }
        pool.choose(draw).cloned().unwrap_or_else(|| "1".to_owned())
    }

    /// Anything: one's own, somebody else's, what there is not, nonsense.
    pub fn any_value(&self, draw: &mut Draw, name: &str, template: &str) -> String {
        let [own, others] = [true, false].map(|own| self.pool(name, template, own));
        let missing = Random::System.id().to_string();
        let numbers = name.ends_with("user_id") || name == "activity_id" || name == "tag_id";
        let nonsense =
            ["", "0", "-1", "%", "x", "../..", "null", "1 OR 1=1", "9223372036854775807", "\u{fffd}"];
        let chosen = match draw.random_range(0..10) {
            0..3 => own.choose(draw).cloned(),
            3..8 => others.choose(draw).cloned(),
            8 if numbers => Some("4711".to_owned()),
            8 => Some(missing),
            _ => None,
        };
        chosen.unwrap_or_else(|| (*nonsense.choose(draw).unwrap()).to_owned())
    }

    /// One that should be answered with success.
    pub fn sound(&self, draw: &mut Draw, drawn: &Drawn, seat: usize) -> Draft {
        let operation = &drawn.operation;
        let template = operation.path;
        let mut path: Vec<_> = operation
            .path_parameters()
            .map(|name| (name, self.sound_value(draw, name, template, seat)))
            .collect();
        if template.contains("{slice_id}/grains/{grain_id}") {
            // A slice has no grains but its own.
            let grains = self.rows.readable(&self.own().company, true).filter(|row| row.table == "grains");
            if let Some(grain) = grains.choose(draw) {
                path = [("slice_id", "slice_id"), ("grain_id", "id")]
                    .map(|(name, column)| (name, grain.get(column).unwrap_or_default().to_owned()))
                    .to_vec();
            }
        }
        let mut headers = Vec::new();
        if operation.id.starts_with("mintApiKey") {
            headers.push(("idempotency-key", format!("{}-{}", self.own().mark, self.world.next())));
        }
        let needs_token = matches!(operation.access, Access::Login(_));
        Draft {
            method: operation.method.to_string(),
            template,
            seat,
            token: needs_token.then(|| self.own().seats[seat].token.clone()),
            path,
            query: Vec::new(),
            headers,
            body: self.sound_body(draw, operation.id, seat),
            raw: None,
        }
    }

    fn sound_body(&self, draw: &mut Draw, id: &str, seat: usize) -> Option<Value> {
        let (side, n) = (self.own(), self.world.next());
        let mark = format!("{}-{n}", side.mark);
        let seat = &side.seats[seat];
        Some(match id {
            "login" if side.key.is_empty() => {
                json!({ "username": side.seats[0].username, "password": COMPANY_ADMIN_PASSWORD })
            }
            "login" | "syncLogin" => json!({ "sync-api-key": side.key }),
            "exchangeRefreshToken" => json!({ "refresh_token": seat.refresh }),
            "mintApiKey" | "mintApiKeyAtRoot" => json!({ "overlap_seconds": draw.random_range(1..100) }),
            "updateCompany" => json!({ "name": format!("Parts of {mark}") }),
            "createUser" => {
                let name = format!("{}u{n}", side.mark);
                new_user(&side.company, &name, Role::User)
            }
            "updateUser" => json!({ "phone": mark, "display_name": mark, "first_name": mark }),
            "changePassword" => json!({
                "old_password": COMPANY_ADMIN_PASSWORD, "new_password": COMPANY_ADMIN_PASSWORD,
                "new_password_confirm": COMPANY_ADMIN_PASSWORD,
            }),
            "recordActivity" => {
                let subs = self.pool("sub_id", "", true);
                json!({ "company_id": side.company, "message": mark, "success": true, "sub_id": subs.choose(draw) })
            }
            "readGrains" => {
                json!({ "version": 1, "ids": [self.sound_value(draw, "ids", "", 0)] })
            }
            _ => return None,
        })
    }

    /// One in which anything may be wrong.
    pub fn wild(&self, draw: &mut Draw, drawn: &Drawn) -> Draft {
        let seat = draw.random_range(0..self.own().seats.len());
        let mut draft = self.sound(draw, drawn, seat);
        for (name, value) in &mut draft.path {
            if draw.random_bool(0.7) {
                *value = self.any_value(draw, name, draft.template);
            }
        }
        if !drawn.query.is_empty() && draw.random_bool(0.7) || draw.random_bool(0.1) {
            for _ in 0..draw.random_range(1..4) {
                draft.query.push(self.any_parameter(draw, drawn));
            }
        }
        if !drawn.members.is_empty() {
            self.twist_body(draw, drawn, &mut draft);
        }
        let dead = &self.own().seats[seat].dead;
        match draw.random_range(0..20) {
            0 => draft.token = None,
            1 if draft.token.is_some() && !dead.is_empty() => draft.token = dead.choose(draw).cloned(),
            2 => {
                let mut keys = self.pool("key_id", "", false);
                keys.push("the same for both".to_owned());
                let mut key = keys.choose(draw).cloned().unwrap_or_default();
                key.retain(|byte| byte.is_ascii_graphic());
                draft.headers = vec![("idempotency-key", key)];
            }
            3 => draft.headers.push(("if-none-match", "*".to_owned())),
            4 => draft.headers.push(("x-forwarded-for", "127.0.0.1".to_owned())),
            _ => {}
        }
        draft
    }

    fn any_parameter(&self, draw: &mut Draw, drawn: &Drawn) -> (String, String) {
        let others =
            ["filter", "sort", "include", "next", "tags", "pagesize", "payload", "company_id", "pretty"];
        let name = match drawn.query.choose(draw) {
            Some(name) if draw.random_bool(0.8) => name.clone(),
            _ => (*others.choose(draw).unwrap()).to_owned(),
        };
        let columns = if name == "filter" { &drawn.filters } else { &drawn.sorts };
        let column = columns.choose(draw).cloned().unwrap_or_else(|| "id".to_owned());
        let value = match name.as_str() {
            "filter" => {
                let pool = self.of_column(&column, draw.random_bool(0.3));
                let value = pool.choose(draw).cloned().unwrap_or_else(|| "true".to_owned());
                format!("{column}:{value}")
            }
            "sort" => format!("{column}:{}", ["asc", "desc", "up"].choose(draw).unwrap()),
            "page" | "pagesize" | "from" | "to" | "version" => {
                ["0", "1", "2", "3", "250", "x"].choose(draw).map(|text| (*text).to_owned()).unwrap()
            }
            "next" => self.forged_cursor(draw, &column),
            "include" => {
                ["users", "subscription", "companies"].choose(draw).map(|text| (*text).to_owned()).unwrap()
            }
            "tags" | "tags-all" => self.pool("tag_id", "", false).choose(draw).cloned().unwrap_or_default(),
            "payload" | "brief" | "pretty" | "replace" => "yes".to_owned(),
            name => self.any_value(draw, name, ""),
        };
        (name, value)
    }

    /// Every text of that column in any table, of rows that the company may read or of all others.
    fn of_column(&self, column: &str, own: bool) -> Vec<String> {
        let rows = self.rows.readable(&self.own().company, own);
        rows.filter_map(|row| row.get(column)).map(str::to_owned).collect()
    }

    /// A cursor that stands at somebody else's row.
    fn forged_cursor(&self, draw: &mut Draw, column: &str) -> String {
        let order = json!([[column, draw.random_bool(0.5)], ["id", draw.random_bool(0.5)]]);
        let [first, id] = [column, "id"]
            .map(|column| self.of_column(column, false).choose(draw).cloned().unwrap_or_default());
        BASE64URL_NOPAD.encode(json!({ "p": 2, "o": order, "v": [first, id] }).to_string().as_bytes())
    }

    /// Members that are not the caller's to set, columns of the tables, values of others.
    fn twist_body(&self, draw: &mut Draw, drawn: &Drawn, draft: &mut Draft) {
        // Each wrong password would be one more towards the throttle, and none of them is right.
        let is_login = matches!(drawn.operation.id, "login" | "changePassword");
        let mut body = draft.body.take().unwrap_or_else(|| json!({}));
        let Some(members) = body.as_object_mut() else { return };
        let columns: Vec<String> = self.rows.columns().into_iter().collect();
        for _ in 0..draw.random_range(1..5) {
            let mut name = match draw.random_range(0..10) {
                0..5 => drawn.members.choose(draw).cloned(),
                5..9 => columns.choose(draw).cloned(),
                _ => ["sync_user_id", "role", "users", "company", "sync_api_key"]
                    .choose(draw)
                    .map(|name| (*name).to_owned()),
            }
            .unwrap_or_default();
            if name.contains("password") || is_login && name == "username" {
                continue;
            }
            let value = self.any_member(draw, &name, draft.template);
            if draw.random_bool(0.2) {
                name = name.to_uppercase();
            }
            replace(members, name, value);
        }
        if draw.random_bool(0.05) {
            draft.raw =
                ["[]", "null", "{", "{\"a\":1,\"A\":2}", "\u{0}"].choose(draw).map(|text| (*text).to_owned());
        }
        draft.body = Some(body);
    }

    fn any_member(&self, draw: &mut Draw, name: &str, template: &str) -> Value {
        match draw.random_range(0..10) {
            0..5 if source(name, template).is_some() => {
                let text = self.any_value(draw, name, template);
                text.parse::<i64>().map_or_else(|_text| json!(text), |number| json!(number))
            }
            0..5 => self.of_column(name, false).choose(draw).map_or(json!(true), |text| json!(text)),
            5 => json!([100, 120, 200, 300, 1, -1].choose(draw)),
            6 => json!(draw.random_bool(0.5)),
            7 => Value::Null,
            8 => json!({ "id": self.any_value(draw, "company_id", ""), "sync_user_id": 1, "role": 100 }),
            _ => json!(format!("{}-{}", self.own().mark, self.world.next())),
        }
    }
}

/// Members match ignoring case, and one that is repeated is refused before anything is looked at.
fn replace(members: &mut Map<String, Value>, name: String, value: Value) {
    members.retain(|known, _value| !known.eq_ignore_ascii_case(&name));
    members.insert(name, value);
}
