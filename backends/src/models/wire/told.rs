//! What a response's headers tell beside the answer: the request's id, when to come back,
//! and what the key may still do.

use std::time::Duration;

use chrono::{DateTime, NaiveDateTime};
use http::HeaderMap;
use quaestor_core::clock::{Clock, Time};

use crate::models::provider::LimitsTold;

/// The headers under which providers tell their id of a request, the one that their
/// support asks for first.
const REQUEST_IDS: [&str; 4] = ["apim-request-id", "request-id", "x-request-id", "x-trace-id"];

/// An id longer than this is none.
const MAX_ID: usize = 128;

/// Who asks to be left alone for longer is asked again after this all the same.
const MAX_WAIT: Duration = Duration::from_secs(24 * 60 * 60);

/// What one response's headers tell.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::models) struct Told {
    pub(in crate::models) request_id: Option<String>,
    pub(in crate::models) retry_after: Option<Duration>,
    pub(in crate::models) limits: LimitsTold,
}

impl Told {
    pub(super) fn of(headers: &HeaderMap, clock: &dyn Clock) -> Self {
        let now = clock.now();
        Self {
            request_id: request_id(headers),
            retry_after: retry_after(headers, now),
            limits: limits(headers, now),
        }
    }

    /// How long to wait where nothing is left and nobody said for how long.
    pub(super) fn wait(&self) -> Option<Duration> {
        self.retry_after.or_else(|| {
            let limits = &self.limits;
            let waits = [
                (limits.requests_left, limits.requests_whole_in),
                (limits.tokens_left, limits.tokens_whole_in),
            ];
            waits.into_iter().filter(|(left, _)| *left == Some(0)).filter_map(|(_, w)| w).max()
        })
    }
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok().map(str::trim).filter(|text| !text.is_empty())
}

fn request_id(headers: &HeaderMap) -> Option<String> {
    let plain = |id: &&str| id.len() <= MAX_ID && id.bytes().all(|byte| byte.is_ascii_graphic());
    REQUEST_IDS.iter().find_map(|name| text(headers, name).filter(plain)).map(str::to_owned)
}

/// `retry-after-ms`, or `retry-after` in seconds or as a date.
fn retry_after(headers: &HeaderMap, now: Time) -> Option<Duration> {
    let millis = text(headers, "retry-after-ms").and_then(|text| text.parse().ok());
    let wait = match millis {
        Some(millis) => Duration::from_millis(millis),
        None => {
            let text = text(headers, "retry-after")?;
            seconds(text).or_else(|| until(date(text)?, now))?
        }
    };
    Some(wait.min(MAX_WAIT))
}

/// The three forms of a date that HTTP knows (RFC 9110, 5.6.7).
fn date(text: &str) -> Option<Time> {
    if let Ok(moment) = DateTime::parse_from_rfc2822(text) {
        return Some(moment.into());
    }
    ["%A, %d-%b-%y %H:%M:%S GMT", "%a %b %e %H:%M:%S %Y"]
        .iter()
        .find_map(|form| NaiveDateTime::parse_from_str(text, form).ok())
        .map(|moment| moment.and_utc())
}

fn until(moment: Time, now: Time) -> Option<Duration> {
    Some(moment.signed_duration_since(now).to_std().unwrap_or(Duration::ZERO))
}

fn seconds(text: &str) -> Option<Duration> {
    let seconds: f64 = text.parse().ok()?;
    Duration::try_from_secs_f64(seconds).ok().or(Some(MAX_WAIT)).filter(|_| seconds >= 0.0)
}

/// A time to wait as the headers of limits tell it: in seconds, as `6m0s` or `120ms`, or
/// as the moment of its end.
fn reset(text: &str, now: Time) -> Option<Duration> {
    let wait = seconds(text).or_else(|| spelt(text)).or_else(|| {
        let moment = DateTime::parse_from_rfc3339(text).ok()?;
        until(moment.into(), now)
    })?;
    Some(wait.min(MAX_WAIT))
}

/// A duration such as `1h2m3.5s`.
fn spelt(text: &str) -> Option<Duration> {
    let (mut rest, mut total) = (text, Duration::ZERO);
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let number: f64 = rest[..digits].parse().ok()?;
        let unit_end = rest[digits..]
            .find(|c: char| c.is_ascii_digit())
            .map_or(rest.len(), |length| digits + length);
        let scale = match &rest[digits..unit_end] {
            "h" => 3600.0,
            "m" => 60.0,
            "s" => 1.0,
            "ms" => 1e-3,
            "us" | "µs" => 1e-6,
            "ns" => 1e-9,
            _ => return None,
        };
        let part = Duration::try_from_secs_f64(number * scale).unwrap_or(MAX_WAIT);
        total = total.saturating_add(part);
        rest = &rest[unit_end..];
    }
    Some(total)
}

/// OpenAI's and Azure's headers, or Anthropic's.
fn limits(headers: &HeaderMap, now: Time) -> LimitsTold {
    let number = |names: [&str; 2]| names.iter().find_map(|n| text(headers, n)?.parse().ok());
    let wait = |names: [&str; 2]| names.iter().find_map(|n| reset(text(headers, n)?, now));
    LimitsTold {
        requests_left: number([
            "x-ratelimit-remaining-requests",
            "anthropic-ratelimit-requests-remaining",
        ]),
        requests_whole_in: wait([
            "x-ratelimit-reset-requests",
            "anthropic-ratelimit-requests-reset",
        ]),
        tokens_left: number([
            "x-ratelimit-remaining-tokens",
            "anthropic-ratelimit-tokens-remaining",
        ]),
        tokens_whole_in: wait(["x-ratelimit-reset-tokens", "anthropic-ratelimit-tokens-reset"]),
    }
}

#[cfg(test)]
mod tests {
    use quaestor_core::clock::ManualClock;

    use super::*;

    fn told(headers: &[(&'static str, &str)]) -> Told {
        let clock = ManualClock::at_millis(1_445_412_470_000);
        let headers = headers.iter().map(|(name, value)| {
            (name.parse::<http::HeaderName>().unwrap(), value.parse().unwrap())
        });
        Told::of(&headers.collect(), &clock)
    }

    #[test]
    fn the_wait_is_read_in_every_form_it_is_sent_in() {
        for (name, value, wanted) in [
            ("retry-after", "7", Some(7_000)),
            ("retry-after", "0.5", Some(500)),
            ("retry-after", "Wed, 21 Oct 2015 07:28:00 GMT", Some(10_000)),
            ("retry-after", "Wednesday, 21-Oct-15 07:28:00 GMT", Some(10_000)),
            ("retry-after", "Wed Oct 21 07:28:00 2015", Some(10_000)),
            ("retry-after", "Wed, 21 Oct 2015 07:27:00 GMT", Some(0)),
            ("retry-after-ms", "250", Some(250)),
            ("retry-after", "99999999999999999999", Some(86_400_000)),
            ("retry-after", "-3", None),
            ("retry-after", "soon", None),
        ] {
            let wanted = wanted.map(Duration::from_millis);
            assert_eq!(told(&[(name, value)]).retry_after, wanted, "{name}: {value}");
        }
    }

    #[test]
    fn the_limits_of_each_provider_are_read() {
        let openai = told(&[
            ("x-request-id", "req_1"),
            ("x-ratelimit-remaining-requests", "59"),
            ("x-ratelimit-reset-requests", "1m0.5s"),
            ("x-ratelimit-remaining-tokens", "0"),
            ("x-ratelimit-reset-tokens", "120ms"),
        ]);
        assert_eq!(openai.request_id.as_deref(), Some("req_1"));
        let limits = LimitsTold {
            requests_left: Some(59),
            requests_whole_in: Some(Duration::from_millis(60_500)),
            tokens_left: Some(0),
            tokens_whole_in: Some(Duration::from_millis(120)),
        };
        assert_eq!(openai.limits, limits);
        assert_eq!(openai.wait(), Some(Duration::from_millis(120)));
        let anthropic = told(&[
            ("request-id", "req_2"),
            ("anthropic-ratelimit-requests-remaining", "3"),
            ("anthropic-ratelimit-requests-reset", "2015-10-21T07:28:00Z"),
            ("retry-after", "2"),
        ]);
        assert_eq!(anthropic.limits.requests_left, Some(3));
        assert_eq!(anthropic.limits.requests_whole_in, Some(Duration::from_secs(10)));
        assert_eq!(anthropic.wait(), Some(Duration::from_secs(2)));
    }

    #[test]
    fn an_id_that_is_none_is_not_kept() {
        assert_eq!(told(&[("x-request-id", "two words")]).request_id, None);
        let long = "x".repeat(MAX_ID + 1);
        assert_eq!(told(&[("x-request-id", &long)]).request_id, None);
        assert_eq!(told(&[]), Told::default());
    }
}
