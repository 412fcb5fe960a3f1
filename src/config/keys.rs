//! Which keys are there, under which names, and what does each expect?

/// One key of the configuration.
#[derive(Clone, Copy, Debug)]
pub struct Key {
    /// Its full name: `server.listen`. A `*` in it stands for names that are chosen.
    pub path: &'static str,
    /// Its short name in the environment, beside [`Key::variable`].
    pub short: Option<&'static str>,
    /// The name that all programs have for it, which counts least of those in the environment.
    pub standard: Option<&'static str>,
    /// How its value is read where it comes as text.
    pub kind: ValueKind,
    /// Whether its value is never shown, and may come from a file named by `…_FILE`.
    pub secret: bool,
    /// Whether a number may be 0.
    pub may_be_none: bool,
    /// What a value must be, for the sentence that refuses another.
    pub expected: &'static str,
}

/// What the text of a variable or a flag becomes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ValueKind {
    /// It stays text.
    Text,
    /// A whole number.
    Number,
    /// A number with a part behind the point.
    Fraction,
    /// `true` or `false`.
    Flag,
    /// Texts between commas.
    List,
    /// A table, as TOML writes one in a line: `{ a = 1 }`.
    Table,
}

impl Key {
    /// The name that every key has in the environment: `QUAESTOR_SERVER__LISTEN`.
    #[must_use]
    pub fn variable(&self) -> String {
        variable(self.path)
    }

    /// Whether this is the key of a full name.
    fn is(&self, path: &str) -> bool {
        self.path.split('.').count() == path.split('.').count() && self.begins(path)
    }

    /// Whether the key is a section's, or the section's own name.
    pub(super) fn begins(&self, section: &str) -> bool {
        let mut own = self.path.split('.');
        section.split('.').all(|name| own.next().is_some_and(|own| own == name || own == "*"))
    }

    /// The full name that a variable of the environment stands for, where it is one of
    /// this key with a chosen name: `QUAESTOR_MODELS__SERVERS__LOCAL__BASE_URL`.
    pub(super) fn chosen(&self, name: &str) -> Option<String> {
        let (before, after) = self.path.split_once('*')?;
        let name = name.strip_prefix("QUAESTOR_")?.to_lowercase().replace("__", ".");
        let chosen = name.strip_prefix(before)?.strip_suffix(after)?;
        let is_one = !chosen.is_empty() && !chosen.contains('.');
        is_one.then(|| format!("{before}{chosen}{after}"))
    }

    /// The full names of the key in these values: one, or one for each chosen name.
    pub(super) fn paths(&self, values: &serde_json::Value) -> Vec<String> {
        let Some((before, after)) = self.path.split_once(".*") else {
            return vec![self.path.to_owned()];
        };
        let section = values.pointer(&format!("/{}", before.replace('.', "/")));
        let names = section.and_then(serde_json::Value::as_object);
        names.into_iter().flatten().map(|(name, _)| format!("{before}.{name}{after}")).collect()
    }
}

/// The name that a key of this full name has in the environment.
pub(super) fn variable(path: &str) -> String {
    format!("QUAESTOR_{}", path.replace('.', "__").to_uppercase())
}

const CRON: &str = "a cron expression of five fields, such as `30 2 * * *`";
const ZONE: &str = "a time zone of the IANA database, such as Europe/Zurich";
const MISSED: &str = "`run_once` or `skip`";

/// Keys that there were, and what is said in their place now.
pub(super) const GONE: &[(&str, &str)] = &[
    (
        "backup.every",
        "`schedules.backup.cron` says it, such as `0 3 * * *` for each day at 03:00, or \
         `0 * * * *` for each hour",
    ),
    (
        "backup.at",
        "`schedules.backup.cron` says it, such as `30 2 * * *` for each day at 02:30, and \
         `schedules.backup.zone` of which time zone that is",
    ),
];

const fn text(path: &'static str, expected: &'static str) -> Key {
    Key {
        path,
        short: None,
        standard: None,
        kind: ValueKind::Text,
        secret: false,
        may_be_none: false,
        expected,
    }
}

const fn number(path: &'static str, expected: &'static str) -> Key {
    Key { kind: ValueKind::Number, ..text(path, expected) }
}

const fn processes(path: &'static str) -> Key {
    Key { may_be_none: true, ..number(path, "a whole number of processes, 0 for none") }
}

const fn list(path: &'static str, expected: &'static str) -> Key {
    Key { kind: ValueKind::List, ..text(path, expected) }
}

const fn table(path: &'static str, expected: &'static str) -> Key {
    Key { kind: ValueKind::Table, ..text(path, expected) }
}

const fn named(path: &'static str, short: &'static str, expected: &'static str) -> Key {
    Key { short: Some(short), ..text(path, expected) }
}

const fn secret(path: &'static str, short: &'static str, expected: &'static str) -> Key {
    Key { secret: true, ..named(path, short, expected) }
}

const SECONDS: &str = "a whole number of seconds, at least 1";
const MILLISECONDS: &str = "a whole number of milliseconds, at least 1";
const COUNT: &str = "a whole number, at least 1";
const BYTES: &str = "a whole number of bytes, at least 1";
const MICROS: &str = "a whole number of millionths of the currency, at least 1";
const MEBIBYTES: &str = "a whole number of MiB, at least 1";
const MEGABYTES: &str = "a whole number of megabytes, at least 1";

/// Every key, in the order in which `quaestor config` lists them. A test ties the list
/// to the structs and to the shipped example.
pub const KEYS: &[Key] = &[
    named("server.listen", "QUAESTOR_LISTEN", "an IP address and port, such as 127.0.0.1:8080"),
    secret("server.admin_key", "QUAESTOR_ADMIN_KEY", "a text of at least 24 characters"),
    number("server.max_upload_bytes", BYTES),
    number("server.max_json_bytes", BYTES),
    list("server.allowed_origins", "a list of origins, such as https://desk.example.org"),
    number("server.max_connections", COUNT),
    number("server.leave_s", SECONDS),
    number("server.quotas.requests_burst", COUNT),
    number("server.quotas.requests_per_minute", COUNT),
    number("server.quotas.asks_burst", COUNT),
    number("server.quotas.asks_per_minute", COUNT),
    number("server.quotas.uploads_burst", COUNT),
    number("server.quotas.uploads_per_minute", COUNT),
    named("data.dir", "QUAESTOR_DATA_DIR", "a folder"),
    secret("data.database_url", "QUAESTOR_DATABASE_URL", "`sqlite:<file>` or `postgres://…`"),
    secret("data.replica_url", "QUAESTOR_REPLICA_URL", "`postgres://…`"),
    number("data.database_connections", COUNT),
    secret("data.queue_url", "QUAESTOR_QUEUE_URL", "`memory:` or `amqp://…`"),
    secret(
        "data.queue_management_url",
        "QUAESTOR_QUEUE_MANAGEMENT_URL",
        "`http://<user>:<password>@<host>:15672`",
    ),
    secret("data.events_url", "QUAESTOR_EVENTS_URL", "`memory:` or `redis://…`"),
    secret("data.objects_url", "QUAESTOR_OBJECTS_URL", "`file:<folder>` or `s3://<bucket>`"),
    number("data.outbox_cap", COUNT),
    named("s3.endpoint_url", "AWS_ENDPOINT_URL_S3", "an http or https address"),
    named("s3.region", "AWS_REGION", "a region, such as eu-central-1"),
    named("s3.access_key_id", "AWS_ACCESS_KEY_ID", "a text"),
    secret("s3.secret_access_key", "AWS_SECRET_ACCESS_KEY", "a text"),
    secret("s3.session_token", "AWS_SESSION_TOKEN", "a text"),
    text("s3.encryption", "`bucket`, `AES256` or `aws:kms`"),
    text("s3.kms_key_id", "a key's id"),
    named(
        "models.chat",
        "QUAESTOR_CHAT",
        "providers joined by commas, such as `openai:gpt-5-mini,offline`",
    ),
    named(
        "models.embed",
        "QUAESTOR_EMBED",
        "`auto`, `minilm:<folder>`, `<provider>:<model>` or `none`",
    ),
    Key {
        short: Some("QUAESTOR_EMBED_ALSO"),
        ..list(
            "models.embed_also",
            "a list of `minilm:<folder>` and `<provider>:<model>`, with `=<length>` where the length of the vectors is not known here",
        )
    },
    named("models.dir", "QUAESTOR_MODEL_DIR", "a folder with a MiniLM model"),
    text("models.chat_cheap", "providers joined by commas, such as `openai:gpt-5-nano,offline`"),
    table(
        "models.prices",
        "tables such as `\"openai:gpt-5-mini\" = { input = 0.25, cached_input = 0.025, output = 2.0 }`",
    ),
    table(
        "models.limits",
        "tables such as `openai = { requests_per_minute = 500, tokens_per_minute = 200000 }`",
    ),
    number("models.embed_threads", COUNT),
    number("models.embed_dimensions", COUNT),
    named(
        "models.rerank",
        "QUAESTOR_RERANK",
        "`cohere:<model>`, `tei:<model>`, `cross-encoder:<folder>` or `none`",
    ),
    number("models.rerank_candidates", "a whole number from 1 to 500"),
    number("models.rerank_ms", MILLISECONDS),
    named("models.rerank_url", "QUAESTOR_RERANK_URL", "an http or https address without `/rerank`"),
    secret("models.rerank_api_key", "COHERE_API_KEY", "a text"),
    secret("models.openai.api_key", "OPENAI_API_KEY", "a text"),
    named("models.openai.base_url", "OPENAI_BASE_URL", "an http or https address up to `/v1`"),
    named("models.azure.endpoint", "AZURE_OPENAI_ENDPOINT", "an http or https address"),
    secret("models.azure.api_key", "AZURE_OPENAI_API_KEY", "a text"),
    named("models.azure.api_version", "AZURE_OPENAI_API_VERSION", "`v1`, or a date"),
    secret("models.azure.ad_token", "AZURE_OPENAI_AD_TOKEN", "a text"),
    named("models.azure.tenant_id", "AZURE_TENANT_ID", "a directory's id"),
    named("models.azure.client_id", "AZURE_CLIENT_ID", "an application's id"),
    secret("models.azure.client_secret", "AZURE_CLIENT_SECRET", "a text"),
    named("models.azure.authority_host", "AZURE_AUTHORITY_HOST", "an http or https address"),
    secret("models.anthropic.api_key", "ANTHROPIC_API_KEY", "a text"),
    named("models.anthropic.base_url", "ANTHROPIC_BASE_URL", "an http or https address"),
    text("models.servers.*.base_url", "an http or https address up to `/v1`"),
    Key { secret: true, ..text("models.servers.*.api_key", "a text") },
    number("models.prompt.passage_tokens", COUNT),
    number("models.prompt.history_tokens", COUNT),
    number("models.prompt.answer_tokens", COUNT),
    number("models.timeouts.connect_s", SECONDS),
    number("models.timeouts.first_piece_s", SECONDS),
    number("models.timeouts.next_piece_s", SECONDS),
    number("models.timeouts.answer_s", SECONDS),
    number("models.retry.attempts", COUNT),
    number("models.retry.pause_ms", MILLISECONDS),
    number("models.retry.longest_pause_ms", MILLISECONDS),
    number("models.breaker.in_a_row", COUNT),
    number("models.breaker.of_the_last", COUNT),
    number("models.breaker.open_s", SECONDS),
    number("answers.kept_minutes", "a whole number of minutes, at least 1"),
    number("budgets.workspace.day_soft_micros", MICROS),
    number("budgets.workspace.day_hard_micros", MICROS),
    number("budgets.workspace.month_soft_micros", MICROS),
    number("budgets.workspace.month_hard_micros", MICROS),
    number("budgets.principal.day_soft_micros", MICROS),
    number("budgets.principal.day_hard_micros", MICROS),
    number("budgets.principal.month_soft_micros", MICROS),
    number("budgets.principal.month_hard_micros", MICROS),
    number("parse.memory_mb", "a whole number of MiB, at least 64"),
    number("parse.cpu_s", SECONDS),
    number("parse.wall_s", SECONDS),
    number("parse.slice_s", SECONDS),
    Key { kind: ValueKind::Flag, ..text("parse.reparse_after_upgrade", "`true` or `false`") },
    number("parse.max_file_mb", MEGABYTES),
    number("parse.max_pages", COUNT),
    number("parse.max_archive_entries", COUNT),
    number("parse.max_archive_ratio", COUNT),
    number("parse.max_inflated_mb", MEGABYTES),
    number("parse.max_nesting", COUNT),
    number("parse.max_text_mb", MEGABYTES),
    number("parse.max_cells", COUNT),
    number("workers.lease_s", SECONDS),
    number("workers.heartbeat_s", SECONDS),
    number("workers.drain_s", SECONDS),
    number("workers.chat_per_workspace", COUNT),
    number("workers.memory_mb", MEBIBYTES),
    number("workers.scale_in_after_s", SECONDS),
    number("workers.slots.chat_retrieve", COUNT),
    number("workers.slots.chat_generate", COUNT),
    number("workers.slots.documents_ingest", COUNT),
    number("workers.slots.documents_embed", COUNT),
    number("workers.slots.collections_reindex", COUNT),
    number("workers.slots.exports_write", COUNT),
    number("workers.slots_max.chat_retrieve", COUNT),
    number("workers.slots_max.chat_generate", COUNT),
    number("workers.slots_max.documents_ingest", COUNT),
    number("workers.slots_max.documents_embed", COUNT),
    number("workers.slots_max.collections_reindex", COUNT),
    number("workers.slots_max.exports_write", COUNT),
    number("workers.wait_s.chat_retrieve", SECONDS),
    number("workers.wait_s.chat_generate", SECONDS),
    number("workers.wait_s.documents_ingest", SECONDS),
    number("workers.wait_s.documents_embed", SECONDS),
    number("workers.wait_s.collections_reindex", SECONDS),
    number("workers.wait_s.exports_write", SECONDS),
    number("scaler.memory_mb", MEBIBYTES),
    processes("scaler.min.chat"),
    processes("scaler.min.documents"),
    processes("scaler.min.collections"),
    processes("scaler.min.exports"),
    processes("scaler.max.chat"),
    processes("scaler.max.documents"),
    processes("scaler.max.collections"),
    processes("scaler.max.exports"),
    number("jobs.chat_deadline_s", SECONDS),
    number("jobs.ingest_deadline_s", SECONDS),
    number("jobs.max_attempts", COUNT),
    number("jobs.chat_wait_s", SECONDS),
    number("jobs.chats_per_workspace", COUNT),
    number("jobs.files_per_workspace", COUNT),
    number("jobs.idempotency_hours", "a whole number of hours, at least 1"),
    number("jobs.unnamed_files_hours", "a whole number of hours, at least 1"),
    number("exports.kept_hours", "a whole number of hours, at least 1"),
    number("exports.link_lives_s", "a whole number of seconds from 1 to 3,600"),
    number("exports.deadline_s", SECONDS),
    number("exports.per_workspace", COUNT),
    number("exports.max_mb", MEGABYTES),
    list("exports.fonts", "a list of paths of fonts: .ttf, .otf or .ttc"),
    number("exports.memory_mb", "a whole number of MiB, at least 64"),
    number("exports.cpu_s", SECONDS),
    number("exports.wall_s", SECONDS),
    number("audit.seal_after_s", SECONDS),
    secret("backup.target_url", "QUAESTOR_BACKUP_URL", "`file:<folder>` or `s3://<bucket>`"),
    Key {
        short: Some("QUAESTOR_BACKUP_RECIPIENTS"),
        ..list("backup.recipients", "a list of public keys of age, such as age1…")
    },
    secret("backup.passphrase", "QUAESTOR_BACKUP_PASSPHRASE", "a text of at least 16 characters"),
    text("backup.encryption", "`age` or `none`"),
    number("backup.keep_days", "a whole number of days, at least 1"),
    number("backup.at_most_minutes", "a whole number of minutes, at least 1"),
    Key { kind: ValueKind::Flag, ..text("schedules.backup.enabled", "`true` or `false`") },
    text("schedules.backup.cron", CRON),
    text("schedules.backup.zone", ZONE),
    text("schedules.backup.missed", MISSED),
    Key { kind: ValueKind::Flag, ..text("schedules.check.enabled", "`true` or `false`") },
    text("schedules.check.cron", CRON),
    text("schedules.check.zone", ZONE),
    text("schedules.check.missed", MISSED),
    number("check.read_percent", "a whole number from 1 to 100"),
    number("check.read_at_most_mb", "a whole number of MB, at least 1"),
    text("log.format", "`text` or `json`"),
    text("log.filter", "levels by target, such as `info,quaestor_workers=debug`"),
    Key {
        standard: Some("OTEL_EXPORTER_OTLP_ENDPOINT"),
        ..named("traces.otlp_endpoint", "QUAESTOR_OTLP_ENDPOINT", "an http or https address")
    },
    Key {
        standard: Some("OTEL_EXPORTER_OTLP_HEADERS"),
        ..secret("traces.otlp_headers", "QUAESTOR_OTLP_HEADERS", "`name=value`, joined by commas")
    },
    Key {
        kind: ValueKind::Fraction,
        standard: Some("OTEL_TRACES_SAMPLER_ARG"),
        ..text("traces.sample_ratio", "a number from 0 to 1")
    },
    Key { standard: Some("OTEL_SERVICE_NAME"), ..text("traces.service_name", "a text") },
    Key { kind: ValueKind::Flag, ..text("traces.tell_providers", "`true` or `false`") },
];

/// Names of the environment that other parts of the program read.
pub(super) const OTHER_VARIABLES: &[&str] = &[
    "QUAESTOR_CONFIG",
    #[cfg(feature = "failpoints")]
    "QUAESTOR_FAIL_AT",
    "QUAESTOR_SERVER",
    "QUAESTOR_API_KEY",
    "QUAESTOR_API_KEY_FILE",
    "QUAESTOR_SHARED",
    "QUAESTOR_BACKUP_IDENTITY_FILE",
];

/// The key of this full name.
#[must_use]
pub(super) fn find(path: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.is(path))
}

/// The known name that is most like `wanted`, where any is alike enough to be meant.
pub(super) fn nearest<'a>(
    wanted: &str,
    known: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    let allowed = 1 + wanted.len() / 6;
    known
        .into_iter()
        .map(|name| (distance(wanted, name), name))
        .filter(|(steps, _)| *steps <= allowed)
        .min()
        .map(|(_, name)| name)
}

/// Levenshtein's distance: letters put in, taken out or changed.
fn distance(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.chars().collect();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (line, a) in left.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = line + 1;
        for (column, b) in right.iter().enumerate() {
            let changed = diagonal + usize::from(a != *b);
            diagonal = row[column + 1];
            row[column + 1] = changed.min(diagonal + 1).min(row[column] + 1);
        }
    }
    row[right.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_with_a_chosen_name_is_found_by_path_and_by_variable() {
        let key = find("models.servers.local.base_url").unwrap();
        assert_eq!(key.path, "models.servers.*.base_url");
        assert!(find("models.servers.local").is_none() && key.begins("models.servers.local"));
        let variable = "QUAESTOR_MODELS__SERVERS__GPU_BOX__BASE_URL";
        assert_eq!(key.chosen(variable).unwrap(), "models.servers.gpu_box.base_url");
        assert_eq!(key.chosen("QUAESTOR_MODELS__SERVERS__A__B__BASE_URL"), None);
        assert_eq!(key.chosen("QUAESTOR_LISTEN"), None);
    }

    #[test]
    fn a_misspelt_name_finds_the_one_that_was_meant() {
        let known = || KEYS.iter().map(|key| key.path);
        assert_eq!(nearest("server.lisen", known()), Some("server.listen"));
        assert_eq!(
            nearest("workers.slots.chat_retreive", known()),
            Some("workers.slots.chat_retrieve")
        );
        assert_eq!(nearest("something.else", known()), None);
        assert_eq!(distance("kitten", "sitting"), 3);
    }
}
