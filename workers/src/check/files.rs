//! Files: is each there that a row names, is it what the row says, and does a row name each?

use std::collections::{BTreeMap, HashSet};

use chrono::TimeDelta;
use futures::StreamExt;
use quaestor_core::ids::WorkspaceId;
use quaestor_core::model::{FindingExample, FindingKind};
use quaestor_core::ports::objects::{ObjectError, ObjectKey};
use quaestor_core::ports::store::Table;
use sha2::{Digest, Sha256};

use super::{Check, CheckError};
use crate::schedules::chain;

/// How many exports are looked at together.
const EXPORTS: u32 = 100;
/// How many files of the storage's list.
const FILES: u32 = 1_000;
/// So long after it may, the sweep has removed a file: it looks at a thousand each minute.
const SWEPT_AFTER: TimeDelta = TimeDelta::hours(24);

/// A file as its row has it.
pub(super) struct Expected<'a> {
    pub(super) key: &'a str,
    pub(super) size_bytes: u64,
    pub(super) sha256: &'a str,
}

impl Check<'_> {
    /// Whether a file is what its row says; if not, how it differs.
    pub(super) async fn file(
        &mut self,
        workspace: WorkspaceId,
        expected: &Expected<'_>,
    ) -> Result<Option<(FindingKind, String)>, CheckError> {
        let found = self.differs(expected).await?;
        if found.is_none() {
            return Ok(None);
        }
        // Deleted or replaced since the row was read: then no row names it any more.
        let known = self.context.store.known_objects(workspace, &[expected.key.to_owned()]).await?;
        Ok(found.filter(|_| !known.is_empty()))
    }

    async fn differs(
        &mut self,
        expected: &Expected<'_>,
    ) -> Result<Option<(FindingKind, String)>, CheckError> {
        let missing = || Some((FindingKind::FileMissing, format!("{} is gone", expected.key)));
        let Ok(key) = ObjectKey::parse(expected.key) else { return Ok(missing()) };
        let size = match self.context.objects.size(&key).await {
            Ok(Some(size)) => size,
            Ok(None) => return Ok(missing()),
            Err(error) => return self.unreadable(error).await,
        };
        if size != expected.size_bytes {
            let detail =
                format!("{key} has {size} bytes, and its row says {}", expected.size_bytes);
            return Ok(Some((FindingKind::FileSize, detail)));
        }
        let checked = &self.report.checked;
        let fits = checked.bytes_read.saturating_add(size) <= self.task.read_at_most;
        if !fits || !self.is_chosen(expected.key) {
            return Ok(None);
        }
        let sha256 = match self.sha256(&key).await {
            Ok(sha256) => sha256,
            Err(ObjectError::Missing(_)) => return Ok(missing()),
            Err(error) => return self.unreadable(error).await,
        };
        self.report.checked.files_read += 1;
        self.report.checked.bytes_read += size;
        let differs = sha256 != expected.sha256;
        Ok(differs.then(|| (FindingKind::FileHash, format!("{key} is not what was stored there"))))
    }

    /// What cannot be read while the storage serves is broken by itself.
    async fn unreadable(
        &self,
        error: ObjectError,
    ) -> Result<Option<(FindingKind, String)>, CheckError> {
        self.context.objects.ping().await?;
        Ok(Some((FindingKind::FileHash, chain(&error))))
    }

    /// Whether a file is one of those that are read: another choice in each run.
    fn is_chosen(&self, key: &str) -> bool {
        let digest = Sha256::new().chain_update(self.run.as_bytes()).chain_update(key).finalize();
        let lot = digest.iter().take(4).fold(0_u32, |lot, byte| (lot << 8) | u32::from(*byte));
        lot % 100 < u32::from(self.task.read_percent)
    }

    async fn sha256(&self, key: &ObjectKey) -> Result<String, ObjectError> {
        let mut bytes = self.context.objects.get(key, 0).await?;
        let mut digest = Sha256::new();
        while let Some(piece) = bytes.next().await {
            digest.update(piece.map_err(|source| ObjectError::Io {
                action: "read",
                key: key.to_string(),
                source,
            })?);
        }
        Ok(digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
    }

    /// Looks at some exports of a workspace. Returns where the next piece begins.
    pub(super) async fn exports(
        &mut self,
        workspace: WorkspaceId,
        after: Option<&str>,
    ) -> Result<Option<String>, CheckError> {
        let found = self.context.store.check_exports(workspace, after, EXPORTS).await?;
        for export in &found {
            self.report.checked.exports += 1;
            let expected = Expected {
                key: &export.object_key,
                size_bytes: export.size_bytes,
                sha256: &export.sha256,
            };
            if let Some((_, detail)) = self.file(workspace, &expected).await? {
                let subject = format!("export {}", export.export_id);
                let example = FindingExample { workspace_id: Some(workspace), subject, detail };
                self.report.note(FindingKind::ExportFile, 1, example);
            }
        }
        Ok(found.into_iter().last().map(|export| export.object_key))
    }

    /// Looks whether a row names each of some files. Returns after which the next piece begins.
    pub(super) async fn listed_files(
        &mut self,
        after: Option<&ObjectKey>,
    ) -> Result<Option<ObjectKey>, CheckError> {
        let page = self.context.objects.list(after, FILES).await?;
        self.report.checked.files += page.objects.len() as u64;
        let kept = TimeDelta::from_std(self.context.settings.unnamed_files_kept)
            .unwrap_or(TimeDelta::days(365));
        let before = self.context.clock.now() - kept - SWEPT_AFTER;
        let mut of: BTreeMap<WorkspaceId, Vec<(ObjectKey, bool)>> = BTreeMap::new();
        for object in page.objects {
            // What is of no workspace is not of this program.
            if let Some(workspace) = object.key.workspace() {
                of.entry(workspace).or_default().push((object.key, object.stored_at < before));
            }
        }
        for (workspace, files) in of {
            if self.context.store.count_records(workspace, Table::Workspaces).await? == 0 {
                for (key, _) in files {
                    self.unnamed(None, &key, "it is of a workspace that is not there");
                }
                continue;
            }
            let old: Vec<String> =
                files.iter().filter(|(_, old)| *old).map(|(key, _)| key.to_string()).collect();
            let known = self.context.store.known_objects(workspace, &old).await?;
            let known: HashSet<String> = known.into_iter().collect();
            for (key, _) in files.iter().filter(|(_, old)| *old) {
                if !known.contains(key.as_str()) {
                    self.unnamed(Some(workspace), key, "no row names it, and no sweep removed it");
                }
            }
        }
        Ok(page.next)
    }

    fn unnamed(&mut self, workspace_id: Option<WorkspaceId>, key: &ObjectKey, detail: &str) {
        let (subject, detail) = (format!("file {key}"), detail.to_owned());
        let example = FindingExample { workspace_id, subject, detail };
        self.report.note(FindingKind::FileUnnamed, 1, example);
    }
}
