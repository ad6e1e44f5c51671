//! A source in which everything is wrong that can be: rows that no server of ours would make, written past the
//! reference's own rules. Nothing of it may be lost without a word.

use serde_json::Value;
use shared::wire::server::ServerRole;
use tests::node::published_grains;

use crate::dump;
use crate::program::Home;
use crate::source::{Source, installation};
use crate::whole::tally;

const RETAIL_PARTS: &str = "20000000-0000-4000-8000-000000000000";
const PARTNER_1: &str = "21000000-0000-4000-8000-000000000000";
const ACES: &str = "2c000000-0000-4000-8000-000000000000";

/// The reference's rules, out of the way.
const LAWLESS: &str = "
    DO $$ DECLARE rule record; BEGIN
        FOR rule IN SELECT conrelid::regclass AS of, conname FROM pg_constraint
            WHERE connamespace = 'public'::regnamespace AND contype IN ('f', 'u', 'p') ORDER BY contype = 'p', contype = 'u'
        LOOP EXECUTE format('ALTER TABLE %s DROP CONSTRAINT %I', rule.of, rule.conname); END LOOP;
    END $$;
    DROP INDEX companies_lower_idx, slices_lower_idx, subscriptions_lower_idx;
    ALTER TYPE slice_type_enum ADD VALUE 'napa-interchange';
    ALTER TYPE encoding_enum ADD VALUE 'rot13';
";

fn rows<'a>(report: &'a Value, table: &str, finding: &str) -> Vec<&'a str> {
    let found = report["found"].as_array().unwrap();
    let found = found.iter().find(|found| found["table"] == table && found["finding"] == finding);
    let Some(found) = found else { return Vec::new() };
    assert_eq!(found["count"], found["rows"].as_array().unwrap().len(), "{found}");
    assert!(!found["why"].as_str().unwrap().is_empty() && !found["remedy"].as_str().unwrap().is_empty());
    found["rows"].as_array().unwrap().iter().map(|row| row.as_str().unwrap()).collect()
}

/// That each of `expected` (table, finding, what the row is named by) is said, and nothing else but `besides`.
fn assert_said(report: &Value, expected: &[(&str, &str, &[&str])], besides: &[(&str, &str)]) {
    for (table, finding, names) in expected {
        let said = rows(report, table, finding);
        assert_eq!(said.len(), names.len(), "{table} {finding}: {said:?}");
        for name in *names {
            assert!(said.iter().any(|row| row.contains(name)), "{table} {finding}: {name} in {said:?}");
        }
    }
    for found in report["found"].as_array().unwrap() {
        let (table, finding) = (found["table"].as_str().unwrap(), found["finding"].as_str().unwrap());
        let is_expected = expected.iter().any(|(of, what, _names)| (*of, *what) == (table, finding));
        assert!(is_expected || besides.contains(&(table, finding)), "not expected: {found}");
    }
}

/// Every table holds as many rows as the report says.
async fn assert_tallies(home: &Home, report: &Value) {
    let dump = dump::all(&home.store()).await;
    for (table, ours) in [
        ("companies", "companies"),
        ("slices", "slices"),
        ("metadata", "slice_metadata"),
        ("subscriptions", "subscriptions"),
        ("grains", "grains"),
        ("activity", "activity"),
        ("tags", "tags"),
        ("slice-tags", "slice_tags"),
    ] {
        let (read, taken, refused) = tally(report, table);
        assert_eq!(read, taken + refused, "{table}");
        assert_eq!(dump[ours].len(), usize::try_from(taken).unwrap(), "{table}");
    }
}

#[tokio::test]
async fn a_hostile_primary_loses_nothing_without_a_word() {
    let test = "a_hostile_primary";
    let Some(source) = Source::restore(test, ServerRole::Primary) else { return };
    source.sql(LAWLESS);
    source.sql(&format!(
        "
        -- Companies: names that only differ in case, ids twice, addresses of all kinds, times that are none.
        INSERT INTO companies (id, name, sync_addr, active, created_at, updated_at, sync_api_key, sync_user_id) VALUES
            ('a0000000-0000-4000-8000-000000000001', 'RETAIL parts', '(none)', TRUE, now(), now(), NULL, NULL),
            ('a0000000-0000-4000-8000-000000000002', E'Bell\\u0007', 'https://P0.example', TRUE, now(), now(), NULL, 1),
            ('a0000000-0000-4000-8000-000000000003', '', 'none2', TRUE, 'infinity', '-infinity', NULL, NULL),
            ('a0000000-0000-4000-8000-000000000004', repeat('n', 300), 'https://x:secret@path.example/sub', TRUE,
                '4000-01-01 BC', '20000-01-01', NULL, NULL),
            ('a0000000-0000-4000-8000-000000000005', 'Keyed', '', TRUE, now(), now(), 'abcdef', NULL),
            ('{PARTNER_1}', 'Partner 1 again', 'https://again.example', TRUE, now(), now(), NULL, NULL);
        -- Users.
        INSERT INTO users (id, username, password, email, first_name, last_name, active, role, company_id) VALUES
            (101, 'ADMIN', (SELECT password FROM users WHERE id = 1), 'admin@MAIL.com', 'A', 'B', TRUE, 110,
                '10000000-0000-4000-8000-000000000000'),
            (102, 'nocompany', '', 'b@x', 'A', 'B', TRUE, 120, NULL),
            (103, 'lostcompany', '', 'c@x', 'A', 'B', TRUE, 120, 'f0000000-0000-4000-8000-000000000009'),
            (104, 'strange', '', 'd@x', 'A', 'B', TRUE, 130, '{RETAIL_PARTS}'),
            (105, '', '', 'e@x', 'A', 'B', TRUE, 120, '{RETAIL_PARTS}'),
            (106, repeat('u', 1100), '', 'f@x', 'A', 'B', TRUE, 120, '{RETAIL_PARTS}'),
            (107, 'plain', 'password in the clear', 'g@x', 'A', 'B', TRUE, 120, '{RETAIL_PARTS}'),
            (108, 'trap', '$2a$31$kKAmhM4hYCs3LKJdErH9EuOige8RVmZ1hhyHnoQSvFBq7pSfJYtH6', 'h@x', 'A', 'B', TRUE, 120,
                '{RETAIL_PARTS}'),
            (109, 'sync_5d9b8c5e-5a0c-4b0e-9c55-0d8f0a3d3c11', (SELECT password FROM users WHERE id = 1), 'i@x', 'A', 'B',
                TRUE, 100, '{RETAIL_PARTS}'),
            (110, 'machine', (SELECT password FROM users WHERE id = 2), 'sync', 'sync', 'sync', TRUE, 200, '{RETAIL_PARTS}'),
            (111, 'othermachine', (SELECT password FROM users WHERE id = 2), 'sync', 'sync', 'sync', TRUE, 200,
                'a0000000-0000-4000-8000-000000000001'),
            (112, 'thirdmachine', (SELECT password FROM users WHERE id = 2), 'sync', 'sync', 'sync', TRUE, 200,
                'a0000000-0000-4000-8000-000000000001'),
            (2, 'twice', '', 'j@x', 'A', 'B', TRUE, 120, '{RETAIL_PARTS}');
        -- The reference's race: two sync users of one company, both with keys that work.
        UPDATE users SET company_id = '{RETAIL_PARTS}' WHERE id = 5;
        INSERT INTO users (id, username, password, email, first_name, last_name, active, role, company_id)
            SELECT 113, upper(username), password, 'sync', 'sync', 'sync', TRUE, 200, company_id FROM users WHERE id = 7;
        UPDATE users SET username = replace(username, 'SYNC_', 'sync_') WHERE id = 113;
        -- Slices.
        INSERT INTO slices (id, name, slice_type, sync_status, allow_sync) VALUES
            ('b0000000-0000-4000-8000-000000000001', 'BRAKES-aces', 'aces-file', 'none', TRUE),
            ('b0000000-0000-4000-8000-000000000002', 'unknown', 'napa-interchange', 'none', TRUE),
            ('b0000000-0000-4000-8000-000000000003', 'cut off', 'aces-file', 'updating', TRUE),
            ('{ACES}', 'twice', 'aces-file', 'none', TRUE);
        INSERT INTO slice_metadata (slice_id, key, value) VALUES
            ('b0000000-0000-4000-8000-000000000002', 'a', 'b'), (gen_random_uuid(), 'lost', 'x'),
            ('2c000000-0000-4000-8000-000000000001', repeat('k', 1001), 'long'),
            ('2c000000-0000-4000-8000-000000000003', 'pcdb-version', 'twice');
        INSERT INTO subscriptions (sub_id, slice_id, company_id, name, active) VALUES
            ('c0000000-0000-4000-8000-000000000001', NULL, '{RETAIL_PARTS}', 'no slice', TRUE),
            ('c0000000-0000-4000-8000-000000000002', '{ACES}', NULL, 'no company', TRUE),
            ('c0000000-0000-4000-8000-000000000003', 'b0000000-0000-4000-8000-000000000002', '{RETAIL_PARTS}', 'refused', TRUE),
            ('c0000000-0000-4000-8000-000000000004', '{ACES}', '{PARTNER_1}', 'pair twice', TRUE),
            ('c0000000-0000-4000-8000-000000000005', 'b0000000-0000-4000-8000-000000000001', '{PARTNER_1}', 'SUB-1-0', TRUE),
            ('e70f94d9-4601-49b5-bbb3-34b0fbc5550d', 'b0000000-0000-4000-8000-000000000003', '{PARTNER_1}', 'id twice', TRUE);
        INSERT INTO grains (id, slice_id, grain_key, encoding, payload, source) VALUES
            ('d0000000-0000-4000-8000-000000000001', NULL, 'no-slice', 'raw', 'x', ''),
            ('d0000000-0000-4000-8000-000000000002', 'f0000000-0000-4000-8000-000000000001', 'lost-slice', 'raw', 'x', ''),
            ('d0000000-0000-4000-8000-000000000003', 'b0000000-0000-4000-8000-000000000002', 'refused-slice', 'raw', 'x', ''),
            ('d0000000-0000-4000-8000-000000000004', '{ACES}', repeat('g', 1001), 'raw', 'x', ''),
            ('d0000000-0000-4000-8000-000000000005', '{ACES}', 'no-encoding', NULL, 'x', ''),
            ('d0000000-0000-4000-8000-000000000006', '{ACES}', 'odd-encoding', 'rot13', 'x', ''),
            ('d0000000-0000-4000-8000-000000000007', '{ACES}', 'too-large', 'raw', repeat('x', 64 * 1024 * 1024 + 1), ''),
            ('d0000000-0000-4000-8000-000000000008', '{ACES}', 'large', 'raw', repeat('y', 20 * 1024 * 1024), ''),
            ('d0000000-0000-4000-8000-000000000009', '{ACES}', 'undecodable', 'z64', 'no base64 at all!', ''),
            ('d0000000-0000-4000-8000-00000000000a', '{ACES}', 'large', 'raw', 'the same key', ''),
            ('d0000000-0000-4000-8000-00000000000b', '{ACES}', 'b-first', 'raw', 'x', ''),
            ('d0000000-0000-4000-8000-00000000000b', '{ACES}', 'c-second', 'raw', 'y', '');
        INSERT INTO tags (id, name) VALUES (1, 'twice'), (5, 'Hot Items'), (6, '');
        INSERT INTO slice_tags (tag_id, slice_id) VALUES (1, '2c000000-0000-4000-8000-000000000000'), (9, '{ACES}'), (5, gen_random_uuid()),
            (5, '{ACES}');
        INSERT INTO activity (id, company_id, sub_id, success, message, created_at) VALUES
            (7, gen_random_uuid(), gen_random_uuid(), TRUE, E'odd\\u001b[2J', '-infinity'), (7, NULL, NULL, TRUE, 'again', now()),
            (9, NULL, NULL, FALSE, repeat('long ', 10000), '30000-01-01');
        "
    ));
    let secrets = installation()["partners"].clone();
    for home in Home::each(test, ServerRole::Primary) {
        let ended = home.import(&source);
        let report = ended.json();
        ended.fails_with(1, "row(s) were refused");
        assert_said(
            &report,
            &[
                ("companies", "id-twice", &["Partner 1 again"]),
                (
                    "companies",
                    "renamed",
                    &["RETAIL parts", "Bell", "a0000000-0000-4000-8000-000000000003", "nnnn"],
                ),
                (
                    "companies",
                    "address",
                    &[
                        "https://P0.example",
                        "none2",
                        "\"https://…@path.example/sub\" is now https://path.example",
                    ],
                ),
                ("companies", "time", &["000003", "000003", "000004", "000004"]),
                ("companies", "foreign-sync-user", &["names user 1", PARTNER_1]),
                ("api-keys", "useless-key", &["Keyed"]),
                ("api-keys", "spare-key", &["sync_"]),
                ("api-keys", "key-twice", &["113"]),
                ("users", "key-twice", &["113"]),
                ("users", "id-twice", &["twice"]),
                ("users", "orphan", &["nocompany", "lostcompany"]),
                ("users", "unknown-role", &["strange"]),
                ("users", "no-username", &["105", "106"]),
                ("users", "renamed", &["\"ADMIN\" is now \"ADMIN-101\""]),
                ("users", "no-password", &["plain", "trap"]),
                ("users", "shared-email", &["ADMIN"]),
                ("users", "rekeyed", &["109"]),
                ("users", "staff-of-partner", &["109"]),
                ("users", "second-sync-user", &["\"machine\"", "thirdmachine"]),
                ("users", "sync-user-without-key", &["othermachine"]),
                ("slices", "id-twice", &["twice"]),
                ("slices", "renamed", &["BRAKES-aces"]),
                ("slices", "unknown-type", &["napa-interchange"]),
                ("slices", "cut-off", &["cut off"]),
                ("slices", "incomplete", &[ACES, "brakes-pies", "brake-assets"]),
                ("metadata", "orphan", &["b0000000-0000-4000-8000-000000000002", "all 1 of slice"]),
                ("metadata", "metadata-key", &["kkkk", "pcdb-version"]),
                ("subscriptions", "orphan", &["no slice", "no company", "refused"]),
                ("subscriptions", "pair-twice", &["pair twice"]),
                ("subscriptions", "renamed", &["SUB-1-0"]),
                ("subscriptions", "id-twice", &["id twice"]),
                ("grains", "orphan", &["no-slice", "lost-slice", "all 1 of slice"]),
                ("grains", "grain-key-too-long", &["gggg"]),
                ("grains", "unknown-encoding", &["no-encoding", "odd-encoding"]),
                ("grains", "too-large", &["too-large"]),
                ("grains", "grain-key-twice", &["00000000000a"]),
                ("grains", "id-twice", &["c-second"]),
                ("grains", "undecodable", &["000009"]),
                ("tags", "id-twice", &["twice"]),
                ("tags", "renamed", &["\"Hot Items\" is now \"hot_items-5\"", "tag-6"]),
                ("slice-tags", "orphan", &["tag 9", "tag 5"]),
                ("slice-tags", "pair-twice", &["tag 1"]),
                ("activity", "id-twice", &["7"]),
                ("activity", "time", &["odd", "long"]),
            ],
            &[("companies", "company-inactive"), ("users", "refresh-token")],
        );
        assert_tallies(&home, &report).await;

        // The large one is whole, in pieces; the slice that is not whole is closed, so that nobody removes what is
        // missing.
        let store = home.store();
        let aces = ACES.parse().unwrap();
        let grains = published_grains(&store, aces).await;
        let large = grains.iter().find(|grain| grain["grain_key"] == "large").unwrap();
        assert_eq!(large["payload"].as_str().unwrap().len(), 20 * 1024 * 1024);
        let slice = store.read(move |conn| shared::store::slice::find(conn, aces)).await.unwrap().unwrap();
        assert!(!slice.allow_sync);
        drop(store);
        // Both keys of the company with two sync users work; nobody made a key of the admin that a partner pointed at.
        let server = home.serve();
        for (partner, expected) in [(0, 200), (1, 200), (2, 200)] {
            let key = serde_json::json!({ "sync-api-key": secrets[partner]["sync_api_key"] });
            let answer =
                reqwest::Client::new().post(format!("{}/login", server.url)).json(&key).send().await.unwrap();
            assert_eq!(answer.status().as_u16(), expected, "partner {partner}");
        }
    }
}

#[tokio::test]
async fn a_hostile_secondary_loses_nothing_without_a_word() {
    let test = "a_hostile_secondary";
    let Some(source) = Source::restore(test, ServerRole::Secondary) else { return };
    source.sql(LAWLESS);
    source.sql(&format!(
        "
        INSERT INTO companies (id, name, sync_addr, sync_api_key, active) VALUES
            ('a0000000-0000-4000-8000-000000000001', 'Other', 'http://127.0.0.1:18080/', 'abc', TRUE),
            ('a0000000-0000-4000-8000-000000000002', 'Long', 'https://long.example', repeat('a', 5000), TRUE);
        UPDATE companies SET sync_api_key = 'own' WHERE id = '{RETAIL_PARTS}';
        INSERT INTO slices (id, name, slice_type, sync_status, allow_sync) VALUES
            ('b0000000-0000-4000-8000-000000000001', 'nobody''s', 'aces-file', 'success', TRUE);
        INSERT INTO grains (id, slice_id, grain_key, encoding, payload) VALUES
            ('d0000000-0000-4000-8000-000000000001', 'b0000000-0000-4000-8000-000000000001', 'a', 'raw', 'x'),
            ('d0000000-0000-4000-8000-000000000002', 'b0000000-0000-4000-8000-000000000001', 'b', 'raw', 'x');
        INSERT INTO subscriptions (sub_id, slice_id, company_id, name, active, created_at) VALUES
            ('c0000000-0000-4000-8000-000000000001', '{ACES}', 'a0000000-0000-4000-8000-000000000001', 'rival', TRUE, now()),
            ('c0000000-0000-4000-8000-000000000002', '{ACES}', '{RETAIL_PARTS}', 'own', TRUE, now());
        UPDATE slices SET sync_status = 'updating', content_hash = 'x' WHERE name = 'brake-items';
        UPDATE subscriptions SET active = TRUE WHERE slice_id = '{ACES}';
        "
    ));
    for home in Home::each(test, ServerRole::Secondary) {
        let ended = home.import(&source);
        let report = ended.json();
        ended.fails_with(1, "row(s) were refused");
        assert_said(
            &report,
            &[
                ("companies", "address", &["Other"]),
                ("api-keys", "useless-key", &["Long", "Retail Parts"]),
                ("slices", "ownerless", &["nobody's"]),
                ("slices", "cut-off", &["brake-items"]),
                ("slices", "stale-hash", &["brake-items"]),
                ("subscriptions", "other-primary", &["rival", "own"]),
            ],
            &[("users", "refresh-token"), ("grains", "orphan")],
        );
        assert_tallies(&home, &report).await;
        assert_eq!(tally(&report, "api-keys"), (4, 2, 2));
        assert_eq!(tally(&report, "grains").2, 2);
    }
}
