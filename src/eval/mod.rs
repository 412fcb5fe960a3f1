//! `quaestor eval`: how good are search and answers on labelled data?
//!
//! The data is stored in an installation of its own in a scratch folder, and searched and
//! asked by the product's own searcher, store, models and server: nothing here ranks.

mod answers;
mod dataset;
mod entry;
mod kept;
mod load;
mod report;
mod score;
mod search;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use quaestor_backends::entropy::OsEntropy;
use quaestor_core::clock::SystemClock;
use quaestor_core::ports::embedder::Embedder;
use secrecy::SecretString;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::app::{self, Bare};
use crate::cli::{Client, Ended, EvalArguments, Terminal, logging, settings};
use crate::config::{Environment, Settings};
use crate::scratch::{Scratch, hex};
use dataset::{Dataset, JudgedSet};
use load::Loaded;
use report::{Report, SetReport};
use search::{Ground, Searchers};

/// Runs the command.
pub(crate) async fn run(arguments: EvalArguments, terminal: &Terminal) -> anyhow::Result<Ended> {
    let settings = settings(&arguments.file)?;
    logging::start(&settings.config.log)?;
    let dataset = Dataset::open(&arguments.dataset)?;
    let scratch = Scratch::new("eval", None, &OsEntropy)?;
    let key = SecretString::from(hex(&OsEntropy));
    let settings = alone(settings, &scratch, &key);
    let evaluated = evaluate(&arguments, &settings, &key, &dataset);
    let report = tokio::select! {
        report = evaluated => report?,
        interrupted = tokio::signal::ctrl_c() => {
            interrupted.context("listening for an interrupt")?;
            anyhow::bail!("interrupted; the scratch folder is removed, the vectors made so far are kept")
        }
    };
    if arguments.json {
        terminal.line(&serde_json::to_string(&report)?)?;
    } else {
        report.print(terminal)?;
    }
    Ok(Ended::Well)
}

/// The user's models, and nothing else of the user's: data, address, key and quotas are the
/// evaluation's own.
fn alone(mut settings: Settings, scratch: &Scratch, key: &SecretString) -> Settings {
    let config = &mut settings.config;
    config.server.listen = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    config.server.admin_key = Some(key.clone());
    config.server.quotas.requests_burst = u32::MAX;
    config.server.quotas.asks_burst = u32::MAX;
    config.data = crate::config::Data { dir: scratch.data(), ..Default::default() };
    settings
}

async fn evaluate(
    arguments: &EvalArguments,
    settings: &Settings,
    key: &SecretString,
    dataset: &Dataset,
) -> anyhow::Result<Report> {
    let bar = spinner();
    let bare = Bare::open(settings).await?;
    let embedder: Option<Arc<dyn Embedder>> = match &bare.embedder {
        Some(model) => Some(Arc::new(kept::Kept::open(&cache(arguments)?, model.clone())?)),
        None => None,
    };
    let all = dataset.documents.len();
    let loaded = load::load(&bare, dataset, embedder.as_deref(), &|done| {
        bar.set_message(format!("storing the corpus: {done} of {all} documents"));
    })
    .await
    .context("storing the corpus")?;
    let searchers = Searchers::new(&bare.store, embedder.as_ref(), bare.reranking.as_ref());
    let ground = Ground { dataset, loaded: &loaded, workspace: bare.workspace };
    let mut sets = Vec::new();
    for set in &dataset.sets {
        let chosen = spread(set, arguments.queries);
        let (name, most) = (&set.name, chosen.len() * searchers.count());
        let tell = |done| bar.set_message(format!("{name}: {done} searches, {most} in each scope"));
        let rows = ground.evaluate(set, &chosen, &searchers, &tell).await?;
        sets.push(SetReport { set: set.name.clone(), unit: set.unit, rows, answers: None });
    }
    let mut report = Report {
        dataset: arguments.dataset.display().to_string(),
        entries: dataset.entries(),
        documents: dataset.documents.len(),
        passages: loaded.passages,
        embedder: embedder.as_ref().map(|embedder| embedder.model().to_owned()),
        reranker: bare.reranking.as_ref().map(|one| one.reranker.model().to_owned()),
        without: (embedder.is_none()).then(|| settings.embedder.to_string()),
        sets,
    };
    drop(searchers);
    bare.close().await;
    if arguments.answers > 0 {
        ask(arguments, settings, key, dataset, &loaded, &mut report, &bar).await?;
    }
    bar.finish_and_clear();
    Ok(report)
}

/// Starts the server over the same data and asks it.
async fn ask(
    arguments: &EvalArguments,
    settings: &Settings,
    key: &SecretString,
    dataset: &Dataset,
    loaded: &Loaded,
    report: &mut Report,
    bar: &ProgressBar,
) -> anyhow::Result<()> {
    let listener = TcpListener::bind(settings.config.server.listen)
        .await
        .context("listening on a free port of this machine")?;
    let stop = CancellationToken::new();
    let server =
        app::start(settings, app::Role::Serve, listener, app::Stopping::at_once(stop.clone()))
            .await?;
    let address = format!("http://{}", server.address);
    let asked = async {
        let clock = Arc::new(SystemClock);
        let client = Client::new(&address, Some(key), clock, Arc::new(OsEntropy))?;
        for (set, told) in dataset.sets.iter().zip(&mut report.sets) {
            let chosen = spread(set, Some(arguments.answers));
            let (name, most) = (&set.name, chosen.len());
            let tell = |done| bar.set_message(format!("{name}: {done} of {most} answers"));
            told.answers = Some(answers::ask(&client, dataset, loaded, set, &chosen, &tell).await?);
        }
        anyhow::Ok(())
    }
    .await;
    // However it went, the server ends in order; its own error is the lesser news.
    stop.cancel();
    let stopped = server.finished().await;
    asked?;
    stopped.context("stopping the server")
}

/// At most so many of a set's queries, evenly spread over the file: the same ones in every
/// run.
fn spread(set: &JudgedSet, most: Option<u32>) -> Vec<usize> {
    let all = set.queries.len();
    let most = most.map_or(all, |most| (most as usize).min(all));
    (0..most).map(|n| n * all / most).collect()
}

/// Where vectors are kept between runs.
fn cache(arguments: &EvalArguments) -> anyhow::Result<PathBuf> {
    if let Some(folder) = &arguments.cache {
        return Ok(folder.clone());
    }
    let environment = Environment::of_process();
    let home = |name: &str, below: &str| environment.get(name).map(|at| Path::new(at).join(below));
    home("XDG_CACHE_HOME", "quaestor/eval")
        .or_else(|| home("HOME", ".cache/quaestor/eval"))
        .context("neither HOME nor XDG_CACHE_HOME is set: name a folder with --cache")
}

fn spinner() -> ProgressBar {
    let style = ProgressStyle::with_template("{spinner} {wide_msg}")
        .unwrap_or_else(|_| ProgressStyle::default_spinner());
    let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr_with_hz(8));
    bar.with_style(style)
}
