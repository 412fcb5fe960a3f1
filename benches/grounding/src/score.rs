//! Counts and prints.

use std::collections::BTreeMap;
use std::time::Duration;

use quaestor_core::model::{Figure, FigureStatus};

use crate::Labelled;

/// How many of how many.
#[derive(Clone, Copy, Debug, Default)]
struct Share {
    hits: usize,
    all: usize,
}

impl Share {
    fn add(&mut self, hit: bool) {
        self.hits += usize::from(hit);
        self.all += 1;
    }

    fn print(self) -> String {
        format!("{:5.1} % of {:>4}", 100.0 * self.hits as f64 / self.all.max(1) as f64, self.all)
    }
}

/// What was found, by set and kind.
#[derive(Debug, Default)]
pub(crate) struct Scores {
    altered: BTreeMap<(String, String), Share>,
    right: BTreeMap<(String, String), Share>,
    other_figures: BTreeMap<String, Share>,
    unread: usize,
}

impl Scores {
    /// Counts an answer; whether it was judged wrongly.
    pub(crate) fn add(&mut self, labelled: &Labelled, figures: &[Figure], start: u32) -> bool {
        let set = format!("{} {}", labelled.source, labelled.split);
        let end = start + u32::try_from(labelled.figure.chars().count()).unwrap_or(0);
        let labelled_one = figures.iter().find(|figure| {
            figure.char_start.is_some_and(|at| at < end)
                && figure.char_end.is_some_and(|at| at > start)
        });
        let flagged = labelled_one.is_none_or(|figure| figure.status == FigureStatus::Unsupported);
        self.unread += usize::from(labelled_one.is_none());
        let mut missed;
        if labelled.kind == "right" {
            self.right.entry((set.clone(), labelled.of.clone())).or_default().add(flagged);
            missed = flagged;
            for figure in figures {
                if labelled_one.is_some_and(|one| std::ptr::eq(one, figure)) {
                    continue;
                }
                let flagged = figure.status == FigureStatus::Unsupported;
                self.other_figures.entry(set.clone()).or_default().add(flagged);
                missed |= flagged;
            }
        } else {
            let found = flagged && labelled_one.is_some();
            self.altered.entry((set.clone(), labelled.kind.clone())).or_default().add(found);
            self.altered.entry((set, "all".to_owned())).or_default().add(found);
            missed = !found;
        }
        missed
    }

    /// Prints the table.
    pub(crate) fn print(&self) {
        for ((set, kind), share) in &self.altered {
            println!("{set:12} altered: {kind:12} found   {}", share.print());
        }
        let mut sums: BTreeMap<&str, Share> = BTreeMap::new();
        for ((set, of), share) in &self.right {
            println!("{set:12} right:   {of:12} flagged {}", share.print());
            let sum = sums.entry(set).or_default();
            sum.hits += share.hits;
            sum.all += share.all;
        }
        for (set, share) in sums {
            println!("{set:12} right:   {:12} flagged {}", "all", share.print());
        }
        for (set, share) in &self.other_figures {
            println!("{set:12} right:   {:12} flagged {}", "besides", share.print());
        }
        println!("labelled figures that were not read as figures: {}", self.unread);
    }
}

/// What checks take.
#[derive(Debug, Default)]
pub(crate) struct Times(Vec<Duration>);

impl Times {
    /// Counts one check.
    pub(crate) fn add(&mut self, time: Duration) {
        self.0.push(time);
    }

    /// Prints median, 99th percentile and maximum.
    pub(crate) fn print(&self) {
        let mut sorted = self.0.clone();
        sorted.sort_unstable();
        let at = |share: f64| {
            let place = (sorted.len().saturating_sub(1)) as f64 * share;
            sorted.get(place as usize).copied().unwrap_or_default().as_secs_f64() * 1e3
        };
        println!(
            "a check takes: median {:.3} ms, 99 of 100 {:.3} ms, longest {:.3} ms, of {} answers",
            at(0.5),
            at(0.99),
            at(1.0),
            sorted.len()
        );
    }
}
