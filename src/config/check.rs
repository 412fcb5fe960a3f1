//! Do the values make sense, each and together? The one place that asks.

use std::net::SocketAddr;

use quaestor_core::jobs::{JobKind, Step};
use secrecy::ExposeSecret;

use super::{
    Config, ConfigError, DatabaseChoice, Encryption, ObjectsChoice, backup, check_models, rerank,
};

/// An admin key shorter than this could be guessed.
const MIN_ADMIN_KEY: usize = 16;
/// The longest token that authentication looks at.
const MAX_ADMIN_KEY: usize = 512;
/// A parser child needs this much to begin with.
const MIN_PARSE_MEMORY_MB: u64 = 64;

/// A refusal by key; the caller adds where the key's value comes from.
type Refusal = (&'static str, String);

/// Refuses what cannot work, by the key. Returns warnings about what works and may hurt.
pub(super) fn check(config: &Config) -> Result<Vec<String>, (String, String)> {
    let own = own(config).map_err(|(key, sentence)| (key.to_owned(), sentence))?;
    check_models::check(&config.models)?;
    rerank::check(&config.models)?;
    Ok(own)
}

fn own(config: &Config) -> Result<Vec<String>, Refusal> {
    positive(config)?;
    server(config)?;
    backends(config)?;
    let filter = tracing_subscriber::EnvFilter::try_new(&config.log.filter);
    filter.map_err(|error| ("log.filter", error.to_string()))?;
    super::traces::check(&config.traces)?;
    let mut warnings = Vec::new();
    workers(config, &mut warnings)?;
    scaling(config)?;
    backup::check(config, &mut warnings)?;
    super::schedules::check(config)?;
    risky(config, &mut warnings);
    Ok(warnings)
}

fn positive(config: &Config) -> Result<(), Refusal> {
    let values = serde_json::to_value(config).map_err(|error| {
        ("server", format!("the configuration cannot be looked through: {error}"))
    })?;
    for key in super::KEYS {
        let pointer = format!("/{}", key.path.replace('.', "/"));
        let found = values.pointer(&pointer).and_then(serde_json::Value::as_u64);
        if found == Some(0) && !key.may_be_none {
            return Err((key.path, format!("it is 0, and must be {}", key.expected)));
        }
    }
    Ok(())
}

fn server(config: &Config) -> Result<(), Refusal> {
    if let Some(key) = &config.server.admin_key {
        let length = key.expose_secret().chars().count();
        if length < MIN_ADMIN_KEY {
            let sentence = format!(
                "it has {length} characters, and a key that cannot be guessed has at least \
                 {MIN_ADMIN_KEY}; `openssl rand -hex 32` makes one"
            );
            return Err(("server.admin_key", sentence));
        }
        if length > MAX_ADMIN_KEY
            || !key.expose_secret().bytes().all(|byte| byte.is_ascii_graphic())
        {
            let sentence = format!(
                "a key that travels in a header has no spaces or accented letters, and at most \
                 {MAX_ADMIN_KEY} characters"
            );
            return Err(("server.admin_key", sentence));
        }
    }
    for origin in &config.server.allowed_origins {
        if !is_origin(origin) {
            let sentence = format!(
                "`{origin}` is no origin: scheme, host and port without a path, such as \
                 https://desk.example.org"
            );
            return Err(("server.allowed_origins", sentence));
        }
    }
    Ok(())
}

fn is_origin(text: &str) -> bool {
    let Ok(url) = reqwest::Url::parse(text) else { return false };
    matches!(url.scheme(), "http" | "https") && url.origin().ascii_serialization() == text
}

fn backends(config: &Config) -> Result<(), Refusal> {
    config.data.database().map_err(|sentence| ("data.database_url", sentence))?;
    config.data.queue().map_err(|sentence| ("data.queue_url", sentence))?;
    config.data.events().map_err(|sentence| ("data.events_url", sentence))?;
    let objects = config.data.objects().map_err(|sentence| ("data.objects_url", sentence))?;
    if matches!(objects, ObjectsChoice::S3(_)) {
        s3(config)?;
    }
    if let Some(url) = &config.data.replica_url {
        let postgres = config.data.database() == Ok(DatabaseChoice::Postgres);
        if !postgres || !url.expose().starts_with("postgres") {
            let sentence = "a replica is `postgres://…`, of a store that is PostgreSQL too";
            return Err(("data.replica_url", sentence.to_owned()));
        }
    }
    if let Some(url) = &config.data.queue_management_url {
        let address = reqwest::Url::parse(url.expose());
        if !address.is_ok_and(|url| matches!(url.scheme(), "http" | "https")) {
            let sentence = "it is no address, such as http://user:password@mq.example.org:15672";
            return Err(("data.queue_management_url", sentence.to_owned()));
        }
    }
    if config.data.dir.as_os_str().is_empty() {
        return Err(("data.dir", "it is empty, and must be a folder".to_owned()));
    }
    Ok(())
}

fn s3(config: &Config) -> Result<(), Refusal> {
    let s3 = &config.s3;
    if s3.access_key_id.is_none() {
        let sentence =
            "`data.objects_url` names a bucket, which needs a key: set AWS_ACCESS_KEY_ID";
        return Err(("s3.access_key_id", sentence.to_owned()));
    }
    if s3.secret_access_key.is_none() {
        let sentence = "`data.objects_url` names a bucket, which needs a key: set \
                        AWS_SECRET_ACCESS_KEY or AWS_SECRET_ACCESS_KEY_FILE";
        return Err(("s3.secret_access_key", sentence.to_owned()));
    }
    if s3.encryption == Encryption::Kms && s3.kms_key_id.is_none() {
        let sentence = "`s3.encryption` is `aws:kms`, which needs the id of a key".to_owned();
        return Err(("s3.kms_key_id", sentence));
    }
    if let Some(address) = &s3.endpoint_url {
        let address = reqwest::Url::parse(address);
        if !address.is_ok_and(|url| matches!(url.scheme(), "http" | "https")) {
            let sentence = "it is no address, such as https://s3.example.org".to_owned();
            return Err(("s3.endpoint_url", sentence));
        }
    }
    Ok(())
}

fn workers(config: &Config, warnings: &mut Vec<String>) -> Result<(), Refusal> {
    let workers = &config.workers;
    let (beat, lease) = (workers.heartbeat_s, workers.lease_s);
    if beat >= lease {
        let sentence = format!(
            "a claim of {lease} s that is renewed every {beat} s runs out while its step runs; \
             keep it under a half of `workers.lease_s`"
        );
        return Err(("workers.heartbeat_s", sentence));
    }
    if beat * 2 >= lease {
        warnings.push(format!(
            "`workers.heartbeat_s` ({beat}) is half of `workers.lease_s` ({lease}) or more: one \
             late heartbeat gives a running step to another worker"
        ));
    }
    if config.exports.memory_mb < MIN_PARSE_MEMORY_MB {
        let sentence = format!(
            "it is {}, and the renderer cannot begin with less than {MIN_PARSE_MEMORY_MB} MiB",
            config.exports.memory_mb
        );
        return Err(("exports.memory_mb", sentence));
    }
    if config.exports.link_lives_s > 3_600 {
        let sentence = format!(
            "it is {}, and a link works for an hour at the most",
            config.exports.link_lives_s
        );
        return Err(("exports.link_lives_s", sentence));
    }
    if config.parse.memory_mb < MIN_PARSE_MEMORY_MB {
        let sentence = format!(
            "it is {}, and the parser cannot begin with less than {MIN_PARSE_MEMORY_MB} MiB",
            config.parse.memory_mb
        );
        return Err(("parse.memory_mb", sentence));
    }
    Ok(())
}

/// The most is at least the least, of slots and of processes.
fn scaling(config: &Config) -> Result<(), Refusal> {
    let key = |path: String| {
        super::KEYS.iter().map(|key| key.path).find(|key| *key == path).unwrap_or("workers")
    };
    for step in Step::ALL {
        let (least, most) = (config.workers.slots.of(step), config.workers.slots_max.of(step));
        if let (Some(least), Some(most)) = (least, most)
            && most < least
        {
            let name = step.as_str().replace('.', "_");
            let sentence = format!(
                "it is {most}, which is less than `workers.slots.{name}` ({least}): the most is at \
                 least the least"
            );
            return Err((key(format!("workers.slots_max.{name}")), sentence));
        }
    }
    for kind in JobKind::ALL {
        let (least, most) = (config.scaler.min.of(kind), config.scaler.max.of(kind));
        if most < least {
            let sentence = format!(
                "it is {most}, which is less than `scaler.min.{kind}` ({least}): the most is at \
                 least the least",
                kind = kind.as_str()
            );
            return Err((key(format!("scaler.max.{}", kind.as_str())), sentence));
        }
    }
    Ok(())
}

fn risky(config: &Config, warnings: &mut Vec<String>) {
    let (parse, jobs) = (&config.parse, &config.jobs);
    if parse.memory_mb < 256 {
        warnings.push(format!(
            "`parse.memory_mb` is {}: large reports may fail to parse",
            parse.memory_mb
        ));
    }
    if parse.wall_s < parse.cpu_s {
        warnings.push(format!(
            "`parse.wall_s` ({}) is less than `parse.cpu_s` ({}), which is never reached",
            parse.wall_s, parse.cpu_s
        ));
    }
    if jobs.chat_deadline_s < config.workers.lease_s {
        warnings.push(format!(
            "`jobs.chat_deadline_s` ({}) is less than `workers.lease_s` ({}): a question whose \
             worker died fails before another can take it",
            jobs.chat_deadline_s, config.workers.lease_s
        ));
    }
    if jobs.chat_wait_s >= jobs.chat_deadline_s {
        warnings.push(format!(
            "`jobs.chat_wait_s` ({}) is not less than `jobs.chat_deadline_s` ({}): under load, \
             questions are accepted that fail before anybody begins them",
            jobs.chat_wait_s, jobs.chat_deadline_s
        ));
    }
    if config.s3.kms_key_id.is_some() && config.s3.encryption != Encryption::Kms {
        warnings.push(
            "`s3.kms_key_id` names a key, which goes unused: `s3.encryption` is not `aws:kms`"
                .to_owned(),
        );
    }
    unpriced(config, warnings);
    let models = &config.models;
    let mut reached = vec![
        ("models.openai.base_url".to_owned(), &models.openai.base_url, &models.openai.api_key),
        (
            "models.anthropic.base_url".to_owned(),
            &models.anthropic.base_url,
            &models.anthropic.api_key,
        ),
    ];
    reached.extend(models.azure.endpoint.as_ref().map(|endpoint| {
        let azure = &models.azure;
        let secret = if azure.api_key.is_some() { &azure.api_key } else { &azure.client_secret };
        ("models.azure.endpoint".to_owned(), endpoint, secret)
    }));
    reached.extend(models.servers.iter().map(|(name, server)| {
        (format!("models.servers.{name}.base_url"), &server.base_url, &server.api_key)
    }));
    for (key, address, secret) in reached {
        if in_clear(address) && secret.is_some() {
            warnings
                .push(format!("`{key}` is not https: the key and every question travel in clear"));
        }
    }
    if !config.server.listen.ip().is_loopback() {
        warnings.push(format!(
            "`server.listen` is {}: keys and documents travel in clear unless a TLS proxy stands \
             before it",
            config.server.listen
        ));
    }
}

/// Whether what goes to an address can be read on the way.
fn in_clear(address: &str) -> bool {
    let home = ["http://127.", "http://localhost", "http://[::1]"];
    address.starts_with("http://") && !home.iter().any(|home| address.starts_with(home))
}

/// Budgets that count nothing: a model without a price is counted as free.
fn unpriced(config: &Config, warnings: &mut Vec<String>) {
    let models = &config.models;
    let budgets = &config.budgets;
    let counted = budgets.workspace.limits() || budgets.principal.limits();
    if !counted && models.prices.is_empty() {
        return;
    }
    let chains = [Some(&models.chat), models.chat_cheap.as_ref()];
    let mut names: Vec<String> = chains
        .into_iter()
        .flatten()
        .flat_map(|chain| chain.models().map(ToString::to_string))
        .collect();
    names.push(models.embed.to_string());
    names.extend(models.embed_also.iter().map(|also| also.model.to_string()));
    names.sort();
    names.dedup();
    for name in names.iter().filter(|name| name.contains(':') && !name.starts_with("minilm")) {
        if !models.prices.knows(name) {
            warnings.push(format!(
                "{name} has no price in `models.prices`, so it is counted as free, in usage and in \
                 budgets"
            ));
        }
    }
}

/// Refuses a server that others can reach and that has no key to ask for. To be called
/// before it listens, once the store can say whether it holds a key.
pub fn check_exposure(
    listen: SocketAddr,
    has_admin_key: bool,
    has_stored_key: bool,
) -> Result<(), ConfigError> {
    if listen.ip().is_loopback() || has_admin_key || has_stored_key {
        Ok(())
    } else {
        Err(ConfigError::Exposed { listen })
    }
}
