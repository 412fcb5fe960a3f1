//! Why a command did not reach Redis, or what Redis answered instead.

use redis::{ErrorKind, RedisError};

/// A command that failed. Its text never holds a URL, a password or an argument.
#[derive(Debug, thiserror::Error)]
pub enum RedisFault {
    /// The connection is down and is being built again; nothing was sent.
    #[error("Redis is not connected")]
    NotConnected,
    /// Redis or the connection failed; whether the command had its effect is not known.
    #[error("Redis did not do it")]
    Failed(#[source] RedisError),
    /// Redis answered with something else than the command gives.
    #[error("Redis answered with something unexpected")]
    Unexpected,
}

impl RedisFault {
    /// The kind of the driver's error.
    pub(crate) fn kind(&self) -> Option<ErrorKind> {
        match self {
            Self::Failed(error) => Some(error.kind()),
            Self::NotConnected | Self::Unexpected => None,
        }
    }
}

/// Whether the connection is of no further use.
pub(super) fn breaks_connection(error: &RedisError) -> bool {
    error.is_unrecoverable_error() || error.is_timeout() || error.is_io_error()
}
