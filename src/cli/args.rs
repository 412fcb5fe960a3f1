//! Which commands and flags are there?

use std::ffi::OsString;
use std::path::PathBuf;

use anyhow::Context;
use clap::{Args, Parser, Subcommand, ValueEnum};
use quaestor_core::audit::SealHash;
use quaestor_core::clock::Time;
use quaestor_core::ids::{BatchId, ConversationId, DocumentId, JobId, KeyId, MessageId};
use quaestor_core::jobs::JobKind;
use quaestor_core::model::{ExportFormat, JobState, Role};
use quaestor_core::ports::store::DeadKind;
use secrecy::SecretString;
use uuid::Uuid;

use crate::config::Flag;

/// Answers questions over your own documents, with a citation behind every claim.
#[derive(Debug, Parser)]
#[command(name = "quaestor", version, propagate_version = true)]
pub struct Arguments {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the server: everything in one process, on http://127.0.0.1:8080 by default.
    Serve(ServeArguments),
    /// Run HTTP and WebSocket alone; workers in other processes do the work.
    Front(ServeArguments),
    /// Run the steps of jobs alone; fronts in other processes take the requests.
    Worker(WorkerArguments),
    /// Run the worker processes of this machine, as many as the queues need.
    Scaler(ServeArguments),
    /// Make the database's tables, the first workspace and its key, or bring them up to date.
    Migrate(ServeArguments),
    /// Move an installation from one process to services, or back, with all its rows, vectors
    /// and files. Nothing is embedded anew, and everything is compared at the end.
    Move(MoveArguments),
    /// Write everything into one encrypted bundle while the server runs, or look at those
    /// there are.
    Backup(BackupArguments),
    /// Bring an installation back out of a bundle, into an empty place of either kind.
    Restore(RestoreArguments),
    /// Upload files and folders, and wait until they are searchable.
    Ingest(IngestArguments),
    /// Ask a question and read the answer with its citations.
    Ask(AskArguments),
    /// List, show, pause, resume, cancel and retry batches: the files of one upload.
    Batches {
        /// The server.
        #[command(flatten)]
        connection: Connection,
        /// What to do with them.
        #[command(subcommand)]
        action: BatchesAction,
    },
    /// Write a conversation, answers, or the tables of a collection or documents as a file.
    Export(ExportArguments),
    /// List, show, watch and cancel jobs.
    Jobs {
        /// The server.
        #[command(flatten)]
        connection: Connection,
        /// What to do with them.
        #[command(subcommand)]
        action: JobsAction,
    },
    /// List, show, replay and discard dead letters: jobs that were given up, and messages that
    /// cannot be read.
    Dead {
        /// The server.
        #[command(flatten)]
        connection: Connection,
        /// What to do with them.
        #[command(subcommand)]
        action: DeadAction,
    },
    /// Read documents again that an older parser has read, while they are searched.
    Reparse(ReparseArguments),
    /// Give a collection the vectors of another model, or passages that are cut otherwise,
    /// while it is searched, and go back.
    Reindex {
        /// The server.
        #[command(flatten)]
        connection: Connection,
        /// What to do.
        #[command(subcommand)]
        action: ReindexAction,
    },
    /// Show and steer what is done by the clock: backups and the check of what is stored.
    Schedules {
        /// The server.
        #[command(flatten)]
        connection: Connection,
        /// What to do; they are listed where nothing is said.
        #[command(subcommand)]
        action: Option<SchedulesAction>,
    },
    /// Check that rows, passages, vectors and files agree, and show what does not.
    Check(CheckArguments),
    /// Make, list and revoke API keys.
    Key {
        /// The server.
        #[command(flatten)]
        connection: Connection,
        /// What to do with them.
        #[command(subcommand)]
        action: KeyAction,
    },
    /// Check the audit log: whether any entry was changed, removed or added since it was sealed.
    Audit {
        /// The server.
        #[command(flatten)]
        connection: Connection,
        /// What to do.
        #[command(subcommand)]
        action: AuditAction,
    },
    /// Print the configuration in force and where each value comes from; secrets stay hidden.
    Config {
        /// The configuration.
        #[command(flatten)]
        file: ConfigFile,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Look for what is wrong with the installation, and say how to mend it.
    Doctor {
        /// The server.
        #[command(flatten)]
        connection: Connection,
        /// The configuration.
        #[command(flatten)]
        file: ConfigFile,
    },
    /// Compare RabbitMQ's exchanges, queues, bindings and policies with what is needed, and mend them.
    Topology {
        /// The configuration.
        #[command(flatten)]
        file: ConfigFile,
        /// What to do.
        #[command(subcommand)]
        action: TopologyAction,
    },
    /// Measure search and answers on labelled data: a folder as BEIR lays it out.
    Eval(EvalArguments),
    /// Show it at work on documents of its own: ingest, three questions, cited answers.
    Demo(DemoArguments),
    /// Lay out one export within limits; the server starts it for itself.
    #[command(hide = true)]
    RenderChild {
        /// What the server tells it.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<OsString>,
    },
    /// Read one document within limits; the server starts it for itself.
    #[command(hide = true)]
    ParseChild {
        /// What the server tells it.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<OsString>,
    },
}

/// Where the configuration comes from.
#[derive(Clone, Debug, Default, Args)]
pub struct ConfigFile {
    /// The configuration file [env: QUAESTOR_CONFIG] [default: quaestor.toml where there is one].
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Set any key of the configuration, such as `workers.lease_s=60`. Not for secrets:
    /// other users of the machine can see the arguments of a process.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub set: Vec<String>,
    /// Address and port to listen on [env: QUAESTOR_LISTEN].
    #[arg(long, value_name = "ADDRESS")]
    pub listen: Option<String>,
    /// The folder of the data [env: QUAESTOR_DATA_DIR].
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<String>,
}

impl ConfigFile {
    /// The same flags, for another process of the program, but for where it listens.
    #[must_use]
    pub fn passed_on(&self) -> Vec<String> {
        let mut flags = Vec::new();
        if let Some(config) = &self.config {
            flags.extend(["--config".to_owned(), config.display().to_string()]);
        }
        for set in &self.set {
            flags.extend(["--set".to_owned(), set.clone()]);
        }
        if let Some(folder) = &self.data_dir {
            flags.extend(["--data-dir".to_owned(), folder.clone()]);
        }
        flags
    }

    /// What the flags say, as keys.
    pub fn flags(&self) -> anyhow::Result<Vec<Flag>> {
        let mut flags = Vec::new();
        for text in &self.set {
            let (key, value) = text
                .split_once('=')
                .with_context(|| format!("--set takes KEY=VALUE, and `{text}` has no `=`"))?;
            flags.push(Flag { flag: "--set", key: key.to_owned(), value: value.to_owned() });
        }
        let named = [
            ("--listen", "server.listen", &self.listen),
            ("--data-dir", "data.dir", &self.data_dir),
        ];
        for (flag, key, value) in named {
            if let Some(value) = value {
                flags.push(Flag { flag, key: key.to_owned(), value: value.clone() });
            }
        }
        Ok(flags)
    }
}

/// Which server, with which key.
#[derive(Clone, Debug, Args)]
pub struct Connection {
    /// The server's address.
    #[arg(
        long,
        global = true,
        value_name = "URL",
        env = "QUAESTOR_SERVER",
        default_value = "http://127.0.0.1:8080"
    )]
    pub server: String,
    /// The API key; better in QUAESTOR_API_KEY or in the file QUAESTOR_API_KEY_FILE names,
    /// since other users of the machine can see the arguments of a process.
    #[arg(long, global = true, value_name = "KEY")]
    pub key: Option<SecretString>,
}

/// `quaestor serve`, `front` and `migrate`.
#[derive(Debug, Args)]
pub struct ServeArguments {
    /// The configuration.
    #[command(flatten)]
    pub file: ConfigFile,
}

/// `quaestor worker`.
#[derive(Debug, Args)]
pub struct WorkerArguments {
    /// The configuration.
    #[command(flatten)]
    pub file: ConfigFile,
    /// The queues to take from, all unless some are named: a step (`chat.generate`), or a
    /// kind of job for all its steps (`chat`, `documents`, `exports`).
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    pub queues: Vec<String>,
    /// Say on standard output how much is done, and leave when standard input ends: the process
    /// belongs to `quaestor scaler`.
    #[arg(long, hide = true)]
    pub supervised: bool,
}

/// `quaestor move`. The configuration names both sides: `data.dir` the embedded one,
/// `data.database_url` and `data.objects_url` the distributed one.
#[derive(Debug, Args)]
pub struct MoveArguments {
    /// The configuration.
    #[command(flatten)]
    pub file: ConfigFile,
    /// Where the installation is to be: `distributed` takes it from the data folder to the
    /// database and the files that the configuration names, `embedded` brings it back.
    #[arg(long, value_enum)]
    pub to: MoveTo,
    /// Check that nothing is in the way, and print what would be moved.
    #[arg(long)]
    pub dry_run: bool,
    /// Empty the target first, where it holds an installation that was moved away.
    #[arg(long)]
    pub replace: bool,
    /// Give a move up: the source starts again. What has arrived of an unfinished move is
    /// removed; a finished one is kept, and no longer starts.
    #[arg(long, conflicts_with_all = ["dry_run", "replace"])]
    pub undo: bool,
    /// With --undo: there is no target any more.
    #[arg(long, requires = "undo")]
    pub target_is_gone: bool,
    /// The embedded store, where it is not in the data folder, such as `sqlite:/srv/q.db`.
    #[arg(long, value_name = "URL")]
    pub embedded_database: Option<String>,
    /// The embedded side's files, where they are not in the data folder, such as
    /// `file:/srv/objects`.
    #[arg(long, value_name = "URL")]
    pub embedded_objects: Option<String>,
    /// Print one JSON object at the end.
    #[arg(long, conflicts_with_all = ["undo", "dry_run"])]
    pub json: bool,
}

/// Where an installation is to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum MoveTo {
    /// In the data folder, for `quaestor serve`.
    Embedded,
    /// On services, for `quaestor front` and `quaestor worker`.
    Distributed,
}

/// `quaestor backup`. The configuration names what is backed up, where to and who may read it.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct BackupArguments {
    /// The configuration.
    #[command(flatten)]
    pub file: ConfigFile,
    /// Where to, such as `file:/srv/backups` or `s3://bucket/prefix`
    /// [default: backup.target_url].
    #[arg(long, value_name = "URL")]
    pub to: Option<String>,
    /// Leave it open: whoever reads it reads every document.
    #[arg(long)]
    pub unencrypted: bool,
    /// Print one JSON object at the end.
    #[arg(long)]
    pub json: bool,
    /// What else to do.
    #[command(subcommand)]
    pub action: Option<BackupAction>,
}

/// `quaestor backup …`.
#[derive(Debug, Subcommand)]
pub enum BackupAction {
    /// List the bundles, newest first.
    List {
        /// The configuration.
        #[command(flatten)]
        file: ConfigFile,
        /// Where they are [default: backup.target_url].
        #[arg(long, value_name = "URL")]
        from: Option<String>,
        /// Print a JSON object for each.
        #[arg(long)]
        json: bool,
    },
    /// Read a whole bundle and hold every row and file in it to its sum.
    Verify {
        /// The configuration.
        #[command(flatten)]
        file: ConfigFile,
        /// The bundle.
        #[command(flatten)]
        bundle: BundleArguments,
    },
}

/// `quaestor restore`. The configuration names the place, which must be empty.
#[derive(Debug, Args)]
pub struct RestoreArguments {
    /// The configuration.
    #[command(flatten)]
    pub file: ConfigFile,
    /// The bundle.
    #[command(flatten)]
    pub bundle: BundleArguments,
}

/// Which bundle, and with which key.
#[derive(Debug, Args)]
pub struct BundleArguments {
    /// A file, a name as `quaestor backup list` shows it, or `latest`.
    #[arg(value_name = "BUNDLE")]
    pub bundle: String,
    /// Where it is [default: backup.target_url].
    #[arg(long, value_name = "URL")]
    pub from: Option<String>,
    /// The file with the identity, as `age-keygen` writes it
    /// [env: QUAESTOR_BACKUP_IDENTITY_FILE].
    #[arg(long, value_name = "FILE")]
    pub identity: Option<PathBuf>,
    /// The bundle is not encrypted, and may be anybody's.
    #[arg(long)]
    pub unencrypted: bool,
    /// Print one JSON object at the end.
    #[arg(long)]
    pub json: bool,
}

/// `quaestor ingest`.
#[derive(Debug, Args)]
pub struct IngestArguments {
    /// The server.
    #[command(flatten)]
    pub connection: Connection,
    /// Files, and folders with all that is in them. Hidden ones are skipped.
    #[arg(required = true, value_name = "PATH")]
    pub paths: Vec<PathBuf>,
    /// The collection; made where it is missing.
    #[arg(long, value_name = "NAME", default_value = "default")]
    pub collection: String,
    /// Return when all is uploaded, without waiting until it is searchable.
    #[arg(long)]
    pub no_wait: bool,
}

/// `quaestor ask`.
#[derive(Debug, Args)]
pub struct AskArguments {
    /// The server.
    #[command(flatten)]
    pub connection: Connection,
    /// The question.
    pub question: String,
    /// Ask only this collection; may be given several times.
    #[arg(long, value_name = "NAME")]
    pub collection: Vec<String>,
    /// Go on with a conversation.
    #[arg(long, value_name = "ID", conflicts_with = "collection")]
    pub conversation: Option<ConversationId>,
    /// Print one JSON object when the answer is whole.
    #[arg(long)]
    pub json: bool,
}

/// `quaestor export …`.
#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("selection").required(true))]
pub struct ExportArguments {
    /// The server.
    #[command(flatten)]
    pub connection: Connection,
    /// A conversation, with its questions and answers.
    #[arg(long, value_name = "ID", group = "selection")]
    pub conversation: Option<ConversationId>,
    /// Some answers with their questions, between commas.
    #[arg(long, value_name = "ID,…", value_delimiter = ',', group = "selection")]
    pub answers: Vec<MessageId>,
    /// The tables of a collection, by its name.
    #[arg(long, value_name = "NAME", group = "selection")]
    pub collection: Option<String>,
    /// The tables of some documents, between commas.
    #[arg(long, value_name = "ID,…", value_delimiter = ',', group = "selection")]
    pub documents: Vec<DocumentId>,
    /// Answers: md, html, pdf, docx or json. Tables: csv, xlsx, md, html or json.
    #[arg(long)]
    pub format: ExportFormat,
    /// A template of the workspace, for pdf.
    #[arg(long, value_name = "NAME")]
    pub template: Option<String>,
    /// Where the file goes; under the server's name for it where this is left out.
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
}

/// `quaestor jobs …`.
#[derive(Debug, Subcommand)]
pub enum JobsAction {
    /// List jobs, newest first.
    List {
        /// Only those in this state.
        #[arg(long)]
        state: Option<JobState>,
        /// Only those of this kind: `chat`, `documents` or `exports`.
        #[arg(long)]
        kind: Option<JobKind>,
        /// At most so many.
        #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=10_000))]
        limit: u32,
    },
    /// Show one job.
    Show {
        /// The job.
        id: JobId,
    },
    /// Cancel a job.
    Cancel {
        /// The job.
        id: JobId,
    },
    /// Print a job's events as they come, until it ends.
    Watch {
        /// The job.
        id: JobId,
    },
}

/// `quaestor batches`.
#[derive(Debug, Subcommand)]
pub enum BatchesAction {
    /// Print batches, newest first.
    List {
        /// How many.
        #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..))]
        limit: u32,
    },
    /// Print how far a batch is, and what failed of it.
    Show {
        /// The batch.
        id: BatchId,
        /// Its files as well, each with its state.
        #[arg(long)]
        files: bool,
        /// Only its files in this state, such as `failed` or `dead`.
        #[arg(long, value_name = "STATE")]
        state: Option<JobState>,
    },
    /// Begin no file of a batch until it is resumed. What runs ends.
    Pause {
        /// The batch.
        id: BatchId,
    },
    /// Let a paused batch go on.
    Resume {
        /// The batch.
        id: BatchId,
    },
    /// End every unfinished file of a batch.
    Cancel {
        /// The batch.
        id: BatchId,
    },
    /// Queue the failed files of a batch again.
    RetryFailed {
        /// The batch.
        id: BatchId,
    },
}

/// Which dead letters.
#[derive(Clone, Debug, Default, Args)]
pub struct DeadSelection {
    /// Only those of this class of error, as `dead list --group` shows them.
    #[arg(long, value_name = "CODE")]
    pub code: Option<String>,
    /// Only those of this kind: `chat`, `documents`, `exports` or `message`.
    #[arg(long)]
    pub kind: Option<DeadKind>,
    /// Only those that died at this time or later, such as 2026-01-31T09:00:00Z.
    #[arg(long, value_name = "TIME")]
    pub since: Option<Time>,
}

/// `quaestor schedules …`.
#[derive(Debug, Subcommand)]
pub enum SchedulesAction {
    /// List them: when each is next due, and how it went the last time.
    List {
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
    /// Show the last runs of one.
    Runs {
        /// The schedule.
        name: String,
        /// At most so many.
        #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=10_000))]
        limit: u32,
        /// As JSON, with reports.
        #[arg(long)]
        json: bool,
    },
    /// Leave out what is due, until it is resumed.
    Pause {
        /// The schedule.
        name: String,
    },
    /// Go on from the next moment.
    Resume {
        /// The schedule.
        name: String,
    },
    /// Run it now, paused or not.
    Run {
        /// The schedule.
        name: String,
    },
    /// Put it at another time, whatever the configuration says.
    Set {
        /// The schedule.
        name: String,
        /// Five fields, such as '30 2 * * *'.
        #[arg(long, required_unless_present_any = ["zone", "missed"])]
        cron: Option<String>,
        /// A time zone, such as Europe/Zurich.
        #[arg(long)]
        zone: Option<String>,
        /// What is done about moments that passed while no worker was there: run_once or skip.
        #[arg(long)]
        missed: Option<String>,
    },
    /// Put it at the time that the configuration says.
    Reset {
        /// The schedule.
        name: String,
    },
}

/// `quaestor check`.
#[derive(Debug, Args)]
pub struct CheckArguments {
    /// The server.
    #[command(flatten)]
    pub connection: Connection,
    /// Have the vectors made that are missing. Nothing is ever removed.
    #[arg(long, conflicts_with = "last")]
    pub repair: bool,
    /// Show what the last check found, and begin none.
    #[arg(long)]
    pub last: bool,
    /// As JSON.
    #[arg(long)]
    pub json: bool,
}

/// `quaestor dead …`.
#[derive(Debug, Subcommand)]
pub enum DeadAction {
    /// List dead letters, those of the latest jobs first.
    List {
        /// Which.
        #[command(flatten)]
        selection: DeadSelection,
        /// Count them by class of error instead.
        #[arg(long)]
        group: bool,
        /// At most so many.
        #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=10_000))]
        limit: u32,
    },
    /// Show one with all that is kept of it.
    Show {
        /// The job, or the message.
        id: Uuid,
    },
    /// Try dead jobs again, from the step at which they died. One that is not dead any more is
    /// left alone.
    Replay {
        /// The jobs.
        ids: Vec<Uuid>,
        /// All of them, or of those that --code, --kind and --since leave.
        #[arg(long)]
        all: bool,
        /// Which.
        #[command(flatten)]
        selection: DeadSelection,
        /// How many begin in a minute [default: 60].
        #[arg(long, value_name = "PER_MINUTE", value_parser = clap::value_parser!(u32).range(1..=6_000))]
        rate: Option<u32>,
    },
    /// End dead jobs for good: they have failed, and leave the list.
    Discard {
        /// The jobs or messages.
        ids: Vec<Uuid>,
        /// All of them, or of those that --code, --kind and --since leave.
        #[arg(long)]
        all: bool,
        /// Which.
        #[command(flatten)]
        selection: DeadSelection,
    },
}

/// `quaestor reparse`.
#[derive(Debug, Args)]
pub struct ReparseArguments {
    /// The server.
    #[command(flatten)]
    pub connection: Connection,
    /// The collection's name; all collections where none is named.
    pub collection: Option<String>,
    /// Also documents that the parsers of now have read.
    #[arg(long)]
    pub all: bool,
    /// At most so many documents begin in a minute.
    #[arg(long, value_name = "DOCUMENTS")]
    pub per_minute: Option<u32>,
    /// Say how many documents there are, and start nothing.
    #[arg(long)]
    pub estimate: bool,
}

/// `quaestor reindex …`.
#[derive(Debug, Subcommand)]
pub enum ReindexAction {
    /// Build the next index generation beside the one that is searched, then switch to it.
    Start {
        /// The collection's name.
        collection: String,
        /// The model that makes the vectors; the server's first where none is named.
        #[arg(long)]
        model: Option<String>,
        /// Cut all passages anew, aiming at so many characters.
        #[arg(long, value_name = "CHARACTERS")]
        chunk_chars: Option<u32>,
        /// With `--chunk-chars`: the longest passage; half as long again where it is left out.
        #[arg(long, value_name = "CHARACTERS", requires = "chunk_chars")]
        chunk_max_chars: Option<u32>,
        /// At most so many passages a minute.
        #[arg(long, value_name = "PASSAGES")]
        per_minute: Option<u32>,
        /// Say what it would take, and start nothing.
        #[arg(long)]
        estimate: bool,
        /// Return at once instead of waiting for the end.
        #[arg(long)]
        no_wait: bool,
    },
    /// Show the index generations of a collection.
    Status {
        /// The collection's name.
        collection: String,
    },
    /// Pause the building of the next one.
    Pause {
        /// The collection's name.
        collection: String,
    },
    /// Go on with it.
    Resume {
        /// The collection's name.
        collection: String,
    },
    /// Cancel it, and drop what was built.
    Cancel {
        /// The collection's name.
        collection: String,
    },
    /// Search the former generation again, at once.
    Rollback {
        /// The collection's name.
        collection: String,
    },
    /// Drop the former generation: then there is no way back to it.
    DropFormer {
        /// The collection's name.
        collection: String,
    },
}

/// `quaestor key …`.
#[derive(Debug, Subcommand)]
pub enum KeyAction {
    /// Make a key. It is printed this once, alone on standard output.
    Create {
        /// Its name, for people.
        name: String,
        /// What it may do.
        #[arg(long, value_enum, default_value_t = KeyRole::Member)]
        role: KeyRole,
    },
    /// List the keys.
    List,
    /// Revoke a key: it stops working within seconds.
    Revoke {
        /// The key's id, as `key list` shows it.
        id: KeyId,
    },
}

/// What a key may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum KeyRole {
    /// Reads documents, asks questions.
    Viewer,
    /// Also uploads and deletes.
    Member,
    /// Also manages keys and the installation.
    Admin,
    /// Reads the audit log, usage and jobs, and nothing else.
    Auditor,
}

impl From<KeyRole> for Role {
    fn from(role: KeyRole) -> Self {
        match role {
            KeyRole::Viewer => Self::Viewer,
            KeyRole::Member => Self::Member,
            KeyRole::Admin => Self::Admin,
            KeyRole::Auditor => Self::Auditor,
        }
    }
}

/// `quaestor audit …`.
#[derive(Debug, Subcommand)]
pub enum AuditAction {
    /// Check every link of the chain, and print where it ends; ends with 1 where it is broken.
    Verify {
        /// A link that was printed before and kept elsewhere, as NUMBER:HASH: it must still
        /// be there. What shows that the whole chain was made anew.
        #[arg(long, value_name = "NUMBER:HASH")]
        kept: Vec<KeptLink>,
        /// Print one JSON object.
        #[arg(long)]
        json: bool,
    },
}

/// A number and a hash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptLink {
    /// The number.
    pub number: u64,
    /// The hash.
    pub hash: SealHash,
}

impl std::str::FromStr for KeptLink {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const WANTED: &str = "a link is a number and its hash, such as 120:9f86d0…";
        let (number, hash) = text.split_once(':').ok_or(WANTED)?;
        let number = number.parse().ok().filter(|number| *number > 0).ok_or(WANTED)?;
        Ok(Self { number, hash: hash.parse().map_err(|_| WANTED)? })
    }
}

/// `quaestor topology …`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Subcommand)]
pub enum TopologyAction {
    /// Say whether the broker is as it should be; ends with 1 where it is not.
    Check,
    /// Print what differs, one difference a line; ends with 1 where anything does.
    Diff,
    /// Make what is missing and set policies right; the second time, nothing is done.
    Apply,
}

/// `quaestor demo`.
#[derive(Debug, Args)]
pub struct DemoArguments {
    /// Keep the documents and the data in this folder, which must be empty or missing.
    #[arg(long, value_name = "DIR")]
    pub keep: Option<PathBuf>,
}

/// `quaestor eval`.
#[derive(Debug, Args)]
pub struct EvalArguments {
    /// The configuration: its models are measured, its data is left alone.
    #[command(flatten)]
    pub file: ConfigFile,
    /// The folder: corpus.jsonl, queries.jsonl and qrels/*.tsv.
    #[arg(value_name = "DATASET")]
    pub dataset: PathBuf,
    /// Search for at most so many queries of each set, evenly chosen.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub queries: Option<u32>,
    /// Also ask so many questions of each set and score the answers' citations and figures.
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u32).range(..=10_000))]
    pub answers: u32,
    /// Keep vectors in this folder between runs [default: quaestor/eval in the user's cache].
    #[arg(long, value_name = "DIR")]
    pub cache: Option<PathBuf>,
    /// Print one JSON object.
    #[arg(long)]
    pub json: bool,
}
