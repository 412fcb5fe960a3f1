//! Where the broker is, and how it is named in sentences: never with the password.

use std::fmt;
use std::str::FromStr;

use lapin::uri::AMQPUri;

/// Seconds between heartbeats unless the URL says otherwise. The server suggests 60; a
/// dead connection is given up after two of them.
const HEARTBEAT_S: u16 = 30;
/// The largest frame unless the URL says otherwise. lapin keeps two buffers of 32 frames
/// for each connection, and a message of ours is below 1 KiB; RabbitMQ asks for 8 KiB.
const FRAME_BYTES: u32 = 16 * 1_024;
/// What AMQP allows for the name of a virtual host.
const MAX_NAME_BYTES: usize = 255;

/// The address of a broker, with user and password. Shown without the password.
#[derive(Clone)]
pub struct BrokerAddress {
    uri: AMQPUri,
}

/// Why a text is no address. It does not repeat the text, which may hold a password.
#[derive(Debug, thiserror::Error)]
#[error(
    "the queue's address is not `amqp://user:password@host:5672/virtual-host` (or `amqps:`): {0}"
)]
pub struct AddressError(&'static str);

impl FromStr for BrokerAddress {
    type Err = AddressError;

    fn from_str(url: &str) -> Result<Self, AddressError> {
        let mut uri: AMQPUri = url.parse().map_err(|_| {
            AddressError("a part of it cannot be read; signs in a password are written as %40")
        })?;
        // lapin's parser takes `localhost` for an IPv6 address.
        let host = reqwest::Url::parse(url).ok().and_then(|url| {
            let host = url.host_str()?;
            Some(host.trim_start_matches('[').trim_end_matches(']').to_owned())
        });
        uri.authority.host =
            host.filter(|host| !host.is_empty()).ok_or(AddressError("it has no host"))?;
        // `amqp://host/` means the virtual host without a name, which nobody has.
        if uri.vhost.is_empty() {
            uri.vhost = "/".to_owned();
        }
        if uri.vhost.len() > MAX_NAME_BYTES {
            return Err(AddressError("the virtual host's name is longer than 255 bytes"));
        }
        uri.query.heartbeat.get_or_insert(HEARTBEAT_S);
        uri.query.frame_max.get_or_insert(FRAME_BYTES);
        Ok(Self { uri })
    }
}

impl BrokerAddress {
    /// The virtual host.
    #[must_use]
    pub fn vhost(&self) -> &str {
        &self.uri.vhost
    }

    /// The user.
    #[must_use]
    pub fn user(&self) -> &str {
        &self.uri.authority.userinfo.username
    }

    /// Host and port.
    #[must_use]
    pub fn server(&self) -> String {
        let authority = &self.uri.authority;
        if authority.host.contains(':') {
            format!("[{}]:{}", authority.host, authority.port)
        } else {
            format!("{}:{}", authority.host, authority.port)
        }
    }

    pub(super) fn uri(&self) -> &AMQPUri {
        &self.uri
    }
}

impl fmt::Display for BrokerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (virtual host `{}`, user `{}`)", self.server(), self.vhost(), self.user())
    }
}

impl fmt::Debug for BrokerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BrokerAddress({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_shown_without_its_password() {
        let address: BrokerAddress = "amqp://desk:c4nary@mq.example:5673/q%2Fa".parse().unwrap();
        assert_eq!(address.to_string(), "mq.example:5673 (virtual host `q/a`, user `desk`)");
        assert!(!format!("{address:?}").contains("c4nary"));
    }

    #[test]
    fn what_the_url_leaves_out_is_filled_in() {
        let address: BrokerAddress = "amqps://mq/".parse().unwrap();
        assert_eq!(address.to_string(), "mq:5671 (virtual host `/`, user `guest`)");
        assert_eq!(address.uri().query.heartbeat, Some(HEARTBEAT_S));
        let address: BrokerAddress = "amqp://[::1]:7/v?heartbeat=9".parse().unwrap();
        assert_eq!(address.server(), "[::1]:7");
        assert_eq!(address.uri().query.heartbeat, Some(9));
    }

    #[test]
    fn a_wrong_address_is_refused_without_being_repeated() {
        for wrong in ["amqp://u:c4nary@mq:port", "http://u:c4nary@mq", "c4nary", "amqp:///c4nary"] {
            let sentence = wrong.parse::<BrokerAddress>().unwrap_err().to_string();
            assert!(!sentence.contains("c4nary"), "{sentence}");
        }
    }
}
