//! The address of a service, whose password is never shown.

use std::fmt;

use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize, Serializer};

/// What stands in the place of a password.
const MASK: &str = "***";

/// A URL that may hold a password. `Debug`, `Display` and serialization mask it.
#[derive(Clone, Deserialize)]
#[serde(transparent)]
pub struct ServiceUrl(SecretString);

impl ServiceUrl {
    /// The whole URL, password and all: for the backend that connects.
    #[must_use]
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }

    /// Whether its scheme is one of these.
    pub(super) fn scheme_is(&self, schemes: &[&str]) -> bool {
        self.expose().split_once(':').is_some_and(|(scheme, _)| schemes.contains(&scheme))
    }
}

impl From<&str> for ServiceUrl {
    fn from(url: &str) -> Self {
        Self(SecretString::from(url))
    }
}

impl fmt::Display for ServiceUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&masked(self.expose()))
    }
}

impl fmt::Debug for ServiceUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl Serialize for ServiceUrl {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// The URL without what stands between user and host, and without its parameters: both
/// are places for passwords.
fn masked(url: &str) -> String {
    let (address, parameters) = match url.split_once('?') {
        Some((address, _)) => (address, "?***"),
        None => (url, ""),
    };
    let Some((scheme, rest)) = address.split_once("://") else {
        return format!("{address}{parameters}");
    };
    // A password may hold a slash or an `@` that nobody escaped: the last one counts.
    let shown = match rest.rsplit_once('@') {
        Some((login, host)) => match login.split_once(':') {
            Some((user, _)) => format!("{user}:{MASK}@{host}"),
            None => format!("{login}@{host}"),
        },
        None => rest.to_owned(),
    };
    format!("{scheme}://{shown}{parameters}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_never_shown() {
        for (url, shown) in [
            ("postgres://q:pass@db:5432/quaestor", "postgres://q:***@db:5432/quaestor"),
            ("amqp://q:p@ss/word@mq/vhost", "amqp://q:***@mq/vhost"),
            ("rediss://:only-a-password@r:6379", "rediss://:***@r:6379"),
            ("postgres://db/q?password=pass&user=q", "postgres://db/q?***"),
            ("sqlite:/srv/q.db", "sqlite:/srv/q.db"),
            ("memory:", "memory:"),
        ] {
            let url = ServiceUrl::from(url);
            assert_eq!(url.to_string(), shown);
            assert_eq!(format!("{url:?}"), shown);
            assert_eq!(serde_json::to_value(&url).unwrap(), shown);
        }
    }
}
