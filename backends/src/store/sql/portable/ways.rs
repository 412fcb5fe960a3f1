//! How the rows of each table are found, in an order that an index has.
//!
//! Most tables are read straight through. What hangs on a version or a conversation is
//! read one of these after the other: such tables have no index by workspace, and a join
//! that a database would sort for every page takes the square of its rows.

use quaestor_core::ports::store::{Kind, Table};

/// A query that is read in pages.
pub(super) struct Source {
    /// What stands after FROM. `{vectors}` is the table of a generation's vectors.
    pub(super) from: &'static str,
    /// Which rows: `$1` is the workspace, the next ones are what the parent gives.
    pub(super) which: &'static str,
    /// The order; no two rows have the same values.
    pub(super) order: &'static [(&'static str, Kind)],
    /// With how many of them the index begins that is read.
    pub(super) seek: usize,
}

/// How a table is read.
pub(super) enum Way {
    /// Straight through.
    Flat(Source),
    /// For each parent its children.
    Walk {
        parents: Source,
        /// What the children's query asks of a parent.
        given: &'static [(&'static str, Kind)],
        children: Source,
    },
}

const fn source(
    from: &'static str,
    which: &'static str,
    order: &'static [(&'static str, Kind)],
) -> Source {
    Source { from, which, order, seek: 0 }
}

/// Versions by document.
const VERSIONS: Source = Source {
    from: "documents d JOIN versions v ON v.document_id = d.id",
    which: "d.workspace_id = $1",
    order: &[("d.id", Kind::Id), ("v.version", Kind::Integer)],
    seek: 1,
};

/// Of each generation the versions of its collection.
const GENERATIONS: Source = source(
    "generations g JOIN documents d ON d.collection_id = g.collection_id
     JOIN versions v ON v.document_id = d.id",
    "g.workspace_id = $1",
    &[("g.id", Kind::Id), ("d.id", Kind::Id), ("v.version", Kind::Integer)],
);

const CONVERSATIONS: Source = source(
    "conversations c",
    "c.workspace_id = $1",
    &[("c.principal_id", Kind::Id), ("c.id", Kind::Id)],
);

const fn of_version(children: Source) -> Way {
    Way::Walk { parents: VERSIONS, given: &[("v.key", Kind::Integer)], children }
}

const fn of_conversation(children: Source) -> Way {
    Way::Walk { parents: CONVERSATIONS, given: &[("c.id", Kind::Id)], children }
}

/// How the table is read.
pub(super) fn way(table: Table) -> Way {
    let by_id = |from, which, order| Way::Flat(source(from, which, order));
    match table {
        Table::Workspaces => by_id("workspaces w", "w.id = $1", &[("w.id", Kind::Id)]),
        Table::Principals => by_id("principals p", "p.workspace_id = $1", &[("p.id", Kind::Id)]),
        Table::ApiKeys => by_id("api_keys k", "k.workspace_id = $1", &[("k.id", Kind::Id)]),
        Table::Collections => by_id("collections c", "c.workspace_id = $1", &[("c.id", Kind::Id)]),
        Table::Generations => by_id(
            "collections c JOIN generations g ON g.collection_id = c.id",
            "c.workspace_id = $1",
            &[("g.id", Kind::Id)],
        ),
        Table::Documents => by_id("documents d", "d.workspace_id = $1", &[("d.id", Kind::Id)]),
        Table::Versions => Way::Flat(VERSIONS),
        Table::Pages => of_version(source(
            "pages p JOIN versions v ON v.key = p.version_key",
            "p.workspace_id = $1 AND p.version_key = $2",
            &[("p.ordinal", Kind::Integer)],
        )),
        Table::Chunks => of_version(source(
            "chunks c JOIN versions v ON v.key = c.version_key",
            "c.workspace_id = $1 AND c.version_key = $2",
            &[("c.ordinal", Kind::Integer)],
        )),
        Table::Vectors => Way::Walk {
            parents: GENERATIONS,
            given: &[("g.key", Kind::Integer), ("v.key", Kind::Integer)],
            children: source(
                "chunks c JOIN {vectors} x ON x.chunk_key = c.key
                 JOIN generations g ON g.key = x.generation_key",
                "c.workspace_id = $1 AND x.generation_key = $2 AND c.version_key = $3",
                &[("c.ordinal", Kind::Integer)],
            ),
        },
        Table::Conversations => Way::Flat(CONVERSATIONS),
        Table::Messages => of_conversation(source(
            "messages m",
            "m.workspace_id = $1 AND m.conversation_id = $2",
            &[("m.id", Kind::Id)],
        )),
        Table::Groundings => of_conversation(source(
            "messages m JOIN groundings g ON g.answer_id = m.id",
            "m.workspace_id = $1 AND m.conversation_id = $2",
            &[("m.id", Kind::Id)],
        )),
        Table::Feedback => of_conversation(source(
            "messages m JOIN feedback f ON f.message_id = m.id",
            "m.workspace_id = $1 AND m.conversation_id = $2",
            &[("m.id", Kind::Id), ("f.principal_id", Kind::Id)],
        )),
        Table::Batches => by_id("batches y", "y.workspace_id = $1", &[("y.id", Kind::Id)]),
        Table::ExportTemplates => {
            by_id("export_templates z", "z.workspace_id = $1", &[("z.id", Kind::Id)])
        }
        Table::Exports => by_id("exports e", "e.workspace_id = $1", &[("e.id", Kind::Id)]),
        Table::Jobs => by_id("jobs j", "j.workspace_id = $1", &[("j.id", Kind::Id)]),
        Table::Outbox => by_id(
            "jobs j JOIN outbox o ON o.job_id = j.id",
            "j.workspace_id = $1",
            &[("j.id", Kind::Id)],
        ),
        Table::DeadLetters => by_id("dead_letters x", "x.workspace_id = $1", &[("x.id", Kind::Id)]),
        Table::ModelUsage => by_id(
            "model_usage u",
            "u.workspace_id = $1",
            &[("u.created_at", Kind::Integer), ("u.key", Kind::Integer)],
        ),
        Table::OpenCalls => by_id("open_calls n", "n.workspace_id = $1", &[("n.id", Kind::Id)]),
        Table::Budgets => by_id("budgets b", "b.workspace_id = $1", &[("b.subject_id", Kind::Id)]),
        Table::AuditLog => by_id("audit_log a", "a.workspace_id = $1", &[("a.id", Kind::Id)]),
        Table::AuditSeals => {
            by_id("audit_seals s", "s.workspace_id = $1", &[("s.number", Kind::Integer)])
        }
        Table::AuditHeads => {
            by_id("audit_heads h", "h.workspace_id = $1", &[("h.number", Kind::Integer)])
        }
        Table::IdempotencyKeys => by_id(
            "idempotency_keys i",
            "i.workspace_id = $1",
            &[("i.principal_id", Kind::Id), ("i.key", Kind::Text)],
        ),
    }
}

/// What stands for a column in the table's query.
pub(super) fn expression(table: Table, column: &str) -> String {
    let alias = match (table, column) {
        (Table::Versions, "current") => return "coalesce(d.current_key = v.key, FALSE)".to_owned(),
        (Table::Versions, "other") => return "coalesce(d.other_key = v.key, FALSE)".to_owned(),
        (Table::Pages | Table::Chunks, "document_id" | "version") => "v",
        (Table::Vectors, "generation_id") => return "g.id".to_owned(),
        (Table::Vectors, "chunk_id") => return "c.id".to_owned(),
        (Table::Vectors, "text_hash") => return "x.text_hash".to_owned(),
        (Table::Vectors, _) => return format!("x.{}", super::super::search::EXACT),
        // Whoever reads it takes it up, as after a crash.
        (Table::Jobs, "state") => {
            return "CASE WHEN j.state = 'running' THEN 'queued' ELSE j.state END".to_owned();
        }
        (Table::Workspaces, _) => "w",
        (Table::Principals | Table::Pages, _) => "p",
        (Table::ApiKeys, _) => "k",
        (Table::Collections | Table::Chunks | Table::Conversations, _) => "c",
        (Table::Generations | Table::Groundings, _) => "g",
        (Table::Documents, _) => "d",
        (Table::Versions, _) => "v",
        (Table::Messages, _) => "m",
        (Table::Feedback, _) => "f",
        (Table::Batches, _) => "y",
        (Table::ExportTemplates, _) => "z",
        (Table::Exports, _) => "e",
        (Table::Jobs, _) => "j",
        (Table::Outbox, _) => "o",
        (Table::DeadLetters, _) => "x",
        (Table::ModelUsage, _) => "u",
        (Table::OpenCalls, _) => "n",
        (Table::Budgets, _) => "b",
        (Table::AuditLog, _) => "a",
        (Table::AuditSeals, _) => "s",
        (Table::AuditHeads, _) => "h",
        (Table::IdempotencyKeys, _) => "i",
    };
    format!("{alias}.{column}")
}

/// The bytes of a row's large values, where it may have some: asked for before the rows,
/// which costs no look at the values themselves.
pub(super) fn weight(table: Table) -> Option<&'static str> {
    match table {
        Table::Pages => Some("octet_length(p.text) + octet_length(p.boxes)"),
        Table::Chunks => Some("octet_length(c.header) + octet_length(c.text)"),
        Table::Messages => Some("octet_length(m.content) + octet_length(m.citations)"),
        Table::Groundings => Some("octet_length(g.passages)"),
        _ => None,
    }
}
