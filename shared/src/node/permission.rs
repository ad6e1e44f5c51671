//! Who may do what: one table, role by role. Services ask it by [`Node::permit`]; the walk over all endpoints
//! (`tests/api/permission.rs`) and the table in `docs/api.md` are made from it.
//!
//! The reference's matrix (spec §5) with the tenant rules it lacks: a partner sees and changes only what is his.

use std::fmt;

use super::{Error, Node, Principal};
use crate::store::{self, Connection};
use crate::wire::Id;
use crate::wire::server::ServerRole;
use crate::wire::user::Role;

/// How far a role reaches with an action.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// Not at all: 403.
    No,
    /// The caller's own rows; [`Rule::own`] says which these are.
    Own,
    /// Every row of the node.
    All,
}

/// Which rows are the caller's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Own {
    /// The action has no rows, or nobody reaches just his own.
    Nothing,
    /// Those of his company.
    Company,
    /// Those of slices to which his company actively subscribes.
    Subscribed,
    /// His own user.
    Himself,
}

impl Own {
    /// As a cell of a table says it, and a program reads it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Nothing => "",
            Self::Company => "own company",
            Self::Subscribed => "subscribed",
            Self::Himself => "himself",
        }
    }
}

/// Which server offers an action; the other one answers 403 `wrong_server_role`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum On {
    /// Both servers.
    Both,
    /// The primary.
    Primary,
    /// The secondary.
    Secondary,
}

impl On {
    /// Whether a server of this role offers it.
    pub fn offers(self, role: ServerRole) -> bool {
        match self {
            Self::Both => true,
            Self::Primary => role == ServerRole::Primary,
            Self::Secondary => role == ServerRole::Secondary,
        }
    }
}

impl fmt::Display for On {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Both => "both",
            Self::Primary => "primary",
            Self::Secondary => "secondary",
        })
    }
}

/// A row of the matrix.
#[derive(Clone, Copy, Debug)]
pub struct Rule {
    /// What is done.
    pub action: Action,
    /// Where.
    pub on: On,
    /// Roles 100, 110, 120, 200 and 300, in this order.
    pub reach: [Reach; 5],
    /// What [`Reach::Own`] is.
    pub own: Own,
    /// What the columns cannot say.
    pub note: &'static str,
}

impl Rule {
    /// How far a role reaches.
    pub fn reach(&self, role: Role) -> Reach {
        let [super_admin, admin, company_admin, sync, user] = self.reach;
        match role {
            Role::SuperAdmin => super_admin,
            Role::Admin => admin,
            Role::CompanyAdmin => company_admin,
            Role::Sync => sync,
            Role::User => user,
        }
    }
}

/// The enum and the table come from one list, so no action lacks its row.
macro_rules! matrix {
    ($($action:ident: $on:ident, $s:ident $a:ident $c:ident $y:ident $u:ident, $own:ident, $note:literal;)*) => {
        /// What a caller can do; [`MATRIX`] says who may.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[expect(missing_docs, reason = "the names say it, and the matrix the rest")]
        pub enum Action {
            $($action,)*
        }

        /// The permission matrix.
        pub const MATRIX: &[Rule] = &[$(Action::$action.rule(),)*];

        impl Action {
            /// Its row.
            pub const fn rule(self) -> Rule {
                match self {
                    $(Self::$action => Rule {
                        action: self,
                        on: On::$on,
                        reach: [Reach::$s, Reach::$a, Reach::$c, Reach::$y, Reach::$u],
                        own: Own::$own,
                        note: $note,
                    },)*
                }
            }
        }
    };
}

// Columns: server; roles 100 super admin, 110 admin, 120 company admin, 200 machine, 300 user; what "own" is.
#[rustfmt::skip]
matrix! {
    ViewSelf:            Both,      Own Own Own Own Own, Himself,    "";
    ViewServer:          Both,      All All All All All, Nothing,    "";

    Logout:              Both,      Own Own Own No  Own, Himself,    "a machine has no login to end: its tokens end with its key";
    ListSessions:        Both,      All All Own No  Own, Himself,    "";
    EndSession:          Both,      All All Own No  Own, Himself,    "not of users stronger than the caller";

    MintApiKey:          Primary,   Own Own Own Own No,  Company,    "a machine only with `Idempotency-Key` and `overlap_seconds`";
    ListApiKeys:         Primary,   Own Own Own No  No,  Company,    "";
    RevokeApiKeys:       Primary,   Own Own Own No  No,  Company,    "";

    CreateCompany:       Both,      All All No  No  No,  Nothing,    "";
    ListCompanies:       Both,      All All Own No  No,  Company,    "";
    ViewCompany:         Both,      All All Own No  No,  Company,    "";
    UpdateCompany:       Both,      All All Own No  No,  Company,    "by a company admin not `active`, and on a secondary neither `sync_addr` nor `sync_api_key`";
    SwitchCompany:       Both,      All All No  No  No,  Nothing,    "";
    PlacePrimary:        Secondary, All All No  No  No,  Nothing,    "";
    DeleteCompany:       Both,      All All No  No  No,  Nothing,    "";

    ListServers:         Both,      All All No  No  No,  Nothing,    "";
    ViewServerOfCompany: Both,      All All No  No  No,  Nothing,    "";
    ConnectToPrimary:    Secondary, All All No  No  No,  Nothing,    "";
    RotateApiKey:        Secondary, All All No  No  No,  Nothing,    "";

    CreateUser:          Both,      All All Own No  No,  Company,    "only users weaker than the caller";
    ListUsers:           Both,      All All Own No  No,  Company,    "";
    ViewUser:            Both,      All All Own Own Own, Himself,    "";
    UpdateUser:          Both,      All All Own No  Own, Himself,    "an admin changes no super admin; `active` by staff only";
    SwitchUser:          Both,      All All No  No  No,  Nothing,    "";
    DeleteUser:          Both,      All All Own No  No,  Company,    "only users weaker than the caller";
    ChangePassword:      Both,      All All Own No  Own, Himself,    "an admin changes no super admin's";
    ResetPassword:       Both,      All All No  No  No,  Nothing,    "not of users stronger than the caller";

    ViewSettings:        Both,      All All No  No  No,  Nothing,    "";
    ManageRings:         Both,      All No  No  No  No,  Nothing,    "keys that seal api-keys: at a primary only";
    ChangeSettings:      Both,      All All No  No  No,  Nothing,    "role and id of a server never change";

    CreateSlice:         Primary,   All All No  No  No,  Nothing,    "";
    ListSlices:          Both,      All All Own No  No,  Subscribed, "";
    FindSlicesByTag:     Both,      All All No  No  No,  Nothing,    "";
    ViewSlice:           Both,      All All Own Own No,  Subscribed, "";
    UpdateSlice:         Primary,   All All No  No  No,  Nothing,    "";
    DeleteSlice:         Both,      All All No  No  No,  Nothing,    "on a secondary only what its primary no longer offers";
    PublishSlice:        Primary,   All All No  No  No,  Nothing,    "";
    LockSlice:           Primary,   All All No  No  No,  Nothing,    "another one's lock: a super admin only";
    ViewReceivers:       Primary,   All All No  No  No,  Nothing,    "";
    ViewVersions:        Primary,   All All No  No  No,  Nothing,    "";

    CreateGrain:         Primary,   All All No  No  No,  Nothing,    "";
    ListGrains:          Both,      All All Own No  No,  Subscribed, "";
    ViewGrain:           Both,      All All Own Own No,  Subscribed, "";
    FindGrainByKey:      Both,      All All No  No  No,  Nothing,    "";
    DeleteGrain:         Primary,   All All No  No  No,  Nothing,    "";

    CreateSubscription:  Primary,   All All No  No  No,  Nothing,    "";
    ListSubscriptions:   Both,      All All Own No  No,  Company,    "";
    ViewSubscription:    Both,      All All Own No  No,  Company,    "";
    UpdateSubscription:  Both,      All All No  No  No,  Nothing,    "on a secondary `active` only";
    DeleteSubscription:  Primary,   All All No  No  No,  Nothing,    "";

    CreateTag:           Both,      All All No  No  No,  Nothing,    "";
    ListTags:            Both,      All All No  No  No,  Nothing,    "";
    ViewTag:             Both,      All All No  No  No,  Nothing,    "";
    UpdateTag:           Both,      All All No  No  No,  Nothing,    "";
    DeleteTag:           Both,      All All No  No  No,  Nothing,    "";
    AssignTag:           Both,      All All No  No  No,  Nothing,    "";

    RecordActivity:      Both,      All All Own Own No,  Company,    "";
    ListActivity:        Both,      All All No  No  No,  Nothing,    "";
    ViewActivity:        Both,      All All No  No  No,  Nothing,    "";
    DeleteActivity:      Both,      All All No  No  No,  Nothing,    "";

    RunSync:             Secondary, All All No  No  No,  Nothing,    "";
    ViewRuns:            Secondary, All All No  No  No,  Nothing,    "";
    CancelRun:           Secondary, All All No  No  No,  Nothing,    "";
    ViewSchedules:       Secondary, All All No  No  No,  Nothing,    "";
    ChangeSchedules:     Secondary, All All No  No  No,  Nothing,    "";
    OpenSyncSocket:      Primary,   All All All All No,  Nothing,    "";
    ListOffers:          Primary,   Own Own Own Own No,  Company,    "";
    ReadFeed:            Primary,   Own Own Own Own No,  Subscribed, "";
}

impl Action {
    /// For an action that is a part of others' requests, a member or a parameter that not everybody may send who may
    /// send the rest: what it does, and where it stands. What an operation of its own stands for, that operation says.
    pub fn part(self) -> Option<(&'static str, &'static str)> {
        match self {
            Self::SwitchCompany => {
                Some(("Switch a company on or off", "`active` in `PATCH /v1/companies/{company_id}`"))
            }
            Self::PlacePrimary => Some((
                "Say where a primary is, and with which key to log in there",
                "`sync_addr` and `sync_api_key` in `PATCH /v1/companies/{company_id}`",
            )),
            Self::SwitchUser => Some(("Switch a user on or off", "`active` in `PATCH /v1/users/{user_id}`")),
            Self::FindSlicesByTag => {
                Some(("List slices by their tags", "`tags` and `tags-all` in `GET /v1/slices`"))
            }
            _ => None,
        }
    }
}

/// Which rows the caller reaches with the action it asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Every row.
    All,
    /// Those of this company or user.
    Own {
        /// The caller's company.
        company_id: Id,
        /// The caller.
        user_id: i64,
    },
}

impl Scope {
    /// The company whose rows a list shows; `None` for all.
    pub fn company(self) -> Option<Id> {
        match self {
            Self::All => None,
            Self::Own { company_id, .. } => Some(company_id),
        }
    }

    /// What is answered for a row that is not there: to who reaches just his own, the same as for another's, or ids
    /// would tell what others have.
    pub fn unless_own(self, foreign: Error, missing: Error) -> Error {
        match self {
            Self::All => missing,
            Self::Own { .. } => foreign,
        }
    }

    /// A row of this company.
    ///
    /// # Errors
    /// [`Error::Forbidden`] for another's.
    pub fn admits_company(self, id: Id) -> Result<(), Error> {
        match self {
            Self::Own { company_id, .. } if company_id != id => Err(Error::Forbidden),
            _ => Ok(()),
        }
    }

    /// This user.
    ///
    /// # Errors
    /// [`Error::Forbidden`] for another one.
    pub fn admits_user(self, id: i64) -> Result<(), Error> {
        match self {
            Self::Own { user_id, .. } if user_id != id => Err(Error::Forbidden),
            _ => Ok(()),
        }
    }

    /// This slice: own is what the company actively subscribes to (gap S4).
    ///
    /// # Errors
    /// [`Error::NoAccessToSlice`].
    pub fn admits_slice(self, conn: &mut Connection, slice_id: Id) -> Result<(), Error> {
        match self.company() {
            Some(company_id) if !store::subscription::grants(conn, slice_id, company_id)? => {
                Err(Error::NoAccessToSlice)
            }
            _ => Ok(()),
        }
    }
}

/// In whose name something is done.
#[derive(Clone, Copy, Debug)]
pub enum By<'a> {
    /// Who called over HTTP.
    Caller(&'a Principal),
    /// Who stands at the server itself, at its command line: he may do everything.
    Operator,
}

impl Principal {
    /// How far the caller may go with `action`, on whatever server.
    ///
    /// # Errors
    /// [`Error::Forbidden`].
    pub fn may(&self, action: Action) -> Result<Scope, Error> {
        match action.rule().reach(self.role) {
            Reach::No => Err(Error::Forbidden),
            Reach::Own => Ok(Scope::Own { company_id: self.company_id, user_id: self.user_id }),
            Reach::All => Ok(Scope::All),
        }
    }
}

impl Node {
    /// How far `who` may go with `action` here: the question at the head of every service.
    ///
    /// # Errors
    /// [`Error::Forbidden`]; [`Error::WrongServerRole`] if only the other server offers it.
    pub fn permit(&self, who: &Principal, action: Action) -> Result<Scope, Error> {
        let scope = who.may(action)?;
        if action.rule().on.offers(self.server.server_role) { Ok(scope) } else { Err(Error::WrongServerRole) }
    }

    /// The same for whoever it is.
    ///
    /// # Errors
    /// As [`Self::permit`].
    pub fn permit_by(&self, by: By<'_>, action: Action) -> Result<Scope, Error> {
        match by {
            By::Caller(who) => self.permit(who, action),
            By::Operator if action.rule().on.offers(self.server.server_role) => Ok(Scope::All),
            By::Operator => Err(Error::WrongServerRole),
        }
    }
}
