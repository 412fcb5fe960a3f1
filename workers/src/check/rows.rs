//! Versions, passages and vectors: what rows say, and what is there.

use quaestor_core::ids::{PrincipalId, WorkspaceId};
use quaestor_core::jobs::{DocumentPayload, JobKind, NewJob, Step};
use quaestor_core::model::{DocumentStatus, FindingExample, FindingKind};
use quaestor_core::ports::store::{CheckedVersion, StoreError, StrayCursor, Strays};
use uuid::Uuid;

use super::files::Expected;
use super::{Check, CheckError};

/// How many versions are looked at together, or until they have so many passages.
const VERSIONS: u32 = 50;
const PASSAGES: u64 = 20_000;
/// How many rows a look for strays reads.
const ROWS: u32 = 10_000;

impl Check<'_> {
    /// Looks at some versions of a workspace. Returns where the next piece begins.
    pub(super) async fn versions(
        &mut self,
        workspace: WorkspaceId,
        after: Option<&str>,
    ) -> Result<Option<String>, CheckError> {
        let store = &self.context.store;
        let piece = store.check_versions(workspace, after, VERSIONS, PASSAGES).await?;
        for version in &piece.items {
            self.report.checked.versions += 1;
            // Nobody misses the file of a document that could not be used.
            if version.status != DocumentStatus::Failed {
                self.version_file(workspace, version).await?;
            }
            if version.is_current {
                self.searched(workspace, version).await?;
            }
        }
        Ok(piece.next)
    }

    async fn version_file(
        &mut self,
        workspace: WorkspaceId,
        version: &CheckedVersion,
    ) -> Result<(), CheckError> {
        let expected = Expected {
            key: &version.object_key,
            size_bytes: version.size_bytes,
            sha256: &version.sha256,
        };
        if let Some((kind, detail)) = self.file(workspace, &expected).await? {
            self.found(workspace, version, kind, 1, detail);
        }
        Ok(())
    }

    /// What of a version is searched.
    async fn searched(
        &mut self,
        workspace: WorkspaceId,
        version: &CheckedVersion,
    ) -> Result<(), CheckError> {
        let CheckedVersion { passages, stored, indexed, .. } = *version;
        self.report.checked.passages += stored;
        if stored != passages {
            let detail = format!("{stored} passages are there, and its row says {passages}");
            self.found(
                workspace,
                version,
                FindingKind::Passages,
                stored.abs_diff(passages),
                detail,
            );
        }
        if indexed < stored {
            let detail = format!("{indexed} of {stored} passages can be found by words");
            self.found(workspace, version, FindingKind::Postings, stored - indexed, detail);
        }
        let Some(made) = version.vectors else { return Ok(()) };
        self.report.checked.vectors += made.vectors;
        if made.other_length > 0 {
            let detail = format!(
                "{} vectors are not of length {}, which generation {} has",
                made.other_length, made.dimensions, made.generation_id
            );
            self.found(workspace, version, FindingKind::VectorLength, made.other_length, detail);
        }
        if made.searched != made.vectors {
            let detail = format!(
                "a search by meaning looks through {} of {} vectors",
                made.searched, made.vectors
            );
            let count = made.searched.abs_diff(made.vectors);
            self.found(workspace, version, FindingKind::VectorIndex, count, detail);
        }
        // Where no model makes vectors, nobody searches by them.
        let by_meaning = self.context.embedders.first().is_some();
        if by_meaning && version.status == DocumentStatus::Ready && made.vectors < stored {
            let detail = format!(
                "{} of {stored} passages have a vector in generation {}",
                made.vectors, made.generation_id
            );
            let count = stored - made.vectors;
            self.found(workspace, version, FindingKind::VectorMissing, count, detail);
            if self.options.repair && self.embed_again(workspace, version).await? {
                self.report.repaired_documents += 1;
            }
        }
        Ok(())
    }

    fn found(
        &mut self,
        workspace: WorkspaceId,
        version: &CheckedVersion,
        kind: FindingKind,
        count: u64,
        detail: String,
    ) {
        let subject = format!("document {} version {}", version.document_id, version.version);
        let example = FindingExample { workspace_id: Some(workspace), subject, detail };
        self.report.note(kind, count, example);
    }

    /// Has the vectors made that a document lacks, as after an upload.
    async fn embed_again(
        &self,
        workspace: WorkspaceId,
        version: &CheckedVersion,
    ) -> Result<bool, StoreError> {
        let context = self.context;
        let payload = DocumentPayload {
            document_id: version.document_id,
            version: version.version,
            collection_id: version.collection_id,
            generation_id: None,
        };
        let job = NewJob {
            id: context.ids.next(),
            kind: JobKind::Documents,
            step: Step::DocumentsEmbed,
            // Of nobody who has a key: of the check.
            principal_id: PrincipalId(Uuid::nil()),
            payload: serde_json::json!(payload),
            batch_id: None,
            outbox_id: context.ids.next(),
            created_at: context.clock.now(),
            held_until: None,
            deadline: None,
            traceparent: None,
        };
        let document = version.document_id;
        let made = context.store.embed_again(workspace, document, version.version, job).await?;
        if made {
            context.wake.notify();
        }
        Ok(made)
    }

    /// Looks for passages whose version is gone. Returns where the next piece begins.
    pub(super) async fn stray_passages(
        &mut self,
        workspaces: &[WorkspaceId],
        after: Option<StrayCursor>,
    ) -> Result<Option<StrayCursor>, CheckError> {
        if workspaces.is_empty() {
            return Ok(None);
        }
        let strays = self.context.store.stray_passages(workspaces, after, ROWS).await?;
        Ok(self.strays(FindingKind::PassageStray, "its version is gone", strays))
    }

    /// Looks for vectors whose passage is gone. Returns where the next piece begins.
    pub(super) async fn stray_vectors(
        &mut self,
        workspaces: &[WorkspaceId],
        after: Option<StrayCursor>,
    ) -> Result<Option<StrayCursor>, CheckError> {
        if workspaces.is_empty() {
            return Ok(None);
        }
        let strays = self.context.store.stray_vectors(workspaces, after, ROWS).await?;
        Ok(self.strays(FindingKind::VectorStray, "its passage is gone", strays))
    }

    fn strays(&mut self, kind: FindingKind, why: &str, found: Strays) -> Option<StrayCursor> {
        let named = found.examples.len() as u64;
        for (number, (workspace, subject)) in found.examples.into_iter().enumerate() {
            // The first one stands for those that are not named.
            let count = if number == 0 { 1 + found.strays.saturating_sub(named) } else { 1 };
            let detail = why.to_owned();
            let example = FindingExample { workspace_id: Some(workspace), subject, detail };
            self.report.note(kind, count, example);
        }
        found.next
    }
}
