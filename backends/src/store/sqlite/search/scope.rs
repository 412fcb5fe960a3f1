//! A scope as SQL: the keys of the versions that a search may find.

use chrono::NaiveDate;
use quaestor_core::ids::WorkspaceId;
use quaestor_core::ports::store::SearchScope;
use sqlx::query::Query;
use sqlx::sqlite::{SqliteArguments, SqliteConnection};
use sqlx::{AssertSqlSafe, Row, Sqlite};
use uuid::Uuid;

use crate::store::sqlite::fault::Fault;
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
        let mut sql = String::from(concat!("SELECT sd.version_key FROM ", searched!(), " sd"));
        if self.media_types.is_some() || self.date_from.is_some() || self.date_to.is_some() {
            sql.push_str(" JOIN versions sv ON sv.key = sd.version_key");
        }
        sql.push_str(
            " WHERE sd.workspace_id = $1 AND sd.version_key IS NOT NULL
               AND sd.collection_id IN (SELECT unhex(value) FROM json_each($2))",
        );
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

    /// Reads which versions these are.
    pub(super) async fn versions(
        &self,
        connection: &mut SqliteConnection,
    ) -> Result<Versions, Fault> {
        // One text: thousands of rows would take longer on their way than to be found.
        let sql =
            format!("SELECT group_concat(version_key) AS keys FROM ({})", self.versions_sql());
        let row = self.bind(sqlx::query(AssertSqlSafe(sql))).fetch_one(connection).await?;
        let keys: String = row.try_get::<Option<String>, _>("keys")?.unwrap_or_default();
        let keys: Vec<i64> = keys.split(',').filter_map(|key| key.parse().ok()).collect();
        Ok(Versions::of(&keys))
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

/// The versions of a scope, as a statement can look each up: a byte for every key from the
/// first to the last. A set that a statement builds for itself takes it half a microsecond for
/// each version, which is many times a search where there are ten thousand small documents.
pub(super) struct Versions {
    /// How many there are.
    pub(super) count: usize,
    first: i64,
    /// None where they are too far apart.
    marks: Option<Vec<u8>>,
}

/// Keys that are further apart than this are left to the statement.
const WIDEST: usize = 16 << 20;

impl Versions {
    fn of(keys: &[i64]) -> Self {
        let (first, last) = keys
            .iter()
            .fold((i64::MAX, i64::MIN), |(first, last), key| (first.min(*key), last.max(*key)));
        let place = |key: i64| key.checked_sub(first).and_then(|place| usize::try_from(place).ok());
        let marks = match place(last) {
            Some(span) if span < WIDEST => {
                let mut marks = vec![0; span + 1];
                for mark in keys.iter().filter_map(|key| place(*key)) {
                    marks[mark] = 1;
                }
                Some(marks)
            }
            _ => None,
        };
        Self { count: keys.len(), first, marks }
    }

    /// Whether a version is one of them, as SQL. It uses the two placeholders from
    /// [`FIRST_FREE`] on, which [`Versions::bind`] fills.
    pub(super) fn holds_sql(&self, scope: &Scope, key: &str) -> String {
        let (marks, first) = (FIRST_FREE, FIRST_FREE + 1);
        match &self.marks {
            // A place before the first byte would count from the last.
            Some(_) => {
                format!("({key} >= ${first} AND substr(${marks}, {key} - ${first} + 1, 1) = x'01')")
            }
            None => format!("{key} IN ({})", scope.versions_sql()),
        }
    }

    /// Fills the two placeholders.
    pub(super) fn bind<'q>(
        &self,
        query: Query<'q, Sqlite, SqliteArguments>,
    ) -> Query<'q, Sqlite, SqliteArguments> {
        query.bind(self.marks.clone()).bind(self.first)
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

#[cfg(test)]
mod tests {
    use super::*;

    async fn held(keys: &[i64], asked: &[i64]) -> Vec<i64> {
        let mut connection: SqliteConnection =
            <SqliteConnection as sqlx::Connection>::connect("sqlite::memory:").await.unwrap();
        let scope = SearchScope { collections: vec![Uuid::nil().into()], ..Default::default() };
        let scope = Scope::of(Uuid::nil().into(), &scope).unwrap();
        let versions = Versions::of(keys);
        assert_eq!(versions.count, keys.len());
        let list = serde_json::Value::from(asked).to_string();
        let sql = format!(
            "SELECT value FROM json_each(${}) WHERE {}",
            FIRST_FREE + 2,
            versions.holds_sql(&scope, "value")
        );
        let found = versions.bind(scope.bind(sqlx::query(AssertSqlSafe(sql)))).bind(list);
        let found = found.fetch_all(&mut connection).await.unwrap();
        found.iter().map(|row| row.try_get("value").unwrap()).collect()
    }

    #[tokio::test]
    async fn those_are_held_that_are_among_the_keys() {
        let asked = [-7, 0, 1, 2, 3, 6, 7, 8, 1_000_000];
        assert_eq!(held(&[7, 2, 3], &asked).await, [2, 3, 7]);
        assert_eq!(held(&[1_000_000], &asked).await, [1_000_000]);
        assert_eq!(held(&[-7, 8], &asked).await, [-7, 8]);
    }

    #[test]
    fn keys_that_are_far_apart_are_left_to_the_statement() {
        for keys in [vec![1, 1 << 40], vec![i64::MIN, i64::MAX], vec![]] {
            assert!(Versions::of(&keys).marks.is_none());
        }
        assert!(Versions::of(&[1, 16 << 20]).marks.is_some());
    }
}
