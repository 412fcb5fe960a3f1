//! A scope as SQL: the keys of the versions that a search may find.

use chrono::NaiveDate;
use quaestor_core::ids::WorkspaceId;
use quaestor_core::ports::store::SearchScope;
use sqlx::Postgres;
use sqlx::postgres::PgArguments;
use sqlx::query::Query;
use uuid::Uuid;

use crate::store::postgres::readings::searched;

/// A scope that lets something through.
pub(super) struct Scope {
    pub(super) workspace: WorkspaceId,
    collections: Vec<Uuid>,
    documents: Option<Vec<Uuid>>,
    media_types: Option<Vec<String>>,
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
            collections: scope.collections.iter().map(|id| id.uuid()).collect(),
            documents: filter
                .document_ids
                .as_ref()
                .map(|ids| ids.iter().map(|id| id.uuid()).collect()),
            media_types: filter.media_types.clone(),
            date_from: filter.date_from,
            date_to: filter.date_to,
        })
    }

    /// Whether anything but the collection narrows it.
    pub(super) fn is_filtered(&self) -> bool {
        self.documents.is_some()
            || self.media_types.is_some()
            || self.date_from.is_some()
            || self.date_to.is_some()
    }

    /// What the searched versions `sv` of the documents `sd` must meet to be in the scope.
    /// It uses the placeholders that [`Scope::bind`] fills, and only the filters there are.
    pub(super) fn condition(&self) -> String {
        let mut sql = String::from("sd.workspace_id = $1 AND sd.collection_id = ANY($2)");
        for (given, condition) in [
            (self.documents.is_some(), " AND sd.id = ANY($3)"),
            (self.media_types.is_some(), " AND sv.media_type = ANY($4)"),
            (self.date_from.is_some(), " AND sv.day >= $5"),
            (self.date_to.is_some(), " AND sv.day <= $6"),
        ] {
            if given {
                sql.push_str(condition);
            }
        }
        sql
    }

    /// A query for the keys of the current versions in the scope.
    pub(super) fn versions_sql(&self) -> String {
        if self.media_types.is_none() && self.date_from.is_none() && self.date_to.is_none() {
            // The documents say it all.
            return format!(
                concat!("SELECT sd.version_key FROM ", searched!(), " sd WHERE {}"),
                self.condition()
            );
        }
        format!(
            concat!(
                "SELECT sv.key FROM ",
                searched!(),
                " sd JOIN versions sv ON sv.key = sd.version_key WHERE {}"
            ),
            self.condition()
        )
    }

    /// Fills the placeholders below [`FIRST_FREE`].
    pub(super) fn bind<'q>(
        &self,
        query: Query<'q, Postgres, PgArguments>,
    ) -> Query<'q, Postgres, PgArguments> {
        query
            .bind(self.workspace.uuid())
            .bind(self.collections.clone())
            .bind(self.documents.clone())
            .bind(self.media_types.clone())
            .bind(self.date_from)
            .bind(self.date_to)
    }
}
