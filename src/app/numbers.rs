//! Which numbers of the configuration go where?

use std::time::Duration;

use quaestor_core::jobs::Step;
use quaestor_documents::Limits;
use quaestor_exports::child::ChildLimits;
use quaestor_front::FrontSettings;
use quaestor_workers::{ExportSettings, Settings, Slots};

use crate::config::Config;

const MB: u64 = 1 << 20;

/// What the handlers and loops go by.
pub(super) fn worker_settings(config: &Config) -> Settings {
    let slots = |step| u16::try_from(config.workers.slots.of(step)).unwrap_or(u16::MAX);
    Settings {
        slots: Slots {
            chat_retrieve: slots(Step::ChatRetrieve),
            chat_generate: slots(Step::ChatGenerate),
            documents_ingest: slots(Step::DocumentsIngest),
            documents_embed: slots(Step::DocumentsEmbed),
            collections_reindex: slots(Step::CollectionsReindex),
            exports_write: slots(Step::ExportsWrite),
        },
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
