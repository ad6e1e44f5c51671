//! What ends which credential: every event against every kind of credential, on three servers of one database, at once
//! when the event is answered.

use reqwest::Method;
use serde_json::{Value, json};
use tests::{ADMIN, TestDatabase, TestPrimary};

use super::event::{Event, Servers};

/// `.` is accepted afterwards, `x` is refused. For whom it is about: access token, `GET /refresh/:token` and `POST
/// /refresh` of the login that acts or is meant; the same of his other login; login with his password; access token,
/// both refreshes and login of his company's machine. For his colleague and for a partner's person, with that
/// partner's machine: the same.
#[rustfmt::skip]
pub const TABLE: [(Event, &str, &str, &str); 17] = {
    use Event as E;
    const ALL: &str = "... ... . ....";
    [
        // event                       whom it is about  his colleague     a competitor
        (E::LogsOut,                      "xxx ... . ....", ALL,              ALL),
        (E::EndsHisOtherLogin,            "... xxx . ....", ALL,              ALL),
        (E::StaffEndsOneLogin,            "xxx ... . ....", ALL,              ALL),
        (E::ChangesHisPassword,           "... xxx x ....", ALL,              ALL),
        (E::StaffSetsHisPassword,         "xxx xxx x ....", ALL,              ALL),
        (E::IsSwitchedOff,                "xxx xxx x ....", ALL,              ALL),
        (E::IsDeleted,                    "xxx xxx x ....", ALL,              ALL),
        (E::ShowsASpentToken,             "xxx ... . ....", ALL,              ALL),
        // He is still there, with the rights that he has now.
        (E::IsDemoted,                    "... ... . ....", ALL,              ALL),
        (E::CompanyIsSwitchedOff,         "xxx xxx x xxxx", "xxx xxx x xxxx", ALL),
        (E::KeyIsRevoked,                 "... ... . xxxx", "... ... . xxxx", ALL),
        (E::KeyIsSuperseded,              "... ... . xxxx", "... ... . xxxx", ALL),
        (E::KeyIsRevokedByTheCommandLine, "... ... . xxxx", "... ... . xxxx", ALL),
        (E::MachineIsSwitchedOff,         "... ... . xxxx", "... ... . xxxx", ALL),
        (E::MachineIsDeleted,             "... ... . xxxx", "... ... . xxxx", ALL),
        // A key of a ring is everybody's. Refresh tokens of people are looked up, not signed.
        (E::SealKeyIsRetired,             "... ... . ...x", "... ... . ...x", "... ... . ...x"),
        (E::TokenKeyIsRetired,            "x.. x.. . xxx.", "x.. x.. . xxx.", "x.. x.. . xxx."),
    ]
};

#[tokio::test]
async fn whatever_ends_a_credential_ends_it_on_every_server_before_it_is_answered_and_ends_no_other() {
    for database in TestDatabase::each("whatever_ends_a_credential") {
        let first = TestPrimary::start_on(database, None).await;
        let (second, third) = (first.beside().await, first.beside().await);
        let mut servers = Servers::of(vec![first, second, third]);
        let mut wrong = Vec::new();
        for (number, (event, annas, colleagues, competitors)) in TABLE.into_iter().enumerate() {
            servers.staff =
                servers.log_in(0, json!({ "username": ADMIN.0, "password": ADMIN.1 })).await.access;
            let name = |who: &str| format!("{who}{number}");
            let (company, mut own) = servers.parties(&[name("anna"), name("adam")]).await;
            let (_other, mut others) = servers.parties(&[name("otto")]).await;
            let mut parties = [own.remove(0), own.remove(0), others.remove(0)];
            for party in &mut parties {
                let before = servers.accepts(number % 3, party).await;
                assert_eq!(before, "... ... . ....", "{} before {event:?}", party.username);
            }
            servers.happen(event, (number + 1) % 3, &company, &parties[0]).await;
            for (party, expected) in parties.iter_mut().zip([annas, colleagues, competitors]) {
                for server in 0..3 {
                    let after = servers.accepts(server, party).await;
                    if after != expected {
                        wrong.push(format!(
                            "{event:?}: {} at {server}: {after}, not {expected}",
                            party.username
                        ));
                    }
                }
            }
            if matches!(event, Event::IsDemoted) {
                for server in 0..3 {
                    for login in &parties[0].logins {
                        let asked =
                            servers.call(server, Method::GET, "/v1/users", &login.access, Value::Null);
                        assert_eq!(asked.await.0, 403, "a company admin's right, at {server}");
                    }
                }
            }
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }
}
