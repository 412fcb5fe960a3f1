//! What can be wrong with the broker, each in one sentence that says how to mend it.

use std::io;

use lapin::ErrorKind;

use super::address::BrokerAddress;

/// The oldest RabbitMQ that works: quorum queues dead-letter at least once from it on.
pub const OLDEST: (u32, u32) = (3, 10);

/// Why the broker cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum BrokerError {
    /// The connection was not made.
    #[error("no RabbitMQ answers at {address}: start it, or correct QUAESTOR_QUEUE_URL")]
    Unreachable {
        /// Where.
        address: BrokerAddress,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// TLS failed.
    #[error("TLS with RabbitMQ at {address} fails: {trouble}")]
    Tls {
        /// Where.
        address: BrokerAddress,
        /// What is wrong, and what mends it.
        trouble: String,
    },
    /// Something else than RabbitMQ answers.
    #[error(
        "what answers at {address} does not speak AMQP 0-9-1: correct the port in QUAESTOR_QUEUE_URL"
    )]
    NotAmqp {
        /// Where.
        address: BrokerAddress,
    },
    /// User or password are wrong.
    #[error(
        "RabbitMQ refuses the user or the password at {address}: correct them in QUAESTOR_QUEUE_URL"
    )]
    Refused {
        /// Where.
        address: BrokerAddress,
    },
    /// The virtual host is not there, or not for this user.
    #[error(
        "RabbitMQ has no virtual host for us at {address}: make it with `rabbitmqctl add_vhost {vhost}` and let the \
         user in with `rabbitmqctl set_permissions -p {vhost} {user} '.*' '.*' '.*'`",
        vhost = address.vhost(), user = address.user()
    )]
    NoVirtualHost {
        /// Where.
        address: BrokerAddress,
    },
    /// The broker is older than [`OLDEST`].
    #[error(
        "RabbitMQ at {address} is version {version}, and 3.10 is the oldest that works: upgrade it"
    )]
    TooOld {
        /// Where.
        address: BrokerAddress,
        /// What it says it is.
        version: String,
    },
    /// Exchanges or queues are missing or are not as they should be.
    #[error("the topology at {address} is not as it should be ({}): `quaestor topology apply` makes what is missing", problems.join("; "))]
    Topology {
        /// Where.
        address: BrokerAddress,
        /// Each thing that is wrong.
        problems: Vec<String>,
    },
    /// The connection broke.
    #[error("the connection to RabbitMQ at {address} broke")]
    Broken {
        /// Where.
        address: BrokerAddress,
        /// The cause.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The broker did not answer in time.
    #[error("RabbitMQ at {address} did not answer {what} in time")]
    Silent {
        /// Where.
        address: BrokerAddress,
        /// What was asked.
        what: &'static str,
    },
    /// The queue was closed by this process.
    #[error("the connection to RabbitMQ was closed by us")]
    Closed,
}

/// Why a connection was not made.
pub(super) fn unreachable(address: &BrokerAddress, source: io::Error) -> BrokerError {
    let address = address.clone();
    match crate::tls::trouble(&source) {
        Some(trouble) => BrokerError::Tls { address, trouble },
        None => BrokerError::Unreachable { address, source },
    }
}

/// What an error of lapin means.
pub(super) fn meaning(address: &BrokerAddress, error: lapin::Error) -> BrokerError {
    const ACCESS_REFUSED: u16 = 403;
    const NOT_ALLOWED: u16 = 530;
    let address = address.clone();
    match error.kind() {
        ErrorKind::ProtocolError(reason) if reason.get_id() == ACCESS_REFUSED => {
            BrokerError::Refused { address }
        }
        ErrorKind::ProtocolError(reason) if reason.get_id() == NOT_ALLOWED => {
            BrokerError::NoVirtualHost { address }
        }
        ErrorKind::InvalidProtocolVersion(_) | ErrorKind::ParsingError(_) => {
            BrokerError::NotAmqp { address }
        }
        ErrorKind::IOError(source) => {
            if let Some(trouble) = crate::tls::trouble(source) {
                return BrokerError::Tls { address, trouble };
            }
            let source = io::Error::new(source.kind(), source.to_string());
            BrokerError::Unreachable { address, source }
        }
        _ => BrokerError::Broken { address, source: error.into() },
    }
}
