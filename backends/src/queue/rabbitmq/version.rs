//! Which version is the broker? It says so in its first frame, which lapin keeps to itself.

use std::sync::Arc;
use std::time::Duration;

use futures::{AsyncReadExt, AsyncWriteExt};
use lapin::AsyncTcpStream;
use lapin::tcp::OwnedTLSConfig;
use lapin::uri::AMQPScheme;
use quaestor_core::clock::Clock;

use super::address::BrokerAddress;
use super::error::{BrokerError, OLDEST, unreachable};

/// How long all of it may take.
const ASK: Duration = Duration::from_secs(10);
/// The protocol header of AMQP 0-9-1.
const HEADER: &[u8] = b"AMQP\x00\x00\x09\x01";
/// A method frame on channel 0; then four bytes of size.
const METHOD_FRAME: [u8; 3] = [1, 0, 0];
/// What stands before the version in the table of the server's properties: the key after
/// its length, and the sign of a long string, whose length follows in four bytes.
const VERSION_KEY: &[u8] = b"\x07versionS";
/// RabbitMQ's first frame is about half a kilobyte.
const LARGEST: usize = 64 * 1_024;

/// The broker's version, which is new enough.
pub(super) async fn version(
    address: &BrokerAddress,
    clock: &Arc<dyn Clock>,
) -> Result<(u32, u32), BrokerError> {
    let first = tokio::select! {
        first = first_frame(address) => first,
        () = clock.sleep(ASK) => {
            return Err(BrokerError::Silent { address: address.clone(), what: "the first frame" });
        }
    };
    let first = first.map_err(|source| unreachable(address, source))?;
    let said = first.as_deref().and_then(named);
    let Some(said) = said else {
        return Err(BrokerError::NotAmqp { address: address.clone() });
    };
    match numbers(&said) {
        Some(version) if version >= OLDEST => Ok(version),
        _ => Err(BrokerError::TooOld { address: address.clone(), version: said }),
    }
}

/// The payload of the server's first frame; None where it is no frame.
async fn first_frame(address: &BrokerAddress) -> std::io::Result<Option<Vec<u8>>> {
    let uri = address.uri();
    let authority = &uri.authority;
    let runtime = lapin::runtime::default_runtime().map_err(std::io::Error::other)?;
    let found = tokio::net::lookup_host((authority.host.as_str(), authority.port)).await?;
    let mut stream = AsyncTcpStream::connect(&runtime, found.collect::<Vec<_>>()).await?;
    if uri.scheme == AMQPScheme::AMQPS {
        stream = stream.into_tls(&authority.host, OwnedTLSConfig::default().as_ref()).await?;
    }
    stream.write_all(HEADER).await?;
    stream.flush().await?;
    let mut start = [0; 7];
    if stream.read_exact(&mut start).await.is_err() || start[..3] != METHOD_FRAME {
        return Ok(None);
    }
    let size = u32::from_be_bytes([start[3], start[4], start[5], start[6]]) as usize;
    if size > LARGEST {
        return Ok(None);
    }
    let mut payload = vec![0; size];
    Ok(stream.read_exact(&mut payload).await.is_ok().then_some(payload))
}

/// The version that the frame names.
fn named(payload: &[u8]) -> Option<String> {
    let key = payload.windows(VERSION_KEY.len()).position(|window| window == VERSION_KEY)?;
    let rest = &payload[key + VERSION_KEY.len()..];
    let length = u32::from_be_bytes(rest.get(..4)?.try_into().ok()?) as usize;
    let version = rest.get(4..4_usize.checked_add(length)?)?;
    std::str::from_utf8(version).ok().map(str::to_owned)
}

/// Major and minor number.
pub(super) fn numbers(version: &str) -> Option<(u32, u32)> {
    let mut parts = version.split(['.', '-', '+']);
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_read_from_the_servers_properties() {
        let payload =
            b"\x00\x0a\x00\x0a\x00\x09\x00\x00\x00\x17\x07versionS\x00\x00\x00\x064.0.5+rest";
        let said = named(payload).unwrap();
        assert_eq!(said, "4.0.5+");
        assert_eq!(numbers(&said), Some((4, 0)));
        assert!(numbers("3.9.29") < Some(OLDEST) && numbers("3.10.8") >= Some(OLDEST));
        assert_eq!(numbers("unknown"), None);
        for broken in [&b"\x07versionS\x00\x00\x01\x00short"[..], b"\x07versionS", b""] {
            assert_eq!(named(broken), None);
        }
    }
}
