//! Exports and the templates that lay them out: acceptance, what the worker reads, the end.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::{Claim, IdempotencyKey, NewAuditEntry, StoreError};
use crate::clock::Time;
use crate::ids::{
    CollectionId, DocumentId, ExportId, JobId, MessageId, PrincipalId, TemplateId, WorkspaceId,
};
use crate::jobs::NewJob;
use crate::model::{
    Export, ExportFile, ExportFormat, ExportSelection, ExportTemplate, Generation, Message, Page,
    PageRequest, Passage, TemplateName, TemplateVersion,
};

/// An export to be accepted.
#[derive(Clone, Debug)]
pub struct AcceptExport {
    /// Its id.
    pub id: ExportId,
    /// Who asks.
    pub principal_id: PrincipalId,
    /// What it is written as.
    pub format: ExportFormat,
    /// What is exported.
    pub selection: ExportSelection,
    /// The template's name; its newest version is taken.
    pub template: Option<String>,
    /// What its file will be called.
    pub filename: String,
    /// The job that writes it.
    pub job: NewJob,
    /// The client's key, if it sent one.
    pub idempotency: Option<IdempotencyKey>,
    /// The entry for the audit log.
    pub audit: NewAuditEntry,
}

/// The answer to an export's acceptance, kept with its idempotency key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AcceptedExport {
    /// The export.
    pub export_id: ExportId,
    /// The job that writes it.
    pub job_id: JobId,
}

/// What became of a wish to export.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ExportAcceptance {
    /// It is accepted.
    Accepted(AcceptedExport),
    /// What is chosen is not there for the principal: this one is missing.
    Missing(uuid::Uuid),
    /// What is chosen is there, and holds nothing: no message, no document with text.
    Empty,
    /// There is no template of this name.
    NoTemplate,
}

/// What the worker needs to know of an export.
#[derive(Clone, Debug, PartialEq)]
pub struct ExportWork {
    /// What it is written as.
    pub format: ExportFormat,
    /// What is exported.
    pub selection: ExportSelection,
    /// Who asked: what that principal may not see is not exported.
    pub principal_id: PrincipalId,
    /// What that principal is called: the name of its first key.
    pub asker: Option<String>,
    /// What lays it out, with its source.
    pub template: Option<(TemplateName, String)>,
    /// Whether it was to be laid out by a template that is gone.
    pub template_gone: bool,
    /// What its file is called.
    pub filename: String,
    /// When it was accepted.
    pub created_at: Time,
}

/// The version of a document that is exported.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExportDocument {
    /// The document.
    pub id: DocumentId,
    /// Its current version.
    pub version: u32,
    /// Its name.
    pub filename: String,
}

/// An index generation of a collection, for a title page.
#[derive(Clone, Debug, PartialEq)]
pub struct ExportGeneration {
    /// The collection's name.
    pub collection: String,
    /// The one that is searched; none where the collection is searched by words alone.
    pub generation: Option<Generation>,
}

/// A template to be made, or a new version of one.
#[derive(Clone, Debug)]
pub struct NewTemplate {
    /// The version's id.
    pub id: TemplateId,
    /// Its name in the workspace.
    pub name: String,
    /// The layout.
    pub source: String,
    /// When it is made.
    pub created_at: Time,
}

/// Exports and templates.
#[async_trait]
pub trait Exports: Send + Sync {
    /// Accepts an export in one transaction: its row, job, outbox row, audit entry and
    /// idempotency key. Nothing is kept where it is refused.
    async fn accept_export(
        &self,
        workspace: WorkspaceId,
        export: AcceptExport,
    ) -> Result<ExportAcceptance, StoreError>;

    /// One export of the principal.
    async fn export(
        &self,
        workspace: WorkspaceId,
        principal: PrincipalId,
        export: ExportId,
    ) -> Result<Option<Export>, StoreError>;

    /// The principal's exports, newest first.
    async fn list_exports(
        &self,
        workspace: WorkspaceId,
        principal: PrincipalId,
        page: PageRequest,
    ) -> Result<Page<Export>, StoreError>;

    /// The file of an export whoever asks, with its name and format: for whoever has a link
    /// that was signed with its key.
    async fn export_file(
        &self,
        workspace: WorkspaceId,
        export: ExportId,
    ) -> Result<Option<(ExportFile, String, ExportFormat)>, StoreError>;

    /// What the worker needs to know; none if it was removed.
    async fn export_work(
        &self,
        workspace: WorkspaceId,
        export: ExportId,
    ) -> Result<Option<ExportWork>, StoreError>;

    /// An answer of the principal and the question it answers. None if it is no answer of
    /// the principal's.
    async fn answer_with_question(
        &self,
        workspace: WorkspaceId,
        principal: PrincipalId,
        answer: MessageId,
    ) -> Result<Option<(Message, Option<Message>)>, StoreError>;

    /// The documents of a collection that have a current version, by id, after the given
    /// one, at most `limit`.
    async fn export_documents(
        &self,
        workspace: WorkspaceId,
        collection: CollectionId,
        after: Option<DocumentId>,
        limit: u32,
    ) -> Result<Vec<ExportDocument>, StoreError>;

    /// The current version of a document; none if there is none.
    async fn export_document(
        &self,
        workspace: WorkspaceId,
        document: DocumentId,
    ) -> Result<Option<ExportDocument>, StoreError>;

    /// The passages of a version that hold rows of tables (those that are marked as such, and
    /// those with a line of several cells, which ` | ` parts), from place `from` on, at most
    /// `limit`. None if the version is gone.
    async fn table_passages(
        &self,
        workspace: WorkspaceId,
        document: DocumentId,
        version: u32,
        from: u32,
        limit: u32,
    ) -> Result<Option<Vec<Passage>>, StoreError>;

    /// What collections are searched by: those that are named, or all, the oldest first, at
    /// most `limit`.
    async fn export_generations(
        &self,
        workspace: WorkspaceId,
        collections: Option<&[CollectionId]>,
        limit: u32,
    ) -> Result<Vec<ExportGeneration>, StoreError>;

    /// The file stands in the object store: names it and ends the job, in one transaction.
    async fn finish_export(
        &self,
        workspace: WorkspaceId,
        claim: &Claim,
        export: ExportId,
        file: ExportFile,
        now: Time,
    ) -> Result<(), StoreError>;

    /// Makes a template, or a new version of it, and forgets all but the `kept` newest
    /// versions. Returns the version; none where the workspace has `most` templates.
    async fn create_export_template(
        &self,
        workspace: WorkspaceId,
        template: NewTemplate,
        most: u32,
        kept: u32,
        audit: NewAuditEntry,
    ) -> Result<Option<TemplateVersion>, StoreError>;

    /// The newest version of a template.
    async fn export_template(
        &self,
        workspace: WorkspaceId,
        name: &str,
    ) -> Result<Option<ExportTemplate>, StoreError>;

    /// The newest version of each template, by name. There are few.
    async fn list_export_templates(
        &self,
        workspace: WorkspaceId,
    ) -> Result<Vec<TemplateVersion>, StoreError>;

    /// Removes a template with all its versions. False if there was none.
    async fn delete_export_template(
        &self,
        workspace: WorkspaceId,
        name: &str,
        audit: NewAuditEntry,
    ) -> Result<bool, StoreError>;
}
