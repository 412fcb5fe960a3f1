//! Links of our own to files of exports, where the storage has none: they say which file and
//! until when, and are signed by a key that only this export has.

use std::fmt::Write;

use hmac::digest::InvalidLength;
use hmac::{Hmac, KeyInit, Mac};
use quaestor_core::clock::Time;
use quaestor_core::ids::{ExportId, WorkspaceId};
use quaestor_core::model::LinkKey;
use sha2::Sha256;

/// Where the files are fetched.
pub(super) const PATH: &str = "/api/export-files";

/// What is signed cannot be taken for anything else that a key may ever sign.
const PURPOSE: &[u8] = b"quaestor.export-link.v1";

fn mac(
    key: &LinkKey,
    workspace: WorkspaceId,
    export: ExportId,
    expires: i64,
) -> Result<Hmac<Sha256>, InvalidLength> {
    let mut mac = Hmac::<Sha256>::new_from_slice(&key.0)?;
    mac.update(PURPOSE);
    mac.update(workspace.uuid().as_bytes());
    mac.update(export.uuid().as_bytes());
    mac.update(&expires.to_be_bytes());
    Ok(mac)
}

/// The path of a link.
pub(super) fn own(
    key: &LinkKey,
    workspace: WorkspaceId,
    export: ExportId,
    expires_at: Time,
) -> Result<String, InvalidLength> {
    let expires = expires_at.timestamp();
    let mut signature = String::with_capacity(64);
    for byte in mac(key, workspace, export, expires)?.finalize().into_bytes() {
        // Writing to a string cannot fail.
        let _ = write!(signature, "{byte:02x}");
    }
    Ok(format!(
        "{PATH}?export={export}&workspace={workspace}&expires={expires}&signature={signature}"
    ))
}

/// Whether a signature is the key's, in a time that does not tell how much of it is.
pub(super) fn is_signed(
    key: &LinkKey,
    workspace: WorkspaceId,
    export: ExportId,
    expires: i64,
    signature: &str,
) -> bool {
    let bytes: Option<Vec<u8>> = (0..signature.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(signature.get(at..at + 2)?, 16).ok())
        .collect();
    let (Some(bytes), Ok(mac)) = (bytes, mac(key, workspace, export, expires)) else {
        return false;
    };
    mac.verify_slice(&bytes).is_ok()
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn a_link_is_good_for_one_export_of_one_workspace_until_it_expires() {
        let (key, other) = (LinkKey([7; 32]), LinkKey([8; 32]));
        let (workspace, export) = (WorkspaceId(Uuid::from_u128(1)), ExportId(Uuid::from_u128(2)));
        let at = Time::from_timestamp(1_800_000_000, 0).unwrap();
        let link = own(&key, workspace, export, at).unwrap();
        let signature = link.rsplit_once('=').unwrap().1;
        assert!(is_signed(&key, workspace, export, at.timestamp(), signature));
        assert!(!is_signed(&other, workspace, export, at.timestamp(), signature));
        assert!(!is_signed(
            &key,
            WorkspaceId(Uuid::from_u128(9)),
            export,
            at.timestamp(),
            signature
        ));
        assert!(!is_signed(
            &key,
            workspace,
            ExportId(Uuid::from_u128(9)),
            at.timestamp(),
            signature
        ));
        assert!(!is_signed(&key, workspace, export, at.timestamp() + 1, signature));
        for odd in ["", "zz", "é", &signature[..62], &signature[..63], "+1"] {
            assert!(!is_signed(&key, workspace, export, at.timestamp(), odd), "{odd}");
        }
    }
}
