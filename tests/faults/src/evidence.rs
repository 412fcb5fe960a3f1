//! What an installation and its provider hold after a run: the other side of the conservation
//! check. It is read past the program, so that no error of the program hides one.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use quaestor_model_server::{Call, ModelServer, Operation};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, PgConnection, Row};

use crate::place::{Kind, Place};
use crate::workload::canaries_in;

/// A job as it is stored.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StoredJob {
    /// Its workspace.
    pub workspace: String,
    /// `chat` or `documents`.
    pub kind: String,
    /// Where it stands.
    pub state: String,
    /// What it works on.
    pub subject: String,
    /// Why it waits, or failed.
    pub why: String,
}

/// An answer as it is stored.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StoredAnswer {
    /// Where it stands.
    pub state: String,
    /// Its text.
    pub content: String,
}

/// A version of a document as it is stored.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StoredVersion {
    /// The document.
    pub document: String,
    /// Where it stands.
    pub status: String,
    /// How many passages it says it has.
    pub chunks: u64,
    /// How many rows of passages there are, and how many different ordinals.
    pub chunk_rows: (u64, u64),
    /// How many vectors in the generation that is searched.
    pub vectors: u64,
}

/// A request to a provider as it is stored.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StoredCall {
    /// The program's own name for it.
    pub call_id: String,
    /// How it ended.
    pub outcome: String,
}

/// A request as the provider knows it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Billed {
    /// The program's own name for it, as it came; empty where none came.
    pub call_id: String,
    /// Whether it was for an answer.
    pub is_chat: bool,
    /// The canaries of the prompt: more than one workspace's is a leak.
    pub canaries: Vec<String>,
}

/// Everything that is held.
#[derive(Clone, Debug, Default)]
pub struct Evidence {
    /// By id.
    pub jobs: BTreeMap<String, StoredJob>,
    /// By id.
    pub answers: BTreeMap<String, StoredAnswer>,
    /// In no order.
    pub versions: Vec<StoredVersion>,
    /// States of the index generations of each collection.
    pub generations: BTreeMap<String, Vec<String>>,
    /// The stored file of each export and its SHA-256, by the job; empty where there is none.
    pub exports: BTreeMap<String, (String, String)>,
    /// Messages that are due or sent, of jobs that have not ended.
    pub outbox: u64,
    /// In no order.
    pub calls: Vec<StoredCall>,
    /// The provider's log.
    pub billed: Vec<Billed>,
    /// Requests that were begun and not settled.
    pub open_calls: u64,
    /// Audit entries by action.
    pub audit: BTreeMap<String, u64>,
    /// Where chains of the audit log break.
    pub chain_breaks: Vec<String>,
    /// Links of all chains that were checked.
    pub chain_links: u64,
    /// Objects that rows name.
    pub referenced: BTreeSet<String>,
    /// Objects that stand in the object store.
    pub objects: BTreeSet<String>,
}

/// Rows of text, whichever database they come from.
type Rows = Vec<Vec<Option<String>>>;

/// A connection past the program.
enum Reader {
    Sqlite(sqlx::SqliteConnection),
    Postgres(PgConnection),
}

macro_rules! texts {
    ($rows:expr) => {
        $rows
            .iter()
            .map(|row| (0..row.len()).map(|column| row.try_get(column)).collect())
            .collect::<Result<Rows, sqlx::Error>>()
    };
}

impl Reader {
    async fn open(place: &Place) -> anyhow::Result<Self> {
        let url = place.database_url()?;
        Ok(match place.kind {
            Kind::Embedded => {
                let file = url.strip_prefix("sqlite:").context("a file")?;
                let options = SqliteConnectOptions::new().filename(file).read_only(true);
                Self::Sqlite(options.busy_timeout(Duration::from_secs(20)).connect().await?)
            }
            Kind::Services => Self::Postgres(PgConnection::connect(&url).await?),
        })
    }

    /// What a statement gives. `{id:x}` stands for the column `x` as an id without dashes.
    async fn rows(&mut self, sql: &str) -> anyhow::Result<Rows> {
        let mut parts = sql.split("{id:");
        let mut written = parts.next().unwrap_or_default().to_owned();
        for part in parts {
            let (column, rest) = part.split_once('}').context("an id ends with a brace")?;
            written += &match self {
                Self::Sqlite(_) => format!("lower(hex({column}))"),
                Self::Postgres(_) => format!("replace({column}::text, '-', '')"),
            };
            written += rest;
        }
        Ok(match self {
            Self::Sqlite(connection) => {
                texts!(sqlx::query(AssertSqlSafe(written)).fetch_all(connection).await?)?
            }
            Self::Postgres(connection) => {
                texts!(sqlx::query(AssertSqlSafe(written)).fetch_all(connection).await?)?
            }
        })
    }
}

fn text(row: &[Option<String>], column: usize) -> String {
    row.get(column).cloned().flatten().unwrap_or_default()
}

fn number(row: &[Option<String>], column: usize) -> anyhow::Result<u64> {
    text(row, column).parse().context("a number")
}

/// Waits until no job is unfinished and no request to a model unaccounted, or for `settle`. The check says what
/// is left then.
///
/// # Errors
/// The database cannot be read.
pub async fn settled(place: &Place, settle: Duration) -> anyhow::Result<Duration> {
    let begun = Instant::now();
    loop {
        let mut reader = Reader::open(place).await?;
        let open = reader
            .rows(
                "SELECT CAST((SELECT count(*) FROM open_calls) + count(*) AS TEXT) FROM jobs
                 WHERE state IN ('queued', 'running', 'waiting')",
            )
            .await?;
        let open = open.first().map_or(Ok(0), |row| number(row, 0))?;
        if open == 0 || begun.elapsed() > settle {
            return Ok(begun.elapsed());
        }
        drop(reader);
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// What the server's sessions do, for whoever looks for why work hangs.
///
/// # Errors
/// The database cannot be read.
pub async fn sessions(place: &Place) -> anyhow::Result<String> {
    if place.kind == Kind::Embedded {
        return Ok(String::new());
    }
    let rows = Reader::open(place)
        .await?
        .rows(
            "SELECT pid::text, application_name, state, wait_event_type, wait_event,
                 (now() - xact_start)::text, pg_blocking_pids(pid)::text, left(query, 200)
             FROM pg_stat_activity
             WHERE datname = current_database() AND pid <> pg_backend_pid()",
        )
        .await?;
    let line = |row: &Vec<Option<String>>| {
        row.iter().map(|cell| cell.as_deref().unwrap_or("-")).collect::<Vec<_>>().join(" | ")
    };
    Ok(rows.iter().map(line).collect::<Vec<_>>().join("\n"))
}

impl Evidence {
    /// Reads everything.
    ///
    /// # Errors
    /// The database or the provider cannot be read.
    pub async fn gather(place: &Place, model: &ModelServer) -> anyhow::Result<Self> {
        let mut reader = Reader::open(place).await?;
        let mut evidence = Self::default();
        for row in reader
            .rows(
                "SELECT {id:id}, {id:workspace_id}, kind, state, {id:subject_id},
                     coalesce(problem, reason, '') || CASE
                         WHEN state IN ('queued', 'running', 'waiting') THEN
                             ' at ' || step || ', attempt ' || CAST(attempt AS TEXT)
                             || ', leased until ' || coalesce(CAST(lease_until AS TEXT), '-')
                             || ', written at ' || CAST(updated_at AS TEXT)
                             || ', worker ' || coalesce({id:worker_id}, '-')
                         ELSE '' END
                 FROM jobs",
            )
            .await?
        {
            let job = StoredJob {
                workspace: text(&row, 1),
                kind: text(&row, 2),
                state: text(&row, 3),
                subject: text(&row, 4),
                why: text(&row, 5),
            };
            evidence.jobs.insert(text(&row, 0), job);
        }
        for row in reader
            .rows("SELECT {id:id}, state, content FROM messages WHERE role = 'assistant'")
            .await?
        {
            let answer = StoredAnswer { state: text(&row, 1), content: text(&row, 2) };
            evidence.answers.insert(text(&row, 0), answer);
        }
        for row in reader
            .rows(
                "SELECT {id:v.document_id}, v.status, CAST(v.chunks AS TEXT),
                     CAST((SELECT count(*) FROM chunks c WHERE c.version_key = v.key) AS TEXT),
                     CAST((SELECT count(DISTINCT ordinal) FROM chunks c
                         WHERE c.version_key = v.key) AS TEXT),
                     CAST((SELECT count(*) FROM vectors x JOIN chunks c ON c.key = x.chunk_key
                         JOIN generations g ON g.key = x.generation_key
                         WHERE c.version_key = v.key AND g.state = 'current') AS TEXT),
                     v.object_key
                 FROM versions v",
            )
            .await?
        {
            evidence.versions.push(StoredVersion {
                document: text(&row, 0),
                status: text(&row, 1),
                chunks: number(&row, 2)?,
                chunk_rows: (number(&row, 3)?, number(&row, 4)?),
                vectors: number(&row, 5)?,
            });
            evidence.referenced.insert(text(&row, 6));
        }
        for row in reader
            .rows("SELECT {id:collection_id}, state FROM generations WHERE state <> 'dropped'")
            .await?
        {
            evidence.generations.entry(text(&row, 0)).or_default().push(text(&row, 1));
        }
        for row in reader.rows("SELECT {id:job_id}, object_key, sha256 FROM exports").await? {
            let key = text(&row, 1);
            evidence.exports.insert(text(&row, 0), (key.clone(), text(&row, 2)));
            if !key.is_empty() {
                evidence.referenced.insert(key);
            }
        }
        let outbox = reader.rows("SELECT CAST(count(*) AS TEXT) FROM outbox").await?;
        evidence.outbox = outbox.first().map_or(Ok(0), |row| number(row, 0))?;
        for row in reader.rows("SELECT {id:call_id}, outcome FROM model_usage").await? {
            evidence.calls.push(StoredCall { call_id: text(&row, 0), outcome: text(&row, 1) });
        }
        let open = reader.rows("SELECT CAST(count(*) AS TEXT) FROM open_calls").await?;
        evidence.open_calls = open.first().map_or(Ok(0), |row| number(row, 0))?;
        for row in reader
            .rows("SELECT action, CAST(count(*) AS TEXT) FROM audit_log GROUP BY action")
            .await?
        {
            evidence.audit.insert(text(&row, 0), number(&row, 1)?);
        }
        evidence.objects = place.object_keys().await?;
        evidence.billed = model.calls().iter().filter(|call| is_paid(call)).map(billed).collect();
        Ok(evidence)
    }
}

/// Has the program check the chain of each workspace's audit log: its links, and where it
/// breaks.
///
/// # Errors
/// The program does not answer.
pub async fn chains(place: &Place, addresses: &[String]) -> anyhow::Result<(u64, Vec<String>)> {
    let address = addresses.first().context("no front runs")?;
    let http = crate::place::http(Duration::from_secs(30))?;
    let (mut links, mut breaks) = (0, Vec::new());
    for workspace in &place.workspaces {
        let mut after = Some(0);
        while let Some(from) = after {
            let url = format!("{address}/api/admin/audit/verify?after={from}&limit=5000");
            let response = http.get(url).bearer_auth(workspace.token()).send().await?;
            let checked: serde_json::Value = response.error_for_status()?.json().await?;
            links += checked["links"].as_u64().unwrap_or(0);
            let found = checked["breaks"].as_array().cloned().unwrap_or_default();
            breaks.extend(found.iter().map(|broken| format!("{}: {broken}", workspace.id)));
            after = checked["next"].as_u64();
        }
    }
    Ok((links, breaks))
}

/// What a provider writes a bill for.
fn is_paid(call: &Call) -> bool {
    [Operation::Chat, Operation::Embed, Operation::Rerank].contains(&call.operation)
}

fn billed(call: &Call) -> Billed {
    let mut headers = call.request.headers.iter();
    let name = headers.find(|(name, _)| name == "x-client-request-id");
    Billed {
        call_id: name.map(|(_, id)| id.replace('-', "")).unwrap_or_default(),
        is_chat: call.operation == Operation::Chat,
        canaries: canaries_in(&call.request.body.to_string()),
    }
}
