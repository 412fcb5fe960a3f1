//! The check of what is stored: do rows, passages, vectors and files agree?
//!
//! It goes through the installation in bounded pieces, each read as it was at one moment, and
//! writes down after each how far it is: should its worker die, another one goes on there. It
//! uses at most half of the time, and stands back while questions are answered. It reports, and
//! removes nothing: what does not agree may be the last trace of what somebody has lost. Asked
//! to mend, it has those vectors made that are missing, which can be made from what is there.

mod files;
mod rows;

use std::time::Duration;

use async_trait::async_trait;
use chrono::TimeDelta;
use quaestor_core::failpoint;
use quaestor_core::ids::WorkspaceId;
use quaestor_core::jobs::JobKind;
use quaestor_core::model::{CHECK, CheckReport};
use quaestor_core::ports::objects::{ObjectError, ObjectKey};
use quaestor_core::ports::store::{StoreError, StrayCursor};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tracing::{info, warn};
use uuid::Uuid;

use crate::context::Context;
use crate::schedules::{Task, TaskError, Work, chain};

/// The shortest and the longest pause between two pieces; in between it is as long as the
/// piece before took.
const PAUSES: (TimeDelta, TimeDelta) = (TimeDelta::milliseconds(10), TimeDelta::seconds(1));
/// While questions are answered, how long a piece waits, and how often.
const STAND_BACK: Duration = Duration::from_millis(250);
const STAND_BACK_TIMES: u32 = 20;
/// Questions count that are due within so long.
const QUESTIONS_WITHIN: TimeDelta = TimeDelta::hours(24);
/// How many workspaces are listed at once.
const WORKSPACES: u32 = 500;

/// How the check is done.
#[derive(Clone, Copy, Debug)]
pub struct CheckTask {
    /// Of a hundred files, how many are read and their SHA-256 compared; which ones is another
    /// choice each time.
    pub read_percent: u8,
    /// So many bytes of files are read at the most.
    pub read_at_most: u64,
}

/// What a run may be asked for.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(default)]
struct Options {
    /// Whether what can be mended is.
    repair: bool,
}

/// Where a check is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "stage", rename_all = "snake_case")]
enum Stage {
    /// Versions of a workspace; before the first one none.
    Versions { workspace: Option<WorkspaceId>, after: Option<String> },
    /// Exports of a workspace.
    Exports { workspace: WorkspaceId, after: Option<String> },
    /// Passages without a version, of the workspaces after this one.
    Passages { workspaces: Option<WorkspaceId>, after: Option<StrayCursor> },
    /// Vectors without a passage, likewise.
    Vectors { workspaces: Option<WorkspaceId>, after: Option<StrayCursor> },
    /// Files, by their keys.
    Files { after: Option<String> },
}

/// How far a check is, and what it has found.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Progress {
    #[serde(flatten)]
    stage: Stage,
    report: CheckReport,
}

/// A check that runs.
struct Check<'a> {
    context: &'a Context,
    task: CheckTask,
    options: Options,
    run: Uuid,
    report: CheckReport,
}

/// Why a piece could not be looked at.
#[derive(Debug, thiserror::Error)]
enum CheckError {
    #[error("could not read the rows")]
    Store(#[from] StoreError),
    #[error("could not read the files")]
    Objects(#[from] ObjectError),
}

impl From<CheckError> for TaskError {
    fn from(error: CheckError) -> Self {
        Self::Again { error: chain(&error), after: Duration::from_mins(1), tried: true }
    }
}

#[async_trait]
impl Task for CheckTask {
    fn name(&self) -> &'static str {
        CHECK
    }

    async fn run(&self, context: &Context, work: &Work<'_>) -> Result<Value, TaskError> {
        // What another version of the program has written down may not be readable.
        let kept: Option<Progress> =
            work.checkpoint().and_then(|kept| serde_json::from_value(kept.clone()).ok());
        let mut progress = kept.unwrap_or_else(|| Progress {
            stage: Stage::Versions { workspace: None, after: None },
            report: CheckReport { began_at: Some(context.clock.now()), ..CheckReport::default() },
        });
        let mut check = Check {
            context,
            task: *self,
            options: serde_json::from_value(work.run().options.clone()).unwrap_or_default(),
            run: work.run().id,
            report: std::mem::take(&mut progress.report),
        };
        let mut stage = Some(progress.stage);
        while let Some(here) = stage {
            let begun = context.clock.now();
            stage = check.piece(here).await?;
            let took = context.clock.now() - begun;
            check.report.work_s += took.as_seconds_f64().max(0.0);
            if let Some(stage) = &stage {
                let progress = Progress { stage: stage.clone(), report: check.report.clone() };
                work.note(written(&progress)?).await?;
                failpoint::hit("check.mid_way");
                stand_back(context, took).await?;
            }
        }
        tell(&check.report);
        written(&check.report)
    }
}

fn written(value: &impl Serialize) -> Result<Value, TaskError> {
    serde_json::to_value(value).map_err(|error| TaskError::Failed(error.to_string()))
}

impl Check<'_> {
    /// Looks at a piece. Returns where the next one begins.
    async fn piece(&mut self, stage: Stage) -> Result<Option<Stage>, CheckError> {
        Ok(match stage {
            Stage::Versions { workspace: None, .. } => Some(self.next_workspace(None).await?),
            Stage::Versions { workspace: Some(workspace), after } => {
                match self.versions(workspace, after.as_deref()).await? {
                    None => Some(Stage::Exports { workspace, after: None }),
                    after => Some(Stage::Versions { workspace: Some(workspace), after }),
                }
            }
            Stage::Exports { workspace, after } => {
                match self.exports(workspace, after.as_deref()).await? {
                    None => {
                        self.report.checked.workspaces += 1;
                        Some(self.next_workspace(Some(workspace)).await?)
                    }
                    after => Some(Stage::Exports { workspace, after }),
                }
            }
            Stage::Passages { workspaces, after } => {
                let listed = self.workspaces(workspaces).await?;
                match (self.stray_passages(&listed, after).await?, listed.last()) {
                    (None, None) => Some(Stage::Vectors { workspaces: None, after: None }),
                    (None, last) => {
                        Some(Stage::Passages { workspaces: last.copied(), after: None })
                    }
                    (after, _) => Some(Stage::Passages { workspaces, after }),
                }
            }
            Stage::Vectors { workspaces, after } => {
                let listed = self.workspaces(workspaces).await?;
                match (self.stray_vectors(&listed, after).await?, listed.last()) {
                    (None, None) => Some(Stage::Files { after: None }),
                    (None, last) => Some(Stage::Vectors { workspaces: last.copied(), after: None }),
                    (after, _) => Some(Stage::Vectors { workspaces, after }),
                }
            }
            Stage::Files { after } => {
                let after = after.map(|after| ObjectKey::parse(&after)).transpose()?;
                let next = self.listed_files(after.as_ref()).await?;
                next.map(|after| Stage::Files { after: Some(after.to_string()) })
            }
        })
    }

    /// The workspace after this one, or what comes after the last one.
    async fn next_workspace(&self, after: Option<WorkspaceId>) -> Result<Stage, CheckError> {
        let listed = self.context.store.workspaces_after(after, 1).await?;
        Ok(match listed.first() {
            Some(workspace) => Stage::Versions { workspace: Some(*workspace), after: None },
            None => Stage::Passages { workspaces: None, after: None },
        })
    }

    async fn workspaces(&self, after: Option<WorkspaceId>) -> Result<Vec<WorkspaceId>, CheckError> {
        Ok(self.context.store.workspaces_after(after, WORKSPACES).await?)
    }
}

/// Leaves the machine to others for as long as the piece took, and longer while there are
/// questions; but not for ever.
async fn stand_back(context: &Context, took: TimeDelta) -> Result<(), TaskError> {
    let pause = took.clamp(PAUSES.0, PAUSES.1).to_std().unwrap_or_default();
    context.clock.sleep(pause).await;
    for _ in 0..STAND_BACK_TIMES {
        let until = context.clock.now() + QUESTIONS_WITHIN;
        if context.store.unfinished(JobKind::Chat, until, 1).await?.is_empty() {
            break;
        }
        context.clock.sleep(STAND_BACK).await;
    }
    Ok(())
}

/// Tells what was found in the log.
fn tell(report: &CheckReport) {
    let checked = &report.checked;
    info!(
        check.findings = report.total(),
        "the check has looked at {} versions, {} passages, {} vectors and {} files, and read {} \
         files",
        checked.versions,
        checked.passages,
        checked.vectors,
        checked.files,
        checked.files_read
    );
    for finding in &report.findings {
        let example = finding.examples.first();
        let subject = example.map(|example| example.subject.as_str()).unwrap_or_default();
        let detail = example.map(|example| example.detail.as_str()).unwrap_or_default();
        warn!(
            check.kind = finding.kind.as_str(),
            check.count = finding.count,
            "the check found {} of {}, such as {subject}: {detail}; {}",
            finding.count,
            finding.kind,
            finding.remedy
        );
    }
}
