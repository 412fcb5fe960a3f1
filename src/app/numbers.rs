//! Which numbers of the configuration go where?

use std::num::NonZero;
use std::time::Duration;

use quaestor_core::jobs::Step;
use quaestor_core::scaling::PerStep;
use quaestor_core::scaling::plan::Aim;
use quaestor_core::scaling::steady::Pace;
use quaestor_documents::Limits;
use quaestor_exports::child::ChildLimits;
use quaestor_front::FrontSettings;
use quaestor_workers::{ExportSettings, ScalingSettings, Settings, Slots, memory_limit};

use crate::config::Config;

const MB: u64 = 1 << 20;

/// What the handlers and loops go by.
pub(super) fn worker_settings(config: &Config) -> Settings {
    let slots = |step| u16::try_from(config.workers.slots(step)).unwrap_or(u16::MAX);
    Settings {
        slots: Slots {
            chat_retrieve: slots(Step::ChatRetrieve),
            chat_generate: slots(Step::ChatGenerate),
            documents_ingest: slots(Step::DocumentsIngest),
            documents_embed: slots(Step::DocumentsEmbed),
            collections_reindex: slots(Step::CollectionsReindex),
            exports_write: slots(Step::ExportsWrite),
        },
        scaling: scaling_settings(config),
        chat_per_workspace: config
            .workers
            .chat_per_workspace
            .map(|most| u16::try_from(most).unwrap_or(u16::MAX)),
        embedding_costs: embedding_costs(config),
        lease: config.workers.lease(),
        heartbeat: config.workers.heartbeat(),
        seal_audit_after: config.audit.seal_after(),
        drain: config.workers.drain(),
        max_step_attempts: config.jobs.max_attempts,
        parse_slice: Duration::from_secs(config.parse.slice_s),
        reparse_after_upgrade: config.parse.reparse_after_upgrade,
        idempotency_keys_kept: config.jobs.idempotency(),
        unnamed_files_kept: config.jobs.unnamed_files(),
        exports: ExportSettings {
            kept_for: config.exports.kept_for(),
            max_bytes: config.exports.max_mb.saturating_mul(MB),
        },
        passage_tokens: config.models.prompt.passage_tokens,
        history_tokens: config.models.prompt.history_tokens,
        max_output_tokens: config.models.prompt.answer_tokens,
        ..Settings::default()
    }
}

/// What the scaling of queues goes by.
fn scaling_settings(config: &Config) -> ScalingSettings {
    let models = &config.models;
    let prompt = &models.prompt;
    let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
    let cores = u16::try_from(cores).unwrap_or(u16::MAX);
    let aim = |step: Step| {
        // Whom a job asks first: the others of a chain stand in for it.
        let asked = match step {
            Step::ChatGenerate => models.chat.models().next().map(ToString::to_string),
            Step::DocumentsEmbed | Step::CollectionsReindex => Some(models.embed.to_string()),
            Step::ChatRetrieve | Step::DocumentsIngest | Step::ExportsWrite => None,
        };
        let limit = asked.as_deref().and_then(|model| models.limits.of(model));
        let tokens = prompt.passage_tokens + prompt.history_tokens + prompt.answer_tokens;
        Aim {
            wait_s: f64::from(config.workers.wait_s.of(step)),
            guess_s: match step {
                Step::ChatRetrieve => 0.1,
                Step::ChatGenerate => 5.0,
                Step::DocumentsIngest | Step::DocumentsEmbed | Step::ExportsWrite => 2.0,
                Step::CollectionsReindex => 60.0,
            },
            budget: limit.map(|(name, quota)| (name.to_owned(), quota)),
            guess_tokens: if step == Step::ChatGenerate { f64::from(tokens) } else { 0.0 },
        }
    };
    let most = |step| {
        let most = config.workers.slots_max(step, u32::from(cores));
        u16::try_from(most).unwrap_or(u16::MAX)
    };
    ScalingSettings {
        aims: PerStep::of_each(aim),
        pace: Pace::after(config.workers.scale_in_after()),
        most: PerStep::of_each(most),
        memory: config.workers.memory_mb.map(|mb| mb.saturating_mul(MB)).or_else(memory_limit),
        cores,
    }
}

/// Whether making vectors costs anything, as far as prices are known.
fn embedding_costs(config: &Config) -> bool {
    let models = &config.models;
    let further = models.embed_also.iter().map(|also| also.model.to_string());
    further.chain([models.embed.to_string()]).any(|name| models.prices.knows(&name))
}

/// What one document may cost.
pub(super) fn parse_limits(config: &Config) -> Limits {
    let parse = &config.parse;
    Limits {
        file_bytes: parse.max_file_mb * MB,
        pages: parse.max_pages,
        archive_entries: parse.max_archive_entries,
        archive_ratio: parse.max_archive_ratio,
        archive_bytes: parse.max_inflated_mb * MB,
        nesting: parse.max_nesting,
        text_bytes: parse.max_text_mb * MB,
        cells: parse.max_cells,
        memory_bytes: parse.memory_mb * MB,
        cpu_seconds: parse.cpu_s,
    }
}

/// What laying out one export may cost.
pub(super) fn render_limits(config: &Config) -> ChildLimits {
    ChildLimits {
        memory_bytes: config.exports.memory_mb.saturating_mul(MB),
        cpu_seconds: config.exports.cpu_s,
    }
}

/// What the front goes by.
pub(super) fn front_settings(config: &Config) -> FrontSettings {
    let mut settings = FrontSettings {
        max_upload_bytes: config.server.max_upload_bytes,
        max_json_bytes: usize::try_from(config.server.max_json_bytes).unwrap_or(usize::MAX),
        allowed_origins: config.server.allowed_origins.clone(),
        chat_deadline: config.jobs.chat_deadline(),
        parsers: quaestor_documents::parsers(),
        ingest_deadline: config.jobs.ingest_deadline(),
        upload_idle: Duration::from_secs(30),
        max_connections: usize::try_from(config.server.max_connections).unwrap_or(usize::MAX),
        outbox_cap: config.data.outbox_cap,
        questions_per_workspace: config.jobs.chats_per_workspace,
        files_per_workspace: config.jobs.files_per_workspace,
        question_wait: config.jobs.chat_wait(),
        exports_per_workspace: config.exports.per_workspace,
        export_deadline: config.exports.deadline(),
        export_link_lives: config.exports.link_lives(),
        embedding_costs: embedding_costs(config),
        ..FrontSettings::default()
    };
    let quotas = &config.server.quotas;
    settings.quotas.read = quotas.requests();
    settings.quotas.write = quotas.requests();
    settings.quotas.search = quotas.requests();
    // A desk's page and its integration open many sockets with one key.
    settings.quotas.socket = quotas.requests();
    settings.quotas.ask = quotas.asks();
    settings.quotas.upload = quotas.uploads();
    settings
}
