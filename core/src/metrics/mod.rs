//! What the program tells in numbers: every metric it has stands in one table (`table.rs`),
//! and a metric is emitted by its entry there, so none can be emitted that is not in it.
//!
//! A label's value is one of a bounded set, which its [`Bound`] names: never an id, a path, a
//! file's name or what a client wrote. `METRICS.md` is made from the table.

mod table;

use std::fmt::Write as _;
use std::sync::OnceLock;

pub use metrics::SharedString;
use metrics::{Key, Level, Metadata};

use crate::jobs::{JobKind, Step};
use crate::model::Reason;

pub use table::*;

static METADATA: Metadata<'static> = Metadata::new("quaestor", Level::INFO, None);

/// Of which set a label's value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bound {
    /// These.
    OneOf(&'static [&'static str]),
    /// The steps of jobs.
    Steps,
    /// The kinds of jobs.
    Kinds,
    /// The reasons for which a job waits.
    Reasons,
    /// The patterns of routes (`/api/jobs/{id}`), and `unmatched`.
    Routes,
    /// Statuses of HTTP.
    Statuses,
    /// Codes that close a WebSocket.
    CloseCodes,
    /// Codes of problems and classes of errors, which stand in the program.
    Codes,
    /// The models that are configured, as `provider:model`.
    Models,
    /// The providers of these.
    Providers,
    /// The version of the program.
    Version,
}

impl Bound {
    /// The value where the set has it, else `other`, which such a set has too: for what comes
    /// from a process that reads strangers' files.
    #[must_use]
    pub fn or_other(self, value: &str) -> &'static str {
        match self {
            Self::OneOf(names) => {
                names.iter().copied().find(|name| *name == value).unwrap_or("other")
            }
            _ => "other",
        }
    }

    /// The set in words, for people.
    #[must_use]
    pub fn told(self) -> String {
        match self {
            Self::OneOf(names) => {
                names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
            }
            Self::Steps => "a step of a job".to_owned(),
            Self::Kinds => "a kind of job".to_owned(),
            Self::Reasons => "a reason for waiting".to_owned(),
            Self::Routes => "a route's pattern, or `unmatched`".to_owned(),
            Self::Statuses => "a status of HTTP".to_owned(),
            Self::CloseCodes => "a code of RFC 6455, 4001 or 4008".to_owned(),
            Self::Codes => "a code that stands in the program".to_owned(),
            Self::Models => "a model that is configured".to_owned(),
            Self::Providers => "a provider of models that are configured".to_owned(),
            Self::Version => "the program's".to_owned(),
        }
    }

    /// Whether the set may have this value.
    #[must_use]
    pub fn holds(self, value: &str) -> bool {
        let of = |allowed: &str| {
            (1..=64).contains(&value.len())
                && value
                    .bytes()
                    .all(|byte| byte.is_ascii_lowercase() || allowed.as_bytes().contains(&byte))
        };
        match self {
            Self::OneOf(names) => names.contains(&value),
            Self::Steps => value.parse::<Step>().is_ok(),
            Self::Kinds => value.parse::<JobKind>().is_ok(),
            Self::Reasons => Reason::ALL.iter().any(|reason| reason.as_str() == value),
            Self::Routes => value == "unmatched" || (value.starts_with('/') && of("/{}_-.1")),
            Self::Statuses => value.parse().is_ok_and(|status: u16| (100..600).contains(&status)),
            Self::CloseCodes => {
                value.parse().is_ok_and(|code: u16| (1000..1016).contains(&code) || code >= 4000)
            }
            Self::Codes => of("_"),
            Self::Models => value.len() <= 200 && !value.is_empty(),
            Self::Providers => of("-_.0123456789"),
            Self::Version => value == env!("CARGO_PKG_VERSION"),
        }
    }
}

/// A label.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Label {
    /// Its name.
    pub name: &'static str,
    /// What its values are.
    pub bound: Bound,
}

/// How a metric counts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    /// Rises, and begins anew with the process.
    Counter,
    /// Rises and falls.
    Gauge,
    /// How often a value was at most each of these bounds.
    Histogram(&'static [f64]),
}

impl Kind {
    /// The word of Prometheus.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram(_) => "histogram",
        }
    }
}

/// Where and when a metric is to be seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shown {
    /// By every process, from the first scrape on.
    Always,
    /// By the process that does it, once it has been done: an ordinary question, upload,
    /// search or socket shows it.
    AtWork,
    /// The same, with PostgreSQL, RabbitMQ, Redis and S3 alone.
    Distributed,
    /// Once something has happened that a day may well be without.
    Rarely,
}

impl Shown {
    /// In words, for people.
    #[must_use]
    pub fn told(self) -> &'static str {
        match self {
            Self::Always => "always",
            Self::AtWork => "at work",
            Self::Distributed => "at work, with servers",
            Self::Rarely => "when it happens",
        }
    }
}

/// An entry of the table.
#[derive(Clone, Copy, Debug)]
pub struct Metric {
    /// Its name.
    pub name: &'static str,
    /// How it counts.
    pub kind: Kind,
    /// Its labels, in the order in which values are given.
    pub labels: &'static [Label],
    /// Where it is to be seen.
    pub shown: Shown,
    /// What it tells.
    pub help: &'static str,
}

impl Metric {
    /// What it is counted in: the base units of Prometheus, by the name's ending.
    #[must_use]
    pub fn unit(&self) -> &'static str {
        let name = self.name.strip_suffix("_total").unwrap_or(self.name);
        for (ending, unit) in [
            ("_timestamp_seconds", "seconds since 1970"),
            ("_time_seconds", "seconds since 1970"),
            ("_seconds", "seconds"),
            ("_bytes", "bytes"),
            ("_cost_micros", "millionths of the currency"),
        ] {
            if name.ends_with(ending) {
                return unit;
            }
        }
        ""
    }

    fn key<const N: usize>(&self, values: [SharedString; N]) -> Key {
        let labels = self.labels.iter().zip(values);
        let labels = labels.map(|(label, value)| metrics::Label::new(label.name, value));
        Key::from_parts(self.name, labels.collect::<Vec<_>>())
    }

    /// Tells the recorder what the metric is, and shows it at nought where its labels' values
    /// are few and known: a counter that appears with its first event hides that event from
    /// whoever asks by how much it rose.
    fn describe(&'static self) {
        let help = SharedString::const_str(self.help);
        metrics::with_recorder(|recorder| match self.kind {
            Kind::Counter => recorder.describe_counter(self.name.into(), None, help),
            Kind::Gauge => recorder.describe_gauge(self.name.into(), None, help),
            Kind::Histogram(_) => recorder.describe_histogram(self.name.into(), None, help),
        });
        if self.kind != Kind::Counter || self.is_written() {
            return;
        }
        let mut all: Vec<Vec<metrics::Label>> = vec![Vec::new()];
        for label in self.labels {
            let values: Vec<&'static str> = match label.bound {
                Bound::OneOf(names) => names.to_vec(),
                Bound::Steps => Step::ALL.map(Step::as_str).to_vec(),
                Bound::Kinds => JobKind::ALL.map(JobKind::as_str).to_vec(),
                _ => return,
            };
            all = all
                .iter()
                .flat_map(|before| {
                    values.iter().map(|value| {
                        let mut labels = before.clone();
                        labels.push(metrics::Label::from_static_parts(label.name, value));
                        labels
                    })
                })
                .collect();
        }
        for labels in all {
            let key = Key::from_parts(self.name, labels);
            metrics::with_recorder(|recorder| recorder.register_counter(&key, &METADATA))
                .increment(0);
        }
    }

    /// Whether it is written at a scrape and not recorded: what the system keeps of a process,
    /// under the names that all programs have for it.
    fn is_written(&self) -> bool {
        self.name.starts_with("process_")
    }
}

/// Describes every metric to the recorder that was installed.
pub fn describe_all() {
    for metric in ALL.iter().filter(|metric| !metric.is_written()) {
        metric.describe();
    }
}

macro_rules! handle {
    ($name:ident, $register:ident, $what:literal) => {
        #[doc = $what]
        #[derive(Debug)]
        pub struct $name<const N: usize>(Metric);

        impl<const N: usize> $name<N> {
            /// The one with these values of its labels, in the table's order.
            pub fn of(&self, values: [SharedString; N]) -> metrics::$name {
                let key = self.0.key(values);
                metrics::with_recorder(|recorder| recorder.$register(&key, &METADATA))
            }
        }
    };
}
handle!(Counter, register_counter, "A counter of the table.");
handle!(Gauge, register_gauge, "A gauge of the table.");
handle!(Histogram, register_histogram, "A histogram of the table.");

impl Counter<1> {
    /// The one with this value, or with `other` where its set does not have it.
    pub fn of_any(&self, value: &str) -> metrics::Counter {
        let known = self.0.labels.first().map_or("other", |label| label.bound.or_other(value));
        self.of([known.into()])
    }
}

impl<const N: usize> Counter<N> {
    const fn new(
        name: &'static str,
        labels: &'static [Label; N],
        shown: Shown,
        help: &'static str,
    ) -> Self {
        Self(Metric { name, kind: Kind::Counter, labels, shown, help })
    }
}

impl<const N: usize> Gauge<N> {
    const fn new(
        name: &'static str,
        labels: &'static [Label; N],
        shown: Shown,
        help: &'static str,
    ) -> Self {
        Self(Metric { name, kind: Kind::Gauge, labels, shown, help })
    }
}

impl<const N: usize> Histogram<N> {
    const fn new(
        name: &'static str,
        (buckets, labels): (&'static [f64], &'static [Label; N]),
        shown: Shown,
        help: &'static str,
    ) -> Self {
        Self(Metric { name, kind: Kind::Histogram(buckets), labels, shown, help })
    }
}

/// A metric that is written at a scrape as it is.
#[derive(Debug)]
pub struct Written(Metric);

impl Written {
    const fn new(name: &'static str, kind: Kind, help: &'static str) -> Self {
        Self(Metric { name, kind, labels: &[], shown: Shown::Always, help })
    }

    /// Writes it in the format of Prometheus.
    pub fn write(&self, out: &mut String, value: f64) {
        let Metric { name, kind, help, .. } = self.0;
        // Writing to a text does not fail.
        let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} {}", kind.as_str());
        let _ = writeln!(out, "{name} {value}\n");
    }
}

/// Seconds between two moments, for a histogram; nought where the clock went back.
#[must_use]
pub fn seconds(from: crate::clock::Time, until: crate::clock::Time) -> f64 {
    (until - from).as_seconds_f64().max(0.0)
}

/// The provider of a model named `provider:model`; the name itself where it has none.
#[must_use]
pub fn provider_of(model: &str) -> &str {
    model.split_once(':').map_or(model, |(provider, _)| provider)
}

/// The table as Markdown, as it stands in `METRICS.md`.
#[must_use]
pub fn markdown() -> &'static str {
    static TEXT: OnceLock<String> = OnceLock::new();
    TEXT.get_or_init(|| {
        let mut text = String::from(
            "| name | type | unit | labels | seen | what it tells |\n|---|---|---|---|---|---|\n",
        );
        for metric in ALL {
            let labels = metric.labels.iter();
            let labels: Vec<String> = labels.map(|label| format!("`{}`", label.name)).collect();
            let _ = writeln!(
                text,
                "| `{}` | {} | {} | {} | {} | {} |",
                metric.name,
                metric.kind.as_str(),
                metric.unit(),
                labels.join(", "),
                metric.shown.told(),
                metric.help,
            );
        }
        let mut labels: Vec<Label> = ALL.iter().flat_map(|metric| metric.labels).copied().collect();
        labels.sort_by_key(|label| (label.name, label.bound.told()));
        labels.dedup();
        text.push_str("\n| label | its values | of |\n|---|---|---|\n");
        for label in labels {
            let of = ALL.iter().filter(|metric| metric.labels.contains(&label));
            let of: Vec<String> = of.map(|metric| format!("`{}`", metric.name)).collect();
            let of = if of.len() > 4 { "many".to_owned() } else { of.join(", ") };
            let _ = writeln!(text, "| `{}` | {} | {of} |", label.name, label.bound.told());
        }
        text
    })
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn names_follow_the_conventions_and_are_there_once() {
        let mut names = HashSet::new();
        for metric in ALL {
            let name = metric.name;
            assert!(names.insert(name), "{name} stands there twice");
            assert!(name.starts_with("quaestor_") || metric.is_written(), "{name}");
            assert!(name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'), "{name}");
            assert_eq!(name.ends_with("_total"), metric.kind == Kind::Counter, "{name}");
            assert!(
                !["_count", "_sum", "_bucket", "_ms", "_milliseconds"]
                    .iter()
                    .any(|ending| name.ends_with(ending)),
                "{name}"
            );
            assert!(metric.help.ends_with('.') && !metric.help.contains(['|', '\n']), "{name}");
            if let Kind::Histogram(buckets) = metric.kind {
                assert!(buckets.is_sorted() && buckets.len() <= 16, "{name}");
            }
            let labels: HashSet<_> = metric.labels.iter().map(|label| label.name).collect();
            assert_eq!(labels.len(), metric.labels.len(), "{name}");
            for label in &labels {
                assert!(!["le", "quantile", "id", "job", "instance"].contains(label), "{name}");
            }
        }
    }

    #[test]
    fn what_a_stranger_says_is_no_value() {
        let bound = Bound::OneOf(&["damaged", "other"]);
        assert_eq!(bound.or_other("damaged"), "damaged");
        assert_eq!(bound.or_other("made up for this file"), "other");
    }

    #[test]
    fn a_value_is_of_its_set_or_not() {
        let id = "018f0000-0000-7000-8000-000000000001";
        for (bound, good, bad) in [
            (Bound::OneOf(&["a", "b"]), "b", "c"),
            (Bound::Steps, "chat.retrieve", "chat.sing"),
            (Bound::Kinds, "chat", "job"),
            (Bound::Reasons, "workspace_busy", id),
            (Bound::Routes, "/api/jobs/{id}/events", "/api/jobs/7"),
            (Bound::Routes, "/v1/chat/completions", id),
            (Bound::Statuses, "404", "4040"),
            (Bound::CloseCodes, "4008", "17"),
            (Bound::Codes, "message_too_large", id),
            (Bound::Providers, "openai", "Open AI"),
        ] {
            assert!(bound.holds(good), "{good}");
            assert!(!bound.holds(bad), "{bad}");
        }
    }
}
