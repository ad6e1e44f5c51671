//! What a node is: its role and its company, fixed when it was made.

use crate::node::body::Rules;
use crate::node::permission::Action;
use crate::node::{Error, Node, Principal};
use crate::store;
use crate::store::setting::SettingRow;
use crate::wire::server::ServerRole;
use crate::wire::setting::{Setting, WriteSetting};

/// The setting.
///
/// # Errors
/// [`Error::Forbidden`] but for staff.
pub async fn view(node: &Node, who: &Principal) -> Result<Setting, Error> {
    node.permit(who, Action::ViewSettings)?;
    let role = node.server.server_role;
    node.store
        .read(move |conn| {
            store::setting::find(conn)?
                .map(|row| to_wire(&row, role))
                .ok_or(Error::NotFound("Setting does not exist."))
        })
        .await
}

/// A node that serves has its setting already.
///
/// # Errors
/// [`Error::Invalid`], [`Error::BadRequest`], [`Error::Forbidden`], else always [`Error::Conflict`].
pub fn create(node: &Node, who: &Principal, body: &WriteSetting) -> Result<Setting, Error> {
    checked_role(body)?;
    node.permit(who, Action::ChangeSettings)?;
    Err(Error::Conflict("Setting already exists.".to_owned()))
}

/// The setting, if the body says what it is anyway. The reference takes another role or company at its next start, with
/// all data of the one before.
///
/// # Errors
/// [`Error::Invalid`], [`Error::BadRequest`], [`Error::Forbidden`], [`Error::Conflict`] for anything else.
pub async fn update(node: &Node, who: &Principal, body: WriteSetting) -> Result<Setting, Error> {
    let role = checked_role(&body)?;
    node.permit(who, Action::ChangeSettings)?;
    if role != node.server.server_role || body.server_id != node.server_id() {
        return Err(Error::Conflict(format!(
            "role and company of a server are fixed when it is made: this one is the {} of company {}; for another \
             one run `init` in another data folder",
            node.server.server_role,
            node.server_id()
        )));
    }
    view(node, who).await
}

fn checked_role(body: &WriteSetting) -> Result<ServerRole, Error> {
    let mut rules = Rules::default();
    rules.required("ServerRole", !body.server_role.is_empty());
    rules.required("ServerID", !body.server_id.is_nil());
    rules.check()?;
    [ServerRole::Primary, ServerRole::Secondary]
        .into_iter()
        .find(|role| role.as_str() == body.server_role)
        .ok_or_else(|| Error::BadRequest("server_role is primary or secondary".to_owned()))
}

fn to_wire(row: &SettingRow, server_role: ServerRole) -> Setting {
    Setting {
        id: true,
        server_role,
        server_id: row.server_id,
        created_at: Some(row.created_at),
        updated_at: Some(row.updated_at),
    }
}
