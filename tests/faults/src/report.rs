//! What a person sees of a run: a line as it goes, and the table at its end.

use std::io::Write as _;
use std::time::Duration;

use crate::check::Breach;
use crate::place::Kind;

/// Says a line. Where nobody reads it, there is nobody to tell.
pub(crate) fn say(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// A measured figure, and what it may be at the most.
#[derive(Clone, Debug)]
pub struct Figure {
    /// What is measured, with its unit.
    pub name: String,
    /// What it was.
    pub value: f64,
    /// What it may be: from, to.
    pub within: Option<(f64, f64)>,
}

impl Figure {
    /// Whether it is where it should be.
    #[must_use]
    pub fn is_met(&self) -> bool {
        self.within.is_none_or(|(low, high)| (low..=high).contains(&self.value))
    }
}

/// How one fault went.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The fault.
    pub name: &'static str,
    /// What was done.
    pub what: &'static str,
    /// What was expected beyond a clean check.
    pub expected: &'static str,
    /// On what.
    pub kind: Kind,
    /// The promises that were broken.
    pub breaches: Vec<Breach>,
    /// What was measured.
    pub figures: Vec<Figure>,
    /// Why it could not be run to its end.
    pub error: Option<String>,
    /// How long it took.
    pub took: Duration,
    /// What repeats it.
    pub again: String,
    /// Where its files are, if they were kept.
    pub kept: Option<std::path::PathBuf>,
}

impl Outcome {
    /// Whether everything held.
    #[must_use]
    pub fn is_well(&self) -> bool {
        self.error.is_none() && self.breaches.is_empty() && self.figures.iter().all(Figure::is_met)
    }

    /// What was seen, in a cell.
    fn seen(&self) -> String {
        if let Some(error) = &self.error {
            let line = error.split_whitespace().collect::<Vec<_>>().join(" ");
            return format!("not run to its end: {line}").replace('|', "/");
        }
        match self.breaches.len() {
            0 => "clean".to_owned(),
            many => {
                let mut rules: Vec<&str> = self.breaches.iter().map(|b| b.rule).collect();
                rules.sort_unstable();
                rules.dedup();
                format!("{many} breaches: {}", rules.join(", "))
            }
        }
    }

    fn figures(&self) -> String {
        let figures = self.figures.iter().map(|figure| {
            let value = match figure.value {
                value if value.fract() == 0.0 => format!("{value:.0}"),
                value => format!("{value:.2}"),
            };
            let mark = if figure.is_met() { "" } else { " MISSED" };
            match figure.within {
                Some((_, high)) if high.is_finite() => {
                    format!("{} {value} (aim {high}){mark}", figure.name)
                }
                Some((low, _)) => format!("{} {value} (at least {low}){mark}", figure.name),
                None => format!("{} {value}", figure.name),
            }
        });
        figures.collect::<Vec<_>>().join("; ")
    }

    /// A line for a person, with every breach beneath.
    pub fn tell(&self) {
        let mark = if self.is_well() { "ok  " } else { "FAIL" };
        say(&format!(
            "{mark} {} on {} in {:.0} s: {}. {}",
            self.name,
            self.kind.as_str(),
            self.took.as_secs_f64(),
            self.seen(),
            self.figures()
        ));
        if self.is_well() {
            return;
        }
        for breach in self.breaches.iter().take(20) {
            say(&format!("     {}: {}", breach.rule, breach.detail));
        }
        say(&format!("     again: {}", self.again));
        if let Some(kept) = &self.kept {
            say(&format!("     its logs: {}", kept.display()));
        }
    }
}

/// The table of a run, as Markdown.
#[must_use]
pub fn table(outcomes: &[Outcome]) -> String {
    let mut table =
        "| fault | on | what happens | expected | seen | figures |\n|---|---|---|---|---|---|\n"
            .to_owned();
    for outcome in outcomes {
        table.push_str(&format!(
            "| {} | {} | {} | {} | {} | {} |\n",
            outcome.name,
            outcome.kind.as_str(),
            outcome.what,
            outcome.expected,
            outcome.seen(),
            outcome.figures()
        ));
    }
    table
}

/// The value below which so many of a hundred lie, in seconds; 0 of none.
#[must_use]
pub fn percentile(durations: &mut [Duration], percent: usize) -> f64 {
    durations.sort_unstable();
    let at = (durations.len() * percent).div_ceil(100).saturating_sub(1);
    durations.get(at).map_or(0.0, Duration::as_secs_f64)
}
