//! The first connection: whether the server is there, lets us in, is new enough, and
//! allows what is needed. Each has a sentence of its own.

use std::collections::BTreeSet;
use std::sync::Arc;

use redis::{
    Client, ConnectionAddr, ConnectionInfo, ErrorKind, FromRedisValue, IntoConnectionInfo,
    ProtocolVersion, RedisError, ServerErrorKind, Value,
};
use secrecy::ExposeSecret;
use tokio::sync::Notify;

use super::RedisSettings;
use super::link::{Connection, Dial, notify_of_loss};

/// Sharded pub/sub and the script behaviour that is relied on came with this version.
const OLDEST: u32 = 7;

/// Why a Redis will not do. None of them holds the URL or the password.
#[derive(Debug, thiserror::Error)]
pub enum RedisOpenError {
    /// The URL cannot be read.
    #[error(
        "events_url is not the URL of a Redis: write redis://[user:password@]host[:port][/db], \
         or rediss:// for TLS"
    )]
    BadUrl,
    /// The namespace would break the keys.
    #[error("the namespace of the keys in Redis must not be empty or hold braces")]
    BadNamespace,
    /// Nobody is there.
    #[error("no Redis answers at {address}: start it there, or correct events_url")]
    Unreachable {
        /// Host and port.
        address: String,
        /// What the connection said.
        #[source]
        source: RedisError,
    },
    /// TLS failed.
    #[error("TLS with Redis at {address} fails: {trouble}")]
    Tls {
        /// Host and port.
        address: String,
        /// What is wrong, and what mends it.
        trouble: String,
    },
    /// The user or the password is wrong or missing.
    #[error("Redis at {address} refused the user or the password: correct them in events_url")]
    Refused {
        /// Host and port.
        address: String,
        /// What the server said.
        #[source]
        source: RedisError,
    },
    /// The server is too old.
    #[error("Redis at {address} is {version}, and 7.0 or later is needed: upgrade the server")]
    TooOld {
        /// Host and port.
        address: String,
        /// Its version.
        version: String,
    },
    /// The server's access list forbids what is needed.
    #[error(
        "the user of events_url may not do all that is needed on Redis at {address}: grant it \
         `~{namespace}:* &{namespace}:* +@read +@write +@pubsub +@scripting +@connection \
         +cluster +time`"
    )]
    NotAllowed {
        /// Host and port.
        address: String,
        /// What keys and channels begin with.
        namespace: String,
        /// What the server said.
        #[source]
        source: RedisError,
    },
    /// Whatever else.
    #[error("Redis at {address} cannot be used: {}", source.detail().unwrap_or("see the cause"))]
    Unfit {
        /// Host and port.
        address: String,
        /// What the server said.
        #[source]
        source: RedisError,
    },
}

/// A server that will do.
pub(super) struct Opened {
    pub(super) dial: Dial,
    pub(super) connection: Connection,
    pub(super) lost: Arc<Notify>,
}

pub(super) async fn open(settings: &RedisSettings) -> Result<Opened, RedisOpenError> {
    if settings.namespace.is_empty() || settings.namespace.contains(['{', '}']) {
        return Err(RedisOpenError::BadNamespace);
    }
    let client = client(settings.url.expose_secret()).map_err(|_| RedisOpenError::BadUrl)?;
    let address = client.get_connection_info().addr().to_string();
    let mut lost = Arc::new(Notify::new());
    let tls = matches!(client.get_connection_info().addr(), ConnectionAddr::TcpTls { .. });
    let mut dial = Dial { client, nodes: None };
    let explain = |source| explain(source, &address, &settings.namespace, tls);
    let mut connection = dial.try_connect(Some(notify_of_loss(&lost))).await.map_err(explain)?;
    let greeting = connection.query(&redis::cmd("HELLO")).await.map_err(explain)?;
    let version = field(&greeting, "version").unwrap_or_default();
    if version.split('.').next().and_then(|major| major.parse().ok()).unwrap_or(0) < OLDEST {
        return Err(RedisOpenError::TooOld { address, version });
    }
    if field(&greeting, "mode").as_deref() == Some("cluster") {
        let slots = connection.query(redis::cmd("CLUSTER").arg("SLOTS")).await.map_err(explain)?;
        dial.nodes = Some(nodes(&slots, dial.client.get_connection_info()));
        connection = dial.try_connect(None).await.map_err(explain)?;
        // The end of the first connection is not that of this one.
        lost = Arc::new(Notify::new());
    }
    try_out(&mut connection, &settings.namespace, dial.is_cluster()).await.map_err(explain)?;
    Ok(Opened { dial, connection, lost })
}

fn client(url: &str) -> Result<Client, RedisError> {
    let info: ConnectionInfo = url.into_connection_info()?;
    let settings = info.redis_settings().clone().set_protocol(ProtocolVersion::RESP3);
    Client::open(info.set_redis_settings(settings))
}

/// A field of the greeting, which is a map of names.
fn field(greeting: &Value, name: &str) -> Option<String> {
    let Value::Map(fields) = greeting else { return None };
    let named = |key: &Value| String::from_redis_value_ref(key).is_ok_and(|key| key == name);
    let (_, value) = fields.iter().find(|(key, _)| named(key))?;
    String::from_redis_value_ref(value).ok()
}

/// Does once, with a key of its own, each kind of thing that will be done later.
async fn try_out(
    connection: &mut Connection,
    namespace: &str,
    cluster: bool,
) -> Result<(), RedisError> {
    let stream = format!("{namespace}:{{opening}}:stream");
    let text = format!("{namespace}:{{opening}}:text");
    let publish = if cluster { "SPUBLISH" } else { "PUBLISH" };
    // One by one: from within a script an older server does not say that it was the rights.
    let tries: [&[&str]; 10] = [
        &["XADD", &stream, "MAXLEN", "~", "10", "*", "e", "1"],
        &["EXPIRE", &stream, "1"],
        &["XREVRANGE", &stream, "+", "-", "COUNT", "1"],
        &["XRANGE", &stream, "-", "+", "COUNT", "1"],
        &[publish, &stream, ""],
        &["SET", &text, "1", "PX", "1000"],
        &["GET", &text],
        &["GETDEL", &text],
        &["TIME"],
        &["EVAL", "return 1", "1", &text],
    ];
    for words in tries {
        let mut command = redis::cmd(words[0]);
        command.arg(&words[1..]);
        connection.query(&command).await?;
    }
    Ok(())
}

/// The nodes of a cluster as it names them (`CLUSTER SLOTS`), each reached as the one that
/// was asked.
fn nodes(slots: &Value, asked: &ConnectionInfo) -> Vec<ConnectionInfo> {
    let parts = |value: &Value| match value {
        Value::Array(parts) => parts.clone(),
        _ => Vec::new(),
    };
    let mut found = BTreeSet::new();
    for range in parts(slots) {
        // Its first and last slot, then its nodes.
        for node in parts(&range).iter().skip(2).map(parts) {
            let [host, port, ..] = node.as_slice() else { continue };
            let host = String::from_redis_value_ref(host).unwrap_or_default();
            if let (false, Ok(port)) = (host.is_empty(), u16::from_redis_value_ref(port)) {
                found.insert((host, port));
            }
        }
    }
    let reached = |(host, port): (String, u16)| {
        let mut addr = asked.addr().clone();
        match &mut addr {
            ConnectionAddr::Tcp(of_host, of_port) => (*of_host, *of_port) = (host, port),
            ConnectionAddr::TcpTls { host: of_host, port: of_port, .. } => {
                (*of_host, *of_port) = (host, port);
            }
            _ => return None,
        }
        Some(asked.clone().set_addr(addr))
    };
    found.into_iter().filter_map(reached).collect()
}

fn explain(source: RedisError, address: &str, namespace: &str, tls: bool) -> RedisOpenError {
    let address = address.to_owned();
    if let Some(trouble) = crate::tls::trouble(&source) {
        return RedisOpenError::Tls { address, trouble };
    }
    if tls && source.is_timeout() {
        // A Redis without TLS waits for the rest of what it takes for a command.
        let trouble = "it does not answer in time, as one does that speaks no TLS: correct the \
                       port or the scheme of the address"
            .to_owned();
        return RedisOpenError::Tls { address, trouble };
    }
    match source.kind() {
        ErrorKind::AuthenticationFailed => RedisOpenError::Refused { address, source },
        ErrorKind::RESP3NotSupported => {
            RedisOpenError::TooOld { address, version: "older than 6".to_owned() }
        }
        ErrorKind::Server(ServerErrorKind::NoPerm) => {
            RedisOpenError::NotAllowed { address, namespace: namespace.to_owned(), source }
        }
        _ if matches!(source.code(), Some("WRONGPASS" | "NOAUTH")) => {
            RedisOpenError::Refused { address, source }
        }
        ErrorKind::Io | ErrorKind::ClusterConnectionNotFound => {
            RedisOpenError::Unreachable { address, source }
        }
        _ => RedisOpenError::Unfit { address, source },
    }
}
