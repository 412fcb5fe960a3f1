//! `quaestor-faults`: runs faults by name and prints what came of them.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::bail;
use clap::{Parser, ValueEnum};
use quaestor_faults::bench::{self, Fault, Options};
use quaestor_faults::faults::{BETWEEN_RELEASES, CATALOGUE};
use quaestor_faults::place::Kind;
use quaestor_faults::report::table;
use quaestor_faults::servers::Servers;

/// Runs faults on the real system and checks that every promise was kept. Ends with 1 where
/// one was not.
#[derive(Debug, Parser)]
struct Arguments {
    /// The faults, by name: `list` prints them, `fast` is the subset of `make test`, `all` is
    /// all of them.
    #[arg(required = true)]
    faults: Vec<String>,
    /// On what.
    #[arg(long, value_enum, default_value = "both")]
    on: On,
    /// Everything random comes from this number; another one each time where none is given.
    #[arg(long)]
    seed: Option<u64>,
    /// How often, for faults that happen several times in one run.
    #[arg(long)]
    times: Option<u64>,
    /// How long a soak is.
    #[arg(long, default_value = "30")]
    minutes: u64,
    /// The program; the one beside this one, if none is given.
    #[arg(long)]
    program: Option<PathBuf>,
    /// The program as it was released before, for what happens between releases: without it,
    /// `all` leaves that out.
    #[arg(long)]
    previous: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum On {
    Embedded,
    Services,
    Both,
}

impl On {
    fn has(self, kind: Kind) -> bool {
        match self {
            Self::Both => true,
            Self::Embedded => kind == Kind::Embedded,
            Self::Services => kind == Kind::Services,
        }
    }
}

/// The faults of these names, and where each is to happen.
fn chosen(names: &[String]) -> anyhow::Result<Vec<(&'static Fault, &'static [Kind])>> {
    let mut chosen = Vec::new();
    for name in names {
        let before = chosen.len();
        chosen.extend(CATALOGUE.iter().filter_map(|fault| match name.as_str() {
            "all" => Some((*fault, fault.kinds)),
            "fast" => (!fault.fast.is_empty()).then_some((*fault, fault.fast)),
            name => (fault.name == name).then_some((*fault, fault.kinds)),
        }));
        if chosen.len() == before {
            bail!("no fault is named `{name}`; `list` prints those there are");
        }
    }
    Ok(chosen)
}

/// A number nobody chose.
#[expect(clippy::disallowed_methods, reason = "a seed is to be another one each time")]
fn any_seed() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(1, |since| since.as_secs())
}

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    let arguments = Arguments::parse();
    let mut out = std::io::stdout();
    if arguments.faults == ["list"] {
        for fault in CATALOGUE {
            let kinds: Vec<&str> = fault.kinds.iter().map(|kind| kind.as_str()).collect();
            writeln!(out, "{:<14} {:<18} {}", fault.name, kinds.join(", "), fault.what)?;
        }
        return Ok(ExitCode::SUCCESS);
    }
    let mut faults = chosen(&arguments.faults)?;
    if arguments.previous.is_none() && arguments.faults == ["all"] {
        faults.retain(|(fault, _)| !BETWEEN_RELEASES.contains(&fault.name));
        writeln!(out, "     left out without --previous: {BETWEEN_RELEASES:?}")?;
    }
    let options = Options {
        program: match arguments.program {
            Some(program) => program,
            None => bench::program_beside()?,
        },
        seed: arguments.seed.unwrap_or_else(any_seed),
        times: arguments.times,
        minutes: arguments.minutes,
        previous: arguments.previous,
    };
    let needs_servers = arguments.on.has(Kind::Services)
        && faults.iter().any(|(_, kinds)| kinds.contains(&Kind::Services));
    let servers = match needs_servers {
        true => Some(Arc::new(Servers::start()?)),
        false => None,
    };
    let mut outcomes = Vec::new();
    for (fault, kinds) in faults {
        for kind in kinds.iter().copied().filter(|kind| arguments.on.has(*kind)) {
            outcomes.push(bench::run(fault, kind, &options, servers.clone()).await);
        }
    }
    writeln!(out, "{}", table(&outcomes))?;
    writeln!(out, "seed {}", options.seed)?;
    let well = outcomes.iter().all(|outcome| outcome.is_well());
    Ok(if well { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
