//! A scope as SQL: the keys of the versions that a search may find.

use chrono::NaiveDate;
use quaestor_core::ids::WorkspaceId;
use quaestor_core::ports::store::SearchScope;
use sqlx::Sqlite;
use sqlx::query::Query;
use sqlx::sqlite::SqliteArguments;
use uuid::Uuid;

use crate::store::sqlite::readings::searched;

/// A scope that lets something through.
pub(super) struct Scope {
    pub(super) workspace: WorkspaceId,
    collections: String,
    documents: Option<String>,
    media_types: Option<String>,
    date_from: Option<NaiveDate>,
    date_to: Option<NaiveDate>,
}

/// The first placeholder that a statement with a scope may use for itself.
pub(super) const FIRST_FREE: usize = 7;

impl Scope {
    /// None where the scope is empty: an empty list means nothing, never everything.
    pub(super) fn of(workspace: WorkspaceId, scope: &SearchScope) -> Option<Self> {
        let filter = &scope.filter;
        let nothing = scope.collections.is_empty()
            || filter.document_ids.as_ref().is_some_and(Vec::is_empty)
            || filter.media_types.as_ref().is_some_and(Vec::is_empty);
        if nothing {
            return None;
        }
        Some(Self {
            workspace,
            collections: hex_list(scope.collections.iter().map(|id| id.uuid())),
            documents: filter
                .document_ids
                .as_ref()
                .map(|ids| hex_list(ids.iter().map(|id| id.uuid()))),
            media_types: filter
                .media_types
                .as_ref()
                .map(|types| serde_json::Value::from(types.clone()).to_string()),
            date_from: filter.date_from,
            date_to: filter.date_to,
        })
    }

    /// A query for the keys of the current versions in the scope. It uses the
    /// placeholders that [`Scope::bind`] fills, and only the filters that there are.
    pub(super) fn versions_sql(&self) -> String {
        let mut sql = String::from(concat!(
            "SELECT sv.key FROM ",
            searched!(),
            " sd JOIN versions sv ON sv.key = sd.version_key
             WHERE sd.workspace_id = $1
               AND sd.collection_id IN (SELECT unhex(value) FROM json_each($2))"
        ));
        for (given, condition) in [
            (self.documents.is_some(), " AND sd.id IN (SELECT unhex(value) FROM json_each($3))"),
            (self.media_types.is_some(), " AND sv.media_type IN (SELECT value FROM json_each($4))"),
            (self.date_from.is_some(), " AND sv.day >= $5"),
            (self.date_to.is_some(), " AND sv.day <= $6"),
        ] {
            if given {
                sql.push_str(condition);
            }
        }
        sql
    }

    /// Fills the placeholders below [`FIRST_FREE`].
    pub(super) fn bind<'q>(
        &self,
        query: Query<'q, Sqlite, SqliteArguments>,
    ) -> Query<'q, Sqlite, SqliteArguments> {
        query
            .bind(self.workspace.uuid())
            .bind(self.collections.clone())
            .bind(self.documents.clone())
            .bind(self.media_types.clone())
            .bind(self.date_from)
            .bind(self.date_to)
    }
}

/// Ids as a JSON list of hexadecimal texts, for `json_each`: a list has no fixed length,
/// and a statement with a fixed text is prepared once.
pub(super) fn hex_list(ids: impl IntoIterator<Item = Uuid>) -> String {
    let mut list = String::from("[");
    for id in ids {
        if list.len() > 1 {
            list.push(',');
        }
        list.push('"');
        list.push_str(id.simple().encode_lower(&mut Uuid::encode_buffer()));
        list.push('"');
    }
    list.push(']');
    list
}
