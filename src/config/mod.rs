//! What is the program told: defaults, then `quaestor.toml`, then the environment, then
//! flags, each laid over the one before.

mod answers;
mod audit;
mod backup;
mod calls;
mod chain;
mod check;
mod check_models;
mod data;
mod error;
mod exports;
mod jobs;
mod keys;
mod layers;
mod log;
mod models;
mod money;
mod parse;
mod prompt;
mod providers;
mod rerank;
mod s3;
mod scaler;
mod schedules;
mod secret;
mod server;
#[cfg(test)]
mod tests;
mod traces;
mod url;
mod workers;

use std::path::PathBuf;

use figment::error::Kind;
use figment::{Figment, value::Value};
use serde::{Deserialize, Serialize};

pub use answers::Answers;
pub use audit::Audit;
pub use backup::{Backup, BackupChoice, BackupEncryption};
pub use calls::{ModelBreaker, ModelRetry, ModelTimeouts};
pub use chain::{ChatChain, ChatProvider, EmbedAlso, EmbedSetting, ModelAt, ProviderName};
pub use check::check_exposure;
pub use data::{Data, DatabaseChoice, EventsChoice, ObjectsChoice, QueueChoice};
pub use error::ConfigError;
pub use exports::Exports;
pub use jobs::Jobs;
pub use keys::{KEYS, Key, ValueKind};
pub use layers::Environment;
pub use log::{Log, LogFormat};
pub use models::{EmbedderChoice, MINILM, MODEL_FILES, Models, missing_file};
pub use money::{Budgets, Limits, Prices};
pub use parse::Parse;
pub use prompt::PromptShares;
pub use providers::{Anthropic, Azure, CompatibleServer, OpenAi};
pub use rerank::RerankSetting;
pub use s3::{Encryption, S3};
pub use scaler::{LeastProcesses, MostProcesses, Scaler};
pub use schedules::{Check, Scheduled, Schedules};
pub use secret::HIDDEN;
pub use server::{Quotas, Server};
pub use traces::Traces;
pub use url::ServiceUrl;
pub use workers::{Slots, Waits, Workers};

/// The whole configuration. Serializing it hides its secrets.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where the server listens, and what it lets in.
    pub server: Server,
    /// Where data is kept, and by which backends.
    pub data: Data,
    /// How S3 is reached, where it keeps the files.
    pub s3: S3,
    /// Who answers and who makes vectors.
    pub models: Models,
    /// Whether answers are given again.
    pub answers: Answers,
    /// What may be spent on models.
    pub budgets: Budgets,
    /// What one document may cost.
    pub parse: Parse,
    /// How much runs at once.
    pub workers: Workers,
    /// How many worker processes `quaestor scaler` runs.
    pub scaler: Scaler,
    /// How long work is wanted.
    pub jobs: Jobs,
    /// Exports.
    pub exports: Exports,
    /// How the audit log is kept.
    pub audit: Audit,
    /// What is backed up, and where to.
    pub backup: Backup,
    /// When is done what is done by the clock.
    pub schedules: Schedules,
    /// How what is stored is checked.
    pub check: Check,
    /// What is logged.
    pub log: Log,
    /// Where traces are sent.
    pub traces: Traces,
}

/// Where a configuration comes from.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// The file that was named by `--config`, if one was.
    pub file: Option<PathBuf>,
    /// The environment.
    pub environment: Environment,
    /// What flags say.
    pub flags: Vec<Flag>,
}

/// A key set by a flag.
#[derive(Clone, Debug)]
pub struct Flag {
    /// The flag as it was written: `--listen`.
    pub flag: &'static str,
    /// The key's full name.
    pub key: String,
    /// Its value as text.
    pub value: String,
}

/// One key as it is in force.
#[derive(Clone, Debug, Serialize)]
pub struct InForce {
    /// The key's full name.
    pub key: String,
    /// Its value; a secret is [`HIDDEN`], what is not set is null.
    pub value: serde_json::Value,
    /// Where it comes from: `default`, a file, a variable, a flag.
    pub origin: String,
}

/// A configuration that was checked, with what was learnt on the way.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The configuration.
    pub config: Config,
    /// Who makes vectors, after the folders were looked at.
    pub embedder: EmbedderChoice,
    /// Who else does, and how long those are where no folder says so.
    pub further_embedders: Vec<(EmbedderChoice, Option<u32>)>,
    /// What is legal and may hurt; to be logged at start.
    pub warnings: Vec<String>,
    /// Every key, in the order of [`KEYS`].
    pub in_force: Vec<InForce>,
}

/// Reads, lays together and checks. The first thing that is wrong is the error.
pub fn load(sources: &Sources) -> Result<Settings, ConfigError> {
    let lowest =
        Value::serialize(Config::default()).map_err(|e| ConfigError::Layers(Box::new(e)))?;
    let mut figment = Figment::from(layers::Layer {
        origin: "default".to_owned(),
        values: lowest.into_dict().unwrap_or_default(),
    });
    if let Some(path) = layers::file_path(sources.file.as_deref(), &sources.environment) {
        figment = figment.merge(layers::of_file(&path)?);
    }
    let (variables, mut warnings) = layers::of_environment(&sources.environment)?;
    for layer in variables {
        figment = figment.merge(layer);
    }
    for flag in &sources.flags {
        let origin = format!("the flag {}", flag.flag);
        let key = keys::find(&flag.key).ok_or_else(|| layers::unknown(&flag.key, &origin))?;
        figment = figment.merge(layers::of_text(key, &flag.key, &flag.value, origin)?);
    }
    let config: Config = figment.extract().map_err(wrong_value)?;
    let origin = |key: &str| {
        figment.find_metadata(key).map_or_else(|| "default".to_owned(), |m| m.name.to_string())
    };
    let refused = |(key, reason): (String, String)| ConfigError::Refused {
        origin: origin(&key),
        key,
        reason,
    };
    warnings.extend(check::check(&config).map_err(refused)?);
    let embedder = config
        .models
        .embedder(&model_folders(&config, &sources.environment))
        .map_err(|sentence| refused(("models.embed".to_owned(), sentence)))?;
    let further_embedders = config
        .models
        .further_embedders()
        .map_err(|sentence| refused(("models.embed_also".to_owned(), sentence)))?;
    let values = serde_json::to_value(&config)
        .map_err(|error| ConfigError::Layers(Box::new(error.to_string().into())))?;
    let in_force = KEYS.iter().flat_map(|key| key.paths(&values)).map(|key| InForce {
        value: values.pointer(&format!("/{}", key.replace('.', "/"))).cloned().unwrap_or_default(),
        origin: origin(&key),
        key,
    });
    Ok(Settings { in_force: in_force.collect(), config, embedder, further_embedders, warnings })
}

/// Where a model folder is looked for, best first: the data folder's own, then where
/// `make model` puts it for every checkout of the user.
fn model_folders(config: &Config, environment: &Environment) -> Vec<PathBuf> {
    let cache = environment
        .get("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .or_else(|| environment.get("HOME").map(|home| PathBuf::from(home).join(".cache")));
    let mut folders = vec![config.data.dir.join("models").join(MINILM)];
    folders.extend(cache.map(|cache| cache.join("quaestor/models").join(MINILM)));
    folders
}

/// A figment error in the program's own words; a secret's value never stands in it.
fn wrong_value(error: figment::Error) -> ConfigError {
    let path = error.path.join(".");
    // What is wrong may be inside of a value, such as an item of a list.
    let above = |length: &usize| error.path[..*length].join(".");
    let Some(key) = (1..=error.path.len()).rev().find_map(|l| keys::find(&above(&l))) else {
        return ConfigError::Layers(Box::new(error));
    };
    let found = match &error.kind {
        _ if key.secret => "it is of another type".to_owned(),
        Kind::Message(reason) => reason.clone(),
        Kind::InvalidType(found, _) | Kind::InvalidValue(found, _) => format!("it is {found}"),
        other => other.to_string(),
    };
    ConfigError::WrongValue {
        key: if key.path.contains('*') { path } else { key.path.to_owned() },
        origin: error.metadata.map_or_else(|| "default".to_owned(), |m| m.name.to_string()),
        expected: key.expected.to_owned(),
        found,
    }
}
