//! Which pages may open a socket: a browser names the page's origin, and nobody else does.

use axum::http::{HeaderMap, header};

use crate::problem::{ApiError, Code};

/// Passes a request without `Origin` (no browser sent it), one from a page of this very
/// host, and one from an allowed origin. `null` is nobody's origin.
pub(super) fn check(headers: &HeaderMap, allowed: &[String]) -> Result<(), ApiError> {
    let mut origins = headers.get_all(header::ORIGIN).iter();
    let Some(origin) = origins.next() else {
        return Ok(());
    };
    let refused = || {
        ApiError::field(
            Code::OriginRefused,
            "Origin",
            "an operator can add the page's origin to the allowed origins",
        )
    };
    if origins.next().is_some() {
        return Err(refused());
    }
    let origin = origin.to_str().map_err(|_| refused())?;
    if allowed.iter().any(|known| known == origin) {
        return Ok(());
    }
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
    let authority = origin.strip_prefix("https://").or_else(|| origin.strip_prefix("http://"));
    match (authority, host) {
        (Some(authority), Some(host)) if authority.eq_ignore_ascii_case(host) => Ok(()),
        _ => Err(refused()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_own_and_allowed_pages_pass() {
        let passes = |origin: Option<&str>| {
            let mut headers = HeaderMap::new();
            headers.insert(header::HOST, "app.example.com".parse().unwrap());
            if let Some(origin) = origin {
                headers.insert(header::ORIGIN, origin.parse().unwrap());
            }
            check(&headers, &["https://other.example.com".to_owned()]).is_ok()
        };
        assert!(passes(None));
        assert!(passes(Some("https://app.example.com")));
        assert!(passes(Some("https://other.example.com")));
        for foreign in [
            "null",
            "",
            "https://app.example.com.evil",
            "https://app.example.com:8443",
            "https://evil/https://other.example.com",
            "https://other.example.com/",
            "file://app.example.com",
        ] {
            assert!(!passes(Some(foreign)), "{foreign}");
        }
    }
}
