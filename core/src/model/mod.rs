//! The things Quaestor keeps, as clients see them and as the store hands them out.

mod access;
mod batch;
mod budget;
mod check;
mod collection;
mod conversation;
mod document;
mod export;
mod failure;
mod job;
mod page;
mod passage;
mod presence;
mod provider;
mod reason;
mod schedule;

pub use access::{ApiKey, Caller, Role, StoredKey, Workspace};
pub use batch::{
    Batch, BatchCounts, BatchExample, BatchItem, BatchProblem, BatchState, BatchSummary,
    RATE_WINDOW_S, rate, time_left,
};
pub use budget::{Allowance, Budget, Days, OverBudget, Period, SetBudget, Spent, Whose, allowance};
pub use check::{CheckReport, Checked, EXAMPLES, Finding, FindingExample, FindingKind};
pub use collection::{Chunking, Collection, Generation, GenerationState};
pub use conversation::{
    Citation, Conversation, Derivation, DerivationKind, Figure, FigureReason, FigureSource,
    FigureStatus, Message, MessageRole, MessageState, Usage,
};
pub use document::{Document, DocumentStatus, StoredObject};
pub use export::{
    Export, ExportFile, ExportFormat, ExportSelection, ExportTemplate, LinkKey, TemplateName,
    TemplateVersion,
};
pub use failure::Failure;
pub use job::{Job, JobState, LastError};
pub use page::{Cursor, DEFAULT_PAGE, MAX_PAGE, Page, PageRequest};
pub use passage::{Passage, StoredPage};
pub use presence::{Taking, WORKERS_TOPIC};
pub use provider::{PROVIDERS_TOPIC, ProviderStatus};
pub use reason::Reason;
pub use schedule::{BACKUP, CHECK, RunState, Schedule, ScheduleRun, Timing};
