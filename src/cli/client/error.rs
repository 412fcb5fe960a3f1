//! What can go wrong between the command line and a server, in sentences.

/// A call that did not bring what was asked for. Never holds the key.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nobody listens there.
    #[error(
        "no server answers at {server}: start one with `quaestor serve`, or name another with \
         --server or QUAESTOR_SERVER"
    )]
    Unreachable {
        /// The address.
        server: String,
        /// Why.
        #[source]
        source: reqwest::Error,
    },
    /// The connection broke, or the server fell silent.
    #[error("the connection to {server} broke while {doing}")]
    Broken {
        /// The address.
        server: String,
        /// What was being done.
        doing: String,
        /// Why.
        #[source]
        source: reqwest::Error,
    },
    /// No key was given, and the server wants one.
    #[error(
        "{server} wants a key: give one with --key, QUAESTOR_API_KEY or QUAESTOR_API_KEY_FILE \
         (`quaestor serve` prints the first one once)"
    )]
    NoKey {
        /// The address.
        server: String,
    },
    /// The key is not one of this server's.
    #[error(
        "{server} does not take this key: it is mistyped, revoked or another server's; \
         `quaestor key create` on that server makes a new one"
    )]
    WrongKey {
        /// The address.
        server: String,
    },
    /// What was asked for is not there, or is another workspace's: the same answer.
    #[error("there is no {what} (none with this id that the key may see)")]
    NotFound {
        /// What was asked for, with its id.
        what: String,
    },
    /// The server refused, and said why.
    #[error("{doing}: {title}: {detail}")]
    Refused {
        /// What was being done.
        doing: String,
        /// The HTTP status.
        status: u16,
        /// The problem's stable code.
        code: String,
        /// The problem's one line.
        title: String,
        /// What happened and what mends it.
        detail: String,
    },
    /// The answer is not what this version understands.
    #[error("{server} answered {doing} with something this version does not understand: {what}")]
    Foreign {
        /// The address.
        server: String,
        /// What was being done.
        doing: String,
        /// What came instead.
        what: String,
    },
    /// The address is none.
    #[error("`{0}` is no server address: it is http or https, such as http://127.0.0.1:8080")]
    BadAddress(String),
    /// The key cannot stand in a header.
    #[error("the key holds characters that no key has; check --key or QUAESTOR_API_KEY")]
    BadKey,
    /// The machine cannot make a client at all.
    #[error("setting up the HTTP client")]
    Setup(#[source] reqwest::Error),
    /// A local file.
    #[error("reading {path}")]
    File {
        /// The file.
        path: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

impl ClientError {
    /// Whether the same call may succeed when it is made again.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::Broken { .. } => true,
            Self::Refused { status, .. } => matches!(status, 429 | 502 | 503 | 504),
            _ => false,
        }
    }
}
