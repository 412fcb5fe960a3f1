//! The address on the other end of the connection.

use std::net::{IpAddr, Ipv6Addr};

use axum::http::Extensions;

/// The peer of a request. Headers that name another address are not believed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Peer(pub(crate) Option<IpAddr>);

impl Peer {
    /// As the server noted it with the request.
    pub(crate) fn of(extensions: &Extensions) -> Self {
        extensions.get::<Self>().copied().unwrap_or_default()
    }

    /// Whether the peer is this machine.
    pub(crate) fn is_loopback(self) -> bool {
        self.0.is_some_and(|ip| ip.to_canonical().is_loopback())
    }

    /// What counts as one peer: an IPv6 network of 64 bits is one customer.
    pub(crate) fn bucket(self) -> String {
        match self.0.map(|ip| ip.to_canonical()) {
            Some(IpAddr::V4(ip)) => ip.to_string(),
            Some(IpAddr::V6(ip)) => {
                let [a, b, c, d, ..] = ip.segments();
                Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).to_string()
            }
            None => "unknown".to_owned(),
        }
    }
}
