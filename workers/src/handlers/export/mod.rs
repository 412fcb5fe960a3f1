//! `exports.write`: writes answers or tables as one file into the object store.
//!
//! What is exported is read in pages and handed on part by part, so that neither side holds
//! all of it. The file stands in the store whole or not at all, under a key of this attempt;
//! one transaction then names it in the export's row and ends the job. A file that no row
//! names is removed by the next attempt, or by the sweep.

mod answers;
mod output;
mod tables;

use std::time::Duration;

use async_trait::async_trait;
use chrono::TimeDelta;
use futures::StreamExt;
use futures::future::join;
use quaestor_core::events::Event;
use quaestor_core::failpoint;
use quaestor_core::jobs::{ExportPayload, Step};
use quaestor_core::model::{ExportFile, LinkKey};
use quaestor_core::ports::objects::{ObjectError, ObjectKey};
use quaestor_core::ports::store::{ExportWork, StoreError};
use quaestor_core::problem::Problem;
use quaestor_exports::Template;
use quaestor_exports::part::Generation;
use tracing::warn;

use self::output::Output;
use crate::context::Context;
use crate::decision::{Decision, Outcome};
use crate::registry::{Handler, Running};

/// Files of so many attempts before this one are looked for. What older ones may have left,
/// the sweep removes.
const ATTEMPTS_BACK: u32 = 8;

/// Index generations that a title page names.
const GENERATIONS_MAX: u32 = 50;

/// How often watchers are told how far it is, in units.
const PROGRESS_EVERY: u64 = 100;

/// The numbers of exports.
#[derive(Clone, Copy, Debug)]
pub struct ExportSettings {
    /// How long a file is kept.
    pub kept_for: Duration,
    /// The largest file.
    pub max_bytes: u64,
}

impl Default for ExportSettings {
    fn default() -> Self {
        Self { kept_for: Duration::from_hours(7 * 24), max_bytes: 10 << 30 }
    }
}

/// The handler of `exports.write`.
pub(crate) struct Export;

#[async_trait]
impl Handler for Export {
    const STEP: Step = Step::ExportsWrite;
    type Payload = ExportPayload;

    async fn run(
        context: &Context,
        job: &Running,
        payload: ExportPayload,
    ) -> Result<Outcome, Decision> {
        let id = payload.export_id;
        let Some(work) = context.store.export_work(job.workspace, id).await? else {
            return Ok(Outcome::SubjectGone);
        };
        if work.template_gone {
            return Err(Decision::Fail(Problem::new(
                "template_gone",
                "The template of the export is gone",
                "the template was removed since the export was asked for; export it again",
            )));
        }
        let attempt = job.claim.attempt;
        for earlier in (attempt.saturating_sub(ATTEMPTS_BACK).max(1)..attempt).rev() {
            context.objects.delete(&ObjectKey::export(job.workspace, id, earlier)).await?;
        }
        let key = ObjectKey::export(job.workspace, id, attempt);
        let stored = tokio::select! {
            stored = write(context, job, &work, &key) => stored?,
            () = job.cancel.cancelled() => return Err(Decision::Cancelled),
        };
        failpoint::hit("export.before_finish");
        let now = context.clock.now();
        let kept_for = TimeDelta::from_std(context.settings.exports.kept_for);
        let mut link_key = [0; 32];
        context.entropy.fill(&mut link_key);
        let file = ExportFile {
            object_key: key.to_string(),
            size_bytes: stored.size_bytes,
            sha256: stored.sha256,
            kept_until: now + kept_for.unwrap_or(TimeDelta::days(7)),
            link_key: LinkKey(link_key),
        };
        match context.store.finish_export(job.workspace, &job.claim, id, file, now).await {
            Ok(()) => Ok(Outcome::Ended(vec![Event::Done { usage: None }])),
            Err(error) => {
                // Whether it came about is known where the claim is stale: it did not.
                if matches!(error, StoreError::Fenced)
                    && let Err(error) = context.objects.delete(&key).await
                {
                    warn!(
                        error = &error as &dyn std::error::Error,
                        "a file that no export names stays until the sweep"
                    );
                }
                Err(error.into())
            }
        }
    }
}

/// Writes the file.
async fn write(
    context: &Context,
    job: &Running,
    work: &ExportWork,
    key: &ObjectKey,
) -> Result<quaestor_core::ports::objects::Stored, Decision> {
    let (mut output, bytes) = Output::new();
    let producing = async {
        let produced = produce(context, job, work, &mut output).await;
        if produced.is_err() {
            // A stream that only ends would be taken for a whole file.
            output.break_off().await;
        }
        drop(output);
        produced
    };
    let putting = context.objects.put(key, bytes.boxed(), context.settings.exports.max_bytes);
    match join(producing, putting).await {
        (Ok(()), Ok(stored)) => Ok(stored),
        // Why the storage took no more says more than that it did not.
        (_, Err(ObjectError::TooLarge { limit_bytes })) => Err(Decision::Fail(Problem::new(
            "export_too_large",
            "The export is too large",
            format!(
                "the file would have more than {limit_bytes} bytes; export less at a time, or \
                 raise exports.max_mb in the configuration"
            ),
        ))),
        (Err(Produced::Refused), Err(error)) | (Ok(()), Err(error)) => Err(error.into()),
        (Err(Produced::Decided(decision)), _) => Err(decision),
        (Err(Produced::Refused), Ok(_)) => Err(Decision::Fenced),
    }
}

/// Why not all parts were written.
enum Produced {
    /// Nobody takes the bytes any more.
    Refused,
    /// Something else.
    Decided(Decision),
}

impl<E: Into<Decision>> From<E> for Produced {
    fn from(error: E) -> Self {
        Self::Decided(error.into())
    }
}

async fn produce(
    context: &Context,
    job: &Running,
    work: &ExportWork,
    output: &mut Output,
) -> Result<(), Produced> {
    let template = work.template.as_ref().map(|(name, source)| Template {
        name: name.name.clone(),
        version: name.version,
        source: source.clone(),
    });
    output.begin(context, work.format, template).await?;
    let writing = Writing { context, job, work };
    if work.selection.is_of_tables() {
        tables::write(&writing, output).await?;
    } else {
        answers::write(&writing, output).await?;
    }
    output.end().await
}

/// What is written, and for whom.
struct Writing<'a> {
    context: &'a Context,
    job: &'a Running,
    work: &'a ExportWork,
}

impl Writing<'_> {
    /// Who asked, for people.
    fn asker(&self) -> String {
        match &self.work.asker {
            Some(name) => name.clone(),
            None => self.work.principal_id.to_string(),
        }
    }

    /// What the collections are searched by.
    async fn generations(
        &self,
        collections: Option<&[quaestor_core::ids::CollectionId]>,
    ) -> Result<Vec<Generation>, Decision> {
        let store = &self.context.store;
        let found =
            store.export_generations(self.job.workspace, collections, GENERATIONS_MAX).await?;
        let line = |found: quaestor_core::ports::store::ExportGeneration| Generation {
            collection: found.collection,
            id: found.generation.as_ref().map(|it| it.id.to_string()),
            model: found.generation.as_ref().map(|it| it.model.clone()),
            created_at: found.generation.as_ref().map(|it| it.created_at),
        };
        Ok(found.into_iter().map(line).collect())
    }

    /// Tells the watchers how far it is, now and then. A later attempt that has taken over
    /// ends this one.
    async fn progress(&self, done: u64, total: u64, unit: &str) -> Result<(), Decision> {
        failpoint::hit("export.mid_write");
        if !done.is_multiple_of(PROGRESS_EVERY) && done != total {
            return Ok(());
        }
        let event = Event::Progress { done, total, unit: unit.to_owned() };
        if self.job.emitter.emit(event).await { Ok(()) } else { Err(Decision::Fenced) }
    }
}

/// What was chosen is no longer there.
fn gone(what: &str) -> Decision {
    Decision::Fail(Problem::new(
        "selection_gone",
        "What was to be exported is gone",
        format!("{what} was removed since the export was asked for; export what is left"),
    ))
}
