//! What a Redis says of itself that an operator should know.

use redis::{FromRedisValue, RedisError};

use super::fault::RedisFault;
use super::{Connection, RedisServer};

/// See [`RedisServer::facts`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RedisFacts {
    /// Its version.
    pub version: String,
    /// The most memory that it may use; none where it has no limit.
    pub limit_bytes: Option<u64>,
    /// What it does when it is full, as it calls it.
    pub policy: String,
    /// Whether that is to remove keys that are in use.
    pub evicts: bool,
}

impl RedisServer {
    /// What it says of itself; of a cluster, the node that the URL names.
    ///
    /// # Errors
    /// Where it does not answer, or the user may not ask (`INFO`).
    pub async fn facts(&self) -> Result<RedisFacts, RedisFault> {
        let mut connection = self.node().await?;
        let said = async {
            let said = connection.query(redis::cmd("INFO").arg("server").arg("memory")).await?;
            String::from_redis_value(said).map_err(RedisError::from)
        };
        let said = said.await.map_err(RedisFault::Failed)?;
        let field = |name: &str| {
            let value = said.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
            value.unwrap_or_default().trim().to_owned()
        };
        let policy = field("maxmemory_policy");
        Ok(RedisFacts {
            version: field("redis_version"),
            limit_bytes: field("maxmemory").parse().ok().filter(|limit| *limit > 0),
            evicts: policy != "noeviction",
            policy,
        })
    }

    async fn node(&self) -> Result<Connection, RedisFault> {
        self.shared.dial.of_node().connect(None).await
    }
}
