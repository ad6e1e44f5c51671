//! What a service can refuse, and the one table that turns it into status, code and message.

use actix_web::http::StatusCode;
use actix_web::{HttpResponse, ResponseError};

use crate::crypto::password::Overloaded;
use crate::store::StoreError;
use crate::wire::error::Message;

/// Why a request is refused. Its `Display` is the message a client sees.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No or no valid token. The reference answers with an empty body.
    #[error("Unauthorized")]
    Unauthenticated,
    /// A login or refresh that failed: one answer for every cause (design D4).
    #[error("Authentication Error.")]
    LoginRefused,
    /// The caller's role does not allow it, or the row is another company's.
    #[error("Forbidden")]
    Forbidden,
    /// The member exists, but not for this caller.
    #[error("{0} cannot be set here")]
    ForbiddenMember(&'static str),
    /// Primaries and secondaries offer different things.
    #[error("resource is not allowed with this server-role")]
    WrongServerRole,
    /// No active subscription.
    #[error("No Access to this slice")]
    NoAccessToSlice,
    /// One thing is wrong with the request.
    #[error("{0}")]
    BadRequest(String),
    /// Members that break rules, a sentence each.
    #[error("{}", .0.join("; "))]
    Invalid(Vec<String>),
    /// The rest of the body does not come, or too slowly: nobody waits for it, and the connection ends (RFC 9110 §15.5.9).
    #[error("the body {0}: send the request again, on another connection")]
    BodyStalled(&'static str),
    /// The body is larger than this route takes.
    #[error("body is larger than {0} bytes")]
    BodyTooLarge(usize),
    /// Compressed bodies are not taken.
    #[error("send the body without Content-Encoding")]
    EncodedBody,
    /// Something else than JSON.
    #[error("send the body as JSON, with Content-Type: application/json")]
    NotJson,
    /// No such row.
    #[error("{0}")]
    NotFound(&'static str),
    /// It was there, and is no more.
    #[error("{0}")]
    Gone(&'static str),
    /// It exists already, or is in use.
    #[error("{0}")]
    Conflict(String),
    /// The Idempotency-Key stands for another request.
    #[error("this Idempotency-Key was used for another request: nothing was minted; choose a new one")]
    IdempotencyMismatch,
    /// Somebody else edits the slice.
    #[error("slice is locked by {owner} until {until}")]
    Locked {
        /// User name.
        owner: String,
        /// End of the lock.
        until: crate::wire::Timestamp,
    },
    /// The publisher has closed the slice for sync while he edits it.
    #[error("slice locked (being updated) on server")]
    PublisherEditing,
    /// Another run of the same primary has not ended.
    #[error("a sync with this primary is already running")]
    SyncRunning,
    /// Somebody asked the run to stop, and it did.
    #[error("the sync was cancelled: what has arrived stays for the next one")]
    Cancelled,
    /// The other server refused, failed or could not be reached.
    #[error("{0}")]
    Upstream(String),
    /// The other server could not be reached at all: worth another try.
    #[error("{0}")]
    Unreachable(String),
    /// A run in which slices failed: a reason each. The others are committed.
    #[error("{}", .0.join("; "))]
    SlicesFailed(Vec<String>),
    /// What was asked for needs a step that was never done.
    #[error("{0}")]
    NotConfigured(String),
    /// Too many wrong passwords before this one.
    #[error("too many failed logins: try again in {seconds} s")]
    Throttled {
        /// From now.
        seconds: i64,
    },
    /// All hashing threads are taken.
    #[error(transparent)]
    Overloaded(#[from] Overloaded),
    /// The database refused; clients see only what they can act on.
    #[error("{}", public_text(.0))]
    Store(#[from] StoreError),
    /// A fault of ours; the text is for the log.
    #[error("internal error: the server's log has the details under this request id")]
    Internal(String),
}

fn public_text(error: &StoreError) -> &'static str {
    match error {
        StoreError::Conflict(_) => "it exists already",
        StoreError::Reference(_) => "a related row is missing or still in use",
        StoreError::Busy => "the database is busy: try again",
        StoreError::Full => "the server has no space left: nothing was changed",
        StoreError::Unavailable(_)
        | StoreError::Missing(_)
        | StoreError::NewerSchema(_)
        | StoreError::HighWater(_) => "the database is not available: try again",
        StoreError::RolledBack => {
            "the database is older than what this node remembers, and keys and logins that ended since may be alive in it: \
             its operator restores a newer copy, or stops the server and runs `recover --accept-rollback`"
        }
        StoreError::OutcomeUnknown(_) => {
            "the connection to the database was lost while the change was made: look whether it was before you repeat it"
        }
        StoreError::Internal(_) => "internal error: the server's log has the details under this request id",
    }
}

impl Error {
    /// Status and stable code: the one table.
    pub fn status_and_code(&self) -> (StatusCode, &'static str) {
        match self {
            Self::Unauthenticated => (StatusCode::UNAUTHORIZED, "unauthenticated"),
            Self::LoginRefused => (StatusCode::UNAUTHORIZED, "login_refused"),
            Self::Forbidden => (StatusCode::FORBIDDEN, "forbidden"),
            Self::ForbiddenMember(_) => (StatusCode::FORBIDDEN, "forbidden_member"),
            Self::WrongServerRole => (StatusCode::FORBIDDEN, "wrong_server_role"),
            Self::NoAccessToSlice => (StatusCode::FORBIDDEN, "no_access_to_slice"),
            Self::BadRequest(_) => (StatusCode::BAD_REQUEST, "bad_request"),
            Self::Invalid(_) => (StatusCode::BAD_REQUEST, "invalid"),
            Self::BodyTooLarge(_) => (StatusCode::PAYLOAD_TOO_LARGE, "body_too_large"),
            Self::BodyStalled(_) => (StatusCode::REQUEST_TIMEOUT, "body_stalled"),
            Self::EncodedBody => (StatusCode::UNSUPPORTED_MEDIA_TYPE, "encoded_body"),
            Self::NotJson => (StatusCode::UNSUPPORTED_MEDIA_TYPE, "not_json"),
            Self::NotFound(_) => (StatusCode::NOT_FOUND, "not_found"),
            Self::Gone(_) => (StatusCode::GONE, "gone"),
            Self::Conflict(_) | Self::PublisherEditing => (StatusCode::CONFLICT, "conflict"),
            Self::IdempotencyMismatch => (StatusCode::UNPROCESSABLE_ENTITY, "idempotency_mismatch"),
            Self::Locked { .. } => (StatusCode::CONFLICT, "locked"),
            Self::SyncRunning => (StatusCode::CONFLICT, "sync_running"),
            Self::Cancelled => (StatusCode::CONFLICT, "cancelled"),
            Self::Upstream(_) => (StatusCode::BAD_GATEWAY, "upstream"),
            Self::Unreachable(_) => (StatusCode::BAD_GATEWAY, "unreachable"),
            Self::SlicesFailed(_) => (StatusCode::BAD_GATEWAY, "slices_failed"),
            Self::NotConfigured(_) => (StatusCode::CONFLICT, "not_configured"),
            Self::Throttled { .. } => (StatusCode::TOO_MANY_REQUESTS, "too_many_failures"),
            Self::Overloaded(_) => (StatusCode::SERVICE_UNAVAILABLE, "overloaded"),
            Self::Store(error) => match error {
                StoreError::Conflict(_) => (StatusCode::CONFLICT, "conflict"),
                StoreError::Reference(_) => (StatusCode::CONFLICT, "reference"),
                StoreError::Full => (StatusCode::INSUFFICIENT_STORAGE, "no_space"),
                StoreError::Busy => (StatusCode::SERVICE_UNAVAILABLE, "busy"),
                StoreError::OutcomeUnknown(_) => (StatusCode::SERVICE_UNAVAILABLE, "outcome_unknown"),
                StoreError::RolledBack => (StatusCode::SERVICE_UNAVAILABLE, "rolled_back"),
                StoreError::Unavailable(_)
                | StoreError::Missing(_)
                | StoreError::NewerSchema(_)
                | StoreError::HighWater(_) => (StatusCode::SERVICE_UNAVAILABLE, "unavailable"),
                StoreError::Internal(_) => (StatusCode::INTERNAL_SERVER_ERROR, "internal"),
            },
            Self::Internal(_) => (StatusCode::INTERNAL_SERVER_ERROR, "internal"),
        }
    }

    /// Whether the same request may succeed later, with nothing done about it.
    pub fn is_temporary(&self) -> bool {
        match self {
            Self::SyncRunning
            | Self::Cancelled
            | Self::PublisherEditing
            | Self::Locked { .. }
            | Self::Throttled { .. }
            | Self::Overloaded(_)
            | Self::Unreachable(_) => true,
            Self::Store(error) => matches!(error, StoreError::Busy | StoreError::Unavailable(_)),
            _ => false,
        }
    }

    /// What the client reads.
    pub fn message(&self) -> Message {
        match self {
            Self::Invalid(texts) | Self::SlicesFailed(texts) => Message::Many(texts.clone()),
            other => Message::One(other.to_string()),
        }
    }

    /// What only the log should read.
    pub fn private_text(&self) -> Option<String> {
        match self {
            Self::Store(error) => Some(error.to_string()),
            Self::Internal(text) => Some(text.clone()),
            _ => None,
        }
    }
}

impl ResponseError for Error {
    fn status_code(&self) -> StatusCode {
        self.status_and_code().0
    }

    /// Status and headers; [`crate::server::request`] adds the body, which needs the request's id.
    fn error_response(&self) -> HttpResponse {
        let mut response = HttpResponse::build(self.status_code());
        match self {
            Self::Unauthenticated => {
                response.insert_header(("www-authenticate", "Bearer error=\"invalid_token\""));
            }
            Self::BodyStalled(_) => {
                response.force_close();
            }
            Self::LoginRefused => {
                response.insert_header(("www-authenticate", "Bearer"));
                response.insert_header(("cache-control", "no-store"));
            }
            Self::Throttled { seconds } => {
                response.insert_header(("retry-after", seconds.to_string()));
                response.insert_header(("cache-control", "no-store"));
            }
            Self::Overloaded(_) | Self::Store(StoreError::Busy | StoreError::Unavailable(_)) => {
                response.insert_header(("retry-after", "1"));
            }
            _ => {}
        }
        response.finish()
    }
}
