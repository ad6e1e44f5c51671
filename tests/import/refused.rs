//! What no import is made of: each is one line that names the remedy, and nothing is left behind.

use shared::wire::server::ServerRole;

use crate::dump;
use crate::program::Home;
use crate::source::Source;

/// The sample of the reference's own documentation.
const SAMPLE: &str = "u7WJ3kpqyvAkKb7HIfYJoSok2DoqTa9YhaCUhUujqb8=";

#[test]
fn wrong_secrets_are_refused_before_anything_is_written() {
    let test = "wrong_secrets_are_refused";
    let Some(source) = Source::restore(test, ServerRole::Primary) else { return };
    let home = Home::sqlite(ServerRole::Primary);
    let [(_, seal), (_, jwt)] = source.secrets();
    let from = ["import", "--from", source.url.as_str()];
    home.run(&from).fails_with(78, "JWT_SECRET is not set: set it to jwt.secret");
    home.run_with(&from, &[("JWT_SECRET", &jwt)])
        .fails_with(78, "APIKEY_SECRET is not set: set it to server.api_key_secret");
    home.run_with(&from, &[("APIKEY_SECRET", SAMPLE), ("JWT_SECRET", &jwt)])
        .fails_with(78, "published sample");
    home.run_with(&from, &[("APIKEY_SECRET", &seal[..40]), ("JWT_SECRET", &jwt)])
        .fails_with(78, "base64 of exactly 32 bytes");
    home.run_with(&from, &[("APIKEY_SECRET", &seal), ("JWT_SECRET", "abcdefghijklmnop")])
        .fails_with(78, "at least 64 characters");
    assert!(!home.dir.exists());
    // Of an import that began with others.
    home.import(&source).ok();
    let other = Source::restore(test, ServerRole::Secondary).unwrap().secrets();
    let secrets = other.each_ref().map(|(name, text)| (*name, text.as_str()));
    home.run_with(&from, &secrets).fails_with(78, "began with another APIKEY_SECRET or JWT_SECRET");
}

#[test]
fn a_source_that_is_none_is_refused() {
    let test = "a_source_that_is_none";
    let Some(source) = Source::restore(test, ServerRole::Primary) else { return };
    let home = Home::sqlite(ServerRole::Primary);
    let secrets = source.secrets();
    let secrets = secrets.each_ref().map(|(name, text)| (*name, text.as_str()));
    let import = |url: &str| home.run_with(&["import", "--from", url], &secrets);
    let (address, _database) = source.url.rsplit_once('/').unwrap();
    import("postgres://sandpiper@127.0.0.1:1/x").fails_with(75, "cannot be read now");
    import(&format!("{address}/nobody")).fails_with(78, "\"nobody\" does not exist");
    import(&format!("{address}/postgres")).fails_with(78, "is no database of the reference");
    import("postgres://sandpiper@db.example/x").fails_with(78, "this build cannot encrypt");
    import("sqlite:///tmp/x.db").fails_with(2, "--from postgres://");
    import("sandpiper").fails_with(2, "--from postgres://");
    assert_eq!(home.run_with(&["import"], &secrets).code, Some(2));
    source.sql("CREATE ROLE stranger LOGIN;");
    import(&source.url.replace("sandpiper@", "stranger@")).fails_with(78, "permission denied");
    source.sql("DELETE FROM darwin_migrations WHERE version > 1.13;");
    import(&source.url).fails_with(78, "schema version 1.13");
    source.sql("UPDATE darwin_migrations SET version = 1.15 WHERE id = 1; DROP TABLE grains;");
    import(&source.url).fails_with(78, "no complete database of the reference");
    source.sql("DELETE FROM settings;");
    assert!(!home.dir.exists(), "nothing was written");
}

#[tokio::test]
async fn a_node_that_is_another_one_is_refused_and_stays_as_it_is() {
    let test = "a_node_that_is_another_one";
    let Some(primary) = Source::restore(test, ServerRole::Primary) else { return };
    let Some(secondary) = Source::restore(test, ServerRole::Secondary) else { return };
    for (home, other) in
        Home::each(test, ServerRole::Primary).into_iter().zip(Home::each(test, ServerRole::Primary))
    {
        home.import_with(&secondary, &[], &[]).fails_with(78, "use `sandpiper-secondary import`");
        assert!(!home.dir.exists());
        home.import(&primary).ok();
        let before = dump::all(&home.store()).await;
        // The same installation under another id.
        let clone = Source::restore(test, ServerRole::Primary).unwrap();
        clone.sql("UPDATE settings SET server_id = '21000000-0000-4000-8000-000000000000';");
        home.import(&clone).fails_with(78, "import into an empty folder and database");
        home.run(&["init", "--name", "Better Brakes"]).fails_with(78, "is initialised already");
        dump::assert_equal(&before, &dump::all(&home.store()).await);

        other.run(&["init", "--name", "Better Brakes"]).ok();
        let before = dump::all(&other.store()).await;
        other.import(&primary).fails_with(78, "was made by `init`");
        dump::assert_equal(&before, &dump::all(&other.store()).await);
    }
}

#[test]
fn the_source_itself_is_no_target_and_stays_as_it_is() {
    let test = "the_source_itself_is_no_target";
    let Some(source) = Source::restore(test, ServerRole::Primary) else { return };
    let tables =
        "SELECT string_agg(tablename, ' ' ORDER BY tablename) FROM pg_tables WHERE schemaname = 'public';";
    let before = source.sql(tables);
    let home = Home::on(ServerRole::Primary, &source.url);
    home.import(&source).fails_with(78, "is itself a database of the reference");
    assert_eq!(source.sql(tables), before);
    let left: Vec<_> = std::fs::read_dir(&home.dir).unwrap().map(|file| file.unwrap().file_name()).collect();
    assert_eq!(left, ["import.lock"]);
}
