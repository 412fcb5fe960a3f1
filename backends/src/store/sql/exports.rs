//! Exports: acceptance, what the worker reads, the end.

use async_trait::async_trait;
use quaestor_core::clock::Time;
use quaestor_core::ids::{
    CollectionId, DocumentId, ExportId, MessageId, PrincipalId, TemplateId, WorkspaceId,
};
use quaestor_core::model::{
    Export, ExportFile, ExportFormat, ExportSelection, ExportTemplate, LinkKey, Message, Page,
    PageRequest, Passage, TemplateName, TemplateVersion,
};
use quaestor_core::ports::store::{
    AcceptExport, AcceptedExport, Claim, ExportAcceptance, ExportDocument, ExportGeneration,
    ExportWork, Exports, NewAuditEntry, NewTemplate, StoreError,
};
use sqlx::{AssertSqlSafe, Row};
use uuid::Uuid;

use super::connections::Commit;
use super::dialect::{self, DbConnection, DbRow, DbStore};
use super::ending::{self, Ending};
use super::fault::{Fault, corrupt, during};
use super::readings::searched;
use super::rows::{message_columns, passage_columns};
use super::{audit, claims, idempotency, rows, templates, uploads};

/// The columns that [`export`] reads, from `exports e`, its job and its template.
macro_rules! export_query {
    ($which:literal) => {
        concat!(
            "SELECT e.id, e.job_id, e.format, e.selection, e.filename, e.object_key, \
                 e.size_bytes, e.sha256, e.kept_until, e.link_key, e.created_at, j.state, \
                 j.problem, t.name AS template, t.version AS template_version \
             FROM exports e JOIN jobs j ON j.id = e.job_id \
             LEFT JOIN export_templates t \
                 ON t.id = e.template_id AND t.workspace_id = e.workspace_id \
             WHERE e.workspace_id = $1 AND ",
            $which
        )
    };
}

fn export(row: &DbRow) -> Result<Export, Fault> {
    let template: Option<String> = row.try_get("template")?;
    Ok(Export {
        id: rows::id(row, "id")?,
        job_id: rows::id(row, "job_id")?,
        state: rows::named(row, "state")?,
        format: rows::named(row, "format")?,
        selection: rows::from_json(row, "selection")?,
        template: template
            .map(|name| {
                let version = rows::number(row, "template_version")?;
                Ok::<_, Fault>(TemplateName { name, version })
            })
            .transpose()?,
        filename: row.try_get("filename")?,
        file: file(row)?,
        problem: rows::optional_json(row, "problem")?,
        created_at: rows::time(row, "created_at")?,
    })
}

fn file(row: &DbRow) -> Result<Option<ExportFile>, Fault> {
    let Some(object_key) = row.try_get::<Option<String>, _>("object_key")? else {
        return Ok(None);
    };
    let link_key: Vec<u8> = row.try_get("link_key")?;
    Ok(Some(ExportFile {
        object_key,
        size_bytes: rows::unsigned(row, "size_bytes")?,
        sha256: row.try_get("sha256")?,
        kept_until: rows::time(row, "kept_until")?,
        link_key: LinkKey(
            link_key.try_into().map_err(|_| corrupt("link key", "it is not 32 bytes long"))?,
        ),
    }))
}

/// What a selection is found to be.
enum Selected {
    There,
    Missing(Uuid),
    Empty,
}

async fn select(
    tx: &mut DbConnection,
    workspace: WorkspaceId,
    export: &AcceptExport,
) -> Result<Selected, Fault> {
    let is_there = async |tx: &mut DbConnection, sql: &'static str, id: Uuid| {
        let mut query = sqlx::query(sql).bind(workspace.uuid()).bind(id);
        if sql.contains("$3") {
            query = query.bind(export.principal_id.uuid());
        }
        Ok::<bool, Fault>(query.fetch_optional(tx).await?.is_some())
    };
    const CONVERSATION: &str =
        "SELECT 1 FROM conversations WHERE workspace_id = $1 AND id = $2 AND principal_id = $3";
    const MESSAGES: &str =
        "SELECT 1 FROM messages WHERE workspace_id = $1 AND conversation_id = $2 LIMIT 1";
    const ANSWER: &str = "SELECT 1 FROM messages m JOIN conversations c ON c.id = m.conversation_id
         WHERE m.workspace_id = $1 AND m.id = $2 AND c.principal_id = $3 AND m.role = 'assistant'";
    const COLLECTION: &str = "SELECT 1 FROM collections WHERE workspace_id = $1 AND id = $2";
    const DOCUMENTS: &str = "SELECT 1 FROM documents
         WHERE workspace_id = $1 AND collection_id = $2
           AND coalesce(current_key, other_key) IS NOT NULL LIMIT 1";
    const DOCUMENT: &str = "SELECT 1 FROM documents WHERE workspace_id = $1 AND id = $2";
    const READABLE: &str = "SELECT 1 FROM documents
         WHERE workspace_id = $1 AND id = $2 AND coalesce(current_key, other_key) IS NOT NULL";
    let (whole, any) = match &export.selection {
        ExportSelection::ConversationId(id) => ((CONVERSATION, id.uuid()), (MESSAGES, id.uuid())),
        ExportSelection::CollectionId(id) => ((COLLECTION, id.uuid()), (DOCUMENTS, id.uuid())),
        ExportSelection::MessageIds(ids) => {
            for id in ids {
                if !is_there(tx, ANSWER, id.uuid()).await? {
                    return Ok(Selected::Missing(id.uuid()));
                }
            }
            return Ok(if ids.is_empty() { Selected::Empty } else { Selected::There });
        }
        ExportSelection::DocumentIds(ids) => {
            let mut found = Selected::Empty;
            for id in ids {
                if !is_there(tx, DOCUMENT, id.uuid()).await? {
                    return Ok(Selected::Missing(id.uuid()));
                }
                if is_there(tx, READABLE, id.uuid()).await? {
                    found = Selected::There;
                }
            }
            return Ok(found);
        }
    };
    if !is_there(tx, whole.0, whole.1).await? {
        return Ok(Selected::Missing(whole.1));
    }
    Ok(if is_there(tx, any.0, any.1).await? { Selected::There } else { Selected::Empty })
}

async fn accept(
    tx: &mut DbConnection,
    workspace: WorkspaceId,
    export: &AcceptExport,
) -> Result<ExportAcceptance, Fault> {
    if let Some(key) = &export.idempotency {
        idempotency::refuse_taken(tx, workspace, key).await?;
    }
    match select(tx, workspace, export).await? {
        Selected::There => {}
        Selected::Missing(id) => return Ok(ExportAcceptance::Missing(id)),
        Selected::Empty => return Ok(ExportAcceptance::Empty),
    }
    let template: Option<TemplateId> = match &export.template {
        None => None,
        Some(name) => match templates::newest(tx, workspace, name).await? {
            Some(template) => Some(template.id),
            None => return Ok(ExportAcceptance::NoTemplate),
        },
    };
    sqlx::query(
        "INSERT INTO exports (id, workspace_id, principal_id, job_id, format, selection,
             template_id, filename, created_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
    )
    .bind(export.id.uuid())
    .bind(workspace.uuid())
    .bind(export.principal_id.uuid())
    .bind(export.job.id.uuid())
    .bind(export.format.as_str())
    .bind(rows::to_json(&export.selection)?)
    .bind(template.map(TemplateId::uuid))
    .bind(dialect::text(export.filename.clone()))
    .bind(rows::micros(export.job.created_at))
    .execute(&mut *tx)
    .await?;
    let payload = &export.job.payload;
    uploads::add_job(tx, workspace, &export.job, payload, export.id.uuid(), None).await?;
    audit::record(tx, workspace, &export.audit).await?;
    let accepted = AcceptedExport { export_id: export.id, job_id: export.job.id };
    if let Some(key) = &export.idempotency {
        idempotency::remember(tx, workspace, key, &accepted).await?;
    }
    Ok(ExportAcceptance::Accepted(accepted))
}

#[async_trait]
impl Exports for DbStore {
    async fn accept_export(
        &self,
        workspace: WorkspaceId,
        export: AcceptExport,
    ) -> Result<ExportAcceptance, StoreError> {
        let work = async {
            let mut writer = self.connections.request_writer(workspace, Commit::OnDisk).await?;
            let mut tx = writer.begin().await?;
            let accepted = accept(&mut tx, workspace, &export).await?;
            if matches!(accepted, ExportAcceptance::Accepted(_)) {
                tx.commit().await?;
            }
            Ok(accepted)
        };
        work.await.map_err(during("accept an export"))
    }

    async fn export(
        &self,
        workspace: WorkspaceId,
        principal: PrincipalId,
        id: ExportId,
    ) -> Result<Option<Export>, StoreError> {
        let work = async {
            let mut reader = self.connections.reader(workspace).await?;
            let found = sqlx::query(export_query!("e.principal_id = $2 AND e.id = $3"))
                .bind(workspace.uuid())
                .bind(principal.uuid())
                .bind(id.uuid())
                .fetch_optional(&mut *reader)
                .await?;
            found.as_ref().map(export).transpose()
        };
        work.await.map_err(during("read an export"))
    }

    async fn list_exports(
        &self,
        workspace: WorkspaceId,
        principal: PrincipalId,
        page: PageRequest,
    ) -> Result<Page<Export>, StoreError> {
        let work = async {
            let mut reader = self.connections.reader(workspace).await?;
            let found = sqlx::query(export_query!(
                "e.principal_id = $2 AND e.id < $3 ORDER BY e.id DESC LIMIT $4"
            ))
            .bind(workspace.uuid())
            .bind(principal.uuid())
            .bind(rows::before(page))
            .bind(rows::surplus(page))
            .fetch_all(&mut *reader)
            .await?;
            let items = found.iter().map(export).collect::<Result<Vec<_>, Fault>>()?;
            Ok(rows::paged(items, page, |export| export.id.uuid()))
        };
        work.await.map_err(during("list the exports"))
    }

    async fn export_file(
        &self,
        workspace: WorkspaceId,
        id: ExportId,
    ) -> Result<Option<(ExportFile, String, ExportFormat)>, StoreError> {
        let work = async {
            let mut reader = self.connections.reader(workspace).await?;
            let found = sqlx::query(
                "SELECT object_key, size_bytes, sha256, kept_until, link_key, filename, format
                 FROM exports WHERE workspace_id = $1 AND id = $2",
            )
            .bind(workspace.uuid())
            .bind(id.uuid())
            .fetch_optional(&mut *reader)
            .await?;
            let Some(row) = found else { return Ok(None) };
            let Some(file) = file(&row)? else { return Ok(None) };
            Ok(Some((file, row.try_get("filename")?, rows::named(&row, "format")?)))
        };
        work.await.map_err(during("find an export's file"))
    }

    async fn export_work(
        &self,
        workspace: WorkspaceId,
        id: ExportId,
    ) -> Result<Option<ExportWork>, StoreError> {
        let work = async {
            let mut reader = self.connections.reader(workspace).await?;
            let found = sqlx::query(
                "SELECT e.format, e.selection, e.principal_id, e.template_id, e.filename,
                     e.created_at, t.name, t.version, t.source,
                     (SELECT k.name FROM api_keys k
                      WHERE k.workspace_id = e.workspace_id AND k.principal_id = e.principal_id
                      ORDER BY k.created_at, k.id LIMIT 1) AS asker
                 FROM exports e LEFT JOIN export_templates t
                     ON t.id = e.template_id AND t.workspace_id = e.workspace_id
                 WHERE e.workspace_id = $1 AND e.id = $2",
            )
            .bind(workspace.uuid())
            .bind(id.uuid())
            .fetch_optional(&mut *reader)
            .await?;
            let Some(row) = found else { return Ok(None) };
            let template = match row.try_get::<Option<String>, _>("name")? {
                None => None,
                Some(name) => {
                    let version = rows::number(&row, "version")?;
                    Some((TemplateName { name, version }, row.try_get("source")?))
                }
            };
            let named: Option<Uuid> = row.try_get("template_id")?;
            Ok(Some(ExportWork {
                format: rows::named(&row, "format")?,
                selection: rows::from_json(&row, "selection")?,
                principal_id: rows::id(&row, "principal_id")?,
                asker: row.try_get("asker")?,
                template_gone: named.is_some() && template.is_none(),
                template,
                filename: row.try_get("filename")?,
                created_at: rows::time(&row, "created_at")?,
            }))
        };
        work.await.map_err(during("read an export"))
    }

    async fn answer_with_question(
        &self,
        workspace: WorkspaceId,
        principal: PrincipalId,
        answer: MessageId,
    ) -> Result<Option<(Message, Option<Message>)>, StoreError> {
        let work = async {
            let mut reader = self.connections.reader(workspace).await?;
            let found = sqlx::query(concat!(
                "SELECT ",
                message_columns!(),
                " FROM messages a JOIN conversations c ON c.id = a.conversation_id
                  JOIN messages m ON m.id = a.id OR m.id = a.question_id
                  WHERE a.workspace_id = $1 AND a.id = $3 AND a.role = 'assistant'
                      AND m.workspace_id = $1 AND c.principal_id = $2"
            ))
            .bind(workspace.uuid())
            .bind(principal.uuid())
            .bind(answer.uuid())
            .fetch_all(&mut *reader)
            .await?;
            let (mut own, mut question) = (None, None);
            for row in &found {
                let message = rows::message(row)?;
                let place = if message.id == answer { &mut own } else { &mut question };
                *place = Some(message);
            }
            Ok(own.map(|answer| (answer, question)))
        };
        work.await.map_err(during("read an answer with its question"))
    }

    async fn export_documents(
        &self,
        workspace: WorkspaceId,
        collection: CollectionId,
        after: Option<DocumentId>,
        limit: u32,
    ) -> Result<Vec<ExportDocument>, StoreError> {
        let work = async {
            let mut reader = self.connections.reader(workspace).await?;
            let found = sqlx::query(concat!(
                "SELECT d.id, v.version, v.filename FROM ",
                searched!(),
                " d JOIN versions v ON v.key = d.version_key
                 WHERE d.workspace_id = $1 AND d.collection_id = $2 AND d.id > $3
                 ORDER BY d.id LIMIT $4"
            ))
            .bind(workspace.uuid())
            .bind(collection.uuid())
            .bind(after.map_or(Uuid::nil(), DocumentId::uuid))
            .bind(i64::from(limit))
            .fetch_all(&mut *reader)
            .await?;
            found.iter().map(document).collect::<Result<Vec<_>, Fault>>()
        };
        work.await.map_err(during("list documents to export"))
    }

    async fn export_document(
        &self,
        workspace: WorkspaceId,
        id: DocumentId,
    ) -> Result<Option<ExportDocument>, StoreError> {
        let work = async {
            let mut reader = self.connections.reader(workspace).await?;
            let found = sqlx::query(concat!(
                "SELECT d.id, v.version, v.filename FROM ",
                searched!(),
                " d JOIN versions v ON v.key = d.version_key
                 WHERE d.workspace_id = $1 AND d.id = $2"
            ))
            .bind(workspace.uuid())
            .bind(id.uuid())
            .fetch_optional(&mut *reader)
            .await?;
            found.as_ref().map(document).transpose()
        };
        work.await.map_err(during("find a document to export"))
    }

    async fn table_passages(
        &self,
        workspace: WorkspaceId,
        document: DocumentId,
        version: u32,
        from: u32,
        limit: u32,
    ) -> Result<Option<Vec<Passage>>, StoreError> {
        let work = async {
            let mut reader = self.connections.reader(workspace).await?;
            let key = sqlx::query(
                "SELECT key FROM versions
                 WHERE workspace_id = $1 AND document_id = $2 AND version = $3",
            )
            .bind(workspace.uuid())
            .bind(document.uuid())
            .bind(i64::from(version))
            .fetch_optional(&mut *reader)
            .await?;
            let Some(key) = key else { return Ok(None) };
            let found = sqlx::query(concat!(
                "SELECT ",
                passage_columns!(),
                " FROM versions v JOIN chunks c ON c.version_key = v.key
                  LEFT JOIN pages p ON p.version_key = v.key AND p.ordinal = c.page_ordinal
                  WHERE v.workspace_id = $1 AND v.key = $2 AND c.ordinal >= $3
                      AND (c.is_table OR c.text LIKE '% | %')
                  ORDER BY c.ordinal LIMIT $4"
            ))
            .bind(workspace.uuid())
            .bind(key.try_get::<i64, _>("key")?)
            .bind(i64::from(from))
            .bind(i64::from(limit))
            .fetch_all(&mut *reader)
            .await?;
            found.iter().map(rows::passage).collect::<Result<Vec<_>, Fault>>().map(Some)
        };
        work.await.map_err(during("read the tables of a document"))
    }

    async fn export_generations(
        &self,
        workspace: WorkspaceId,
        collections: Option<&[CollectionId]>,
        limit: u32,
    ) -> Result<Vec<ExportGeneration>, StoreError> {
        let work = async {
            let mut reader = self.connections.reader(workspace).await?;
            let named = collections.map(|ids| &ids[..ids.len().min(limit as usize)]);
            let which = match named {
                None => String::new(),
                // No collection is among none.
                Some([]) => return Ok(Vec::new()),
                Some(ids) => {
                    let places: Vec<String> =
                        (3..3 + ids.len()).map(|place| format!("${place}")).collect();
                    format!("AND c.id IN ({})", places.join(", "))
                }
            };
            let sql = format!(
                "SELECT c.name AS collection, g.id, g.collection_id, g.model, g.dimensions,
                     g.state, g.created_at
                 FROM collections c
                 LEFT JOIN generations g ON g.collection_id = c.id AND g.state = 'current'
                 WHERE c.workspace_id = $1 {which} ORDER BY c.id LIMIT $2"
            );
            let query = sqlx::query(AssertSqlSafe(sql))
                .persistent(named.is_none())
                .bind(workspace.uuid())
                .bind(i64::from(limit));
            let ids = named.unwrap_or_default();
            let query = ids.iter().fold(query, |query, id| query.bind(id.uuid()));
            let found = query.fetch_all(&mut *reader).await?;
            let one = |row: &DbRow| {
                let there = row.try_get::<Option<Uuid>, _>("id")?.is_some();
                Ok(ExportGeneration {
                    collection: row.try_get("collection")?,
                    generation: if there { Some(rows::generation(row)?) } else { None },
                })
            };
            found.iter().map(one).collect::<Result<Vec<_>, Fault>>()
        };
        work.await.map_err(during("read what collections are searched by"))
    }

    async fn finish_export(
        &self,
        workspace: WorkspaceId,
        claim: &Claim,
        id: ExportId,
        file: ExportFile,
        now: Time,
    ) -> Result<(), StoreError> {
        let work = async {
            let mut writer = self.connections.bulk_writer(workspace, Commit::OnDisk).await?;
            let mut tx = writer.begin().await?;
            claims::hold(&mut tx, workspace, claim).await?;
            let named = sqlx::query(
                "UPDATE exports SET object_key = $4, size_bytes = $5, sha256 = $6,
                     kept_until = $7, link_key = $8
                 WHERE workspace_id = $1 AND id = $2 AND job_id = $3",
            )
            .bind(workspace.uuid())
            .bind(id.uuid())
            .bind(claim.job_id.uuid())
            .bind(file.object_key)
            .bind(rows::signed(file.size_bytes))
            .bind(file.sha256)
            .bind(rows::micros(file.kept_until))
            .bind(file.link_key.0.to_vec())
            .execute(&mut *tx)
            .await?;
            if named.rows_affected() == 0 {
                return Err(StoreError::Fenced.into());
            }
            ending::end(&mut tx, workspace, claim.job_id, &Ending::Done, now).await?;
            tx.commit().await?;
            Ok(())
        };
        work.await.map_err(during("finish an export"))
    }

    async fn create_export_template(
        &self,
        workspace: WorkspaceId,
        template: NewTemplate,
        most: u32,
        kept: u32,
        audit: NewAuditEntry,
    ) -> Result<Option<TemplateVersion>, StoreError> {
        templates::create(self, workspace, template, (most, kept), audit)
            .await
            .map_err(during("keep a template"))
    }

    async fn export_template(
        &self,
        workspace: WorkspaceId,
        name: &str,
    ) -> Result<Option<ExportTemplate>, StoreError> {
        let work = async {
            let mut reader = self.connections.reader(workspace).await?;
            templates::newest(&mut reader, workspace, name).await
        };
        work.await.map_err(during("read a template"))
    }

    async fn list_export_templates(
        &self,
        workspace: WorkspaceId,
    ) -> Result<Vec<TemplateVersion>, StoreError> {
        let work = async {
            let mut reader = self.connections.reader(workspace).await?;
            templates::list(&mut reader, workspace).await
        };
        work.await.map_err(during("list the templates"))
    }

    async fn delete_export_template(
        &self,
        workspace: WorkspaceId,
        name: &str,
        audit: NewAuditEntry,
    ) -> Result<bool, StoreError> {
        templates::remove(self, workspace, name, audit).await.map_err(during("remove a template"))
    }
}

fn document(row: &DbRow) -> Result<ExportDocument, Fault> {
    Ok(ExportDocument {
        id: rows::id(row, "id")?,
        version: rows::number(row, "version")?,
        filename: row.try_get("filename")?,
    })
}

/// Takes the files of exports whose time is over out of their rows.
pub(super) async fn expire(
    tx: &mut DbConnection,
    now: Time,
    limit: u32,
) -> Result<Vec<(WorkspaceId, String)>, Fault> {
    let over = sqlx::query(
        "SELECT id, workspace_id, object_key FROM exports
         WHERE kept_until <= $1 AND object_key IS NOT NULL ORDER BY kept_until LIMIT $2",
    )
    .bind(rows::micros(now))
    .bind(i64::from(limit))
    .fetch_all(&mut *tx)
    .await?;
    let mut files = Vec::with_capacity(over.len());
    for row in over {
        let workspace: WorkspaceId = rows::id(&row, "workspace_id")?;
        let taken = sqlx::query(
            "UPDATE exports SET object_key = NULL, link_key = NULL
             WHERE workspace_id = $1 AND id = $2 AND object_key IS NOT NULL",
        )
        .bind(workspace.uuid())
        .bind(row.try_get::<Uuid, _>("id")?)
        .execute(&mut *tx)
        .await?;
        if taken.rows_affected() > 0 {
            files.push((workspace, row.try_get("object_key")?));
        }
    }
    Ok(files)
}
