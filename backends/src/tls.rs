//! What a failed TLS handshake means: what is wrong with the server, and how to mend it.
//!
//! Every client here trusts what the system trusts, or, where `SSL_CERT_FILE` or
//! `SSL_CERT_DIR` is set, what stands there.

use std::error::Error;
use std::io;
use std::sync::Arc;

use rustls::{CertificateError, InvalidMessage};

/// What is wrong, as the end of a sentence, where TLS is what failed. Libraries hide the
/// cause at different depths: all causes are looked at.
pub(crate) fn trouble(error: &(dyn Error + 'static)) -> Option<String> {
    let mut next = Some(error);
    while let Some(cause) = next {
        if let Some(error) = cause.downcast_ref::<rustls::Error>() {
            return Some(meaning(error));
        }
        // What an input/output error was made of is no source of it.
        let inner = cause.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        let shared = cause.downcast_ref::<Arc<dyn Error + Send + Sync>>();
        next = match (inner, shared) {
            (Some(inner), _) => Some(inner),
            (None, Some(shared)) => Some(&**shared),
            (None, None) => cause.source(),
        };
    }
    None
}

fn meaning(error: &rustls::Error) -> String {
    use rustls::Error as Tls;
    match error {
        // A bad signature is that of an authority that was made anew under its old name.
        Tls::InvalidCertificate(
            CertificateError::UnknownIssuer | CertificateError::BadSignature,
        ) => "its certificate is from an authority that is not trusted here: add the authority to \
             those of the system, or name a file with it in SSL_CERT_FILE"
            .to_owned(),
        Tls::InvalidCertificate(
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
        ) => "its certificate is for another host: write the host's name in the address as the \
              certificate has it"
            .to_owned(),
        Tls::InvalidCertificate(
            CertificateError::Expired
            | CertificateError::ExpiredContext { .. }
            | CertificateError::NotValidYet
            | CertificateError::NotValidYetContext { .. },
        ) => "its certificate has expired or is not valid yet: renew it, or set the clocks right"
            .to_owned(),
        Tls::InvalidMessage(InvalidMessage::InvalidContentType) => {
            "it does not speak TLS: correct the port or the scheme of the address".to_owned()
        }
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cause_is_found_however_deep_it_stands() {
        let cause = || rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer);
        let in_io = io::Error::new(io::ErrorKind::InvalidData, cause());
        assert!(trouble(&in_io).unwrap().contains("SSL_CERT_FILE"));
        let shared: Arc<dyn Error + Send + Sync> = Arc::new(in_io);
        let twice = io::Error::other(shared);
        assert!(trouble(&twice).unwrap().contains("SSL_CERT_FILE"));
        assert_eq!(trouble(&io::Error::from(io::ErrorKind::ConnectionRefused)), None);
    }
}
