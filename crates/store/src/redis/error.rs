//! What Redis's errors mean to the store's callers. None of the texts holds a password.

use redis::{ErrorKind, RedisError, ServerError, ServerErrorKind};

use super::durability::UNCONFIRMED;
use crate::StoreError;

impl From<RedisError> for StoreError {
    fn from(error: RedisError) -> StoreError {
        let detail = error.detail().unwrap_or_default();
        match error.kind() {
            ErrorKind::AuthenticationFailed => refused_login(),
            ErrorKind::Parse => StoreError::Unavailable(
                "what answers there is not a Redis server, or expects TLS (rediss://)".to_owned(),
            ),
            ErrorKind::InvalidClientConfig => StoreError::Config(error.to_string()),
            ErrorKind::MasterNameNotFoundBySentinel => StoreError::Unavailable(
                "the sentinels can't be reached, or know no master of this service's name".to_owned(),
            ),
            ErrorKind::Server(kind) => of_server(kind.into_code(), detail),
            ErrorKind::Extension => of_server(error.code().unwrap_or("an error"), detail),
            _ if error.is_connection_refusal() => {
                StoreError::Unavailable("nothing listens at Redis's address (connection refused)".to_owned())
            }
            _ if error.is_timeout() => StoreError::Unavailable("Redis did not answer in time".to_owned()),
            _ => StoreError::Unavailable(format!("the connection to Redis failed: {error}")),
        }
    }
}

impl From<ServerError> for StoreError {
    fn from(error: ServerError) -> StoreError {
        of_server(error.code(), error.details().unwrap_or_default())
    }
}

fn refused_login() -> StoreError {
    StoreError::Config("Redis refused the user name or the password".to_owned())
}

/// By the word that a server's error begins with.
fn of_server(code: &str, detail: &str) -> StoreError {
    match code {
        "NOAUTH" => StoreError::Config("Redis asks for a password".to_owned()),
        "WRONGPASS" => refused_login(),
        "NOPERM" => StoreError::Config(format!("Redis's access list forbids it: {detail}")),
        "OOM" => StoreError::Unavailable("Redis has used up its memory (maxmemory)".to_owned()),
        "MISCONF" => StoreError::Unavailable(format!("Redis can't write to its disk: {detail}")),
        "LOADING" => StoreError::Unavailable("Redis is loading its data".to_owned()),
        "NOREPLICAS" => StoreError::Unavailable(
            "Redis has fewer replicas than its min-replicas-to-write demands, and takes no writes".to_owned(),
        ),
        UNCONFIRMED => StoreError::Unavailable(
            "too few of Redis's replicas said in time that they have it: it may be done or not".to_owned(),
        ),
        "READONLY" => StoreError::Unavailable("this Redis is a replica: it can't be written".to_owned()),
        _ => StoreError::Unavailable(format!("Redis answered {code} {detail}")),
    }
}

/// The word for a kind that the client library knows.
trait IntoCode {
    fn into_code(self) -> &'static str;
}

impl IntoCode for ServerErrorKind {
    fn into_code(self) -> &'static str {
        match self {
            ServerErrorKind::BusyLoading => "LOADING",
            ServerErrorKind::ReadOnly => "READONLY",
            ServerErrorKind::NoPerm => "NOPERM",
            ServerErrorKind::NoScript => "NOSCRIPT",
            ServerErrorKind::ClusterDown => "CLUSTERDOWN",
            ServerErrorKind::MasterDown => "MASTERDOWN",
            ServerErrorKind::CrossSlot => "CROSSSLOT",
            _ => "ERR",
        }
    }
}
