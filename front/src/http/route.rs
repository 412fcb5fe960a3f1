//! What is known of a route before it is called: who may, what it reads, what ids it takes.

use axum::routing::MethodRouter;
use quaestor_core::model::Role;

use crate::app::App;

/// The methods that routes have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Verb {
    /// Reads.
    Get,
    /// Makes or starts.
    Post,
    /// Sets.
    Put,
    /// Changes.
    Patch,
    /// Removes.
    Delete,
}

impl Verb {
    /// The method's name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Patch => "PATCH",
            Self::Delete => "DELETE",
        }
    }
}

/// Who may call a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Access {
    /// Everybody, without a key.
    Open,
    /// Whoever connects from this machine; from elsewhere as [`Access::Audit`].
    Local,
    /// Every role, by a key or by a ticket that the route itself redeems.
    Socket,
    /// Every role.
    Any,
    /// Roles that read documents and ask: viewer, member, admin.
    Read,
    /// Roles that change documents: member, admin.
    Write,
    /// Admin alone.
    Administer,
    /// Roles that see the audit log: admin, auditor.
    Audit,
}

impl Access {
    /// Whether a role passes.
    #[must_use]
    pub fn allows(self, role: Role) -> bool {
        match self {
            Self::Open | Self::Any | Self::Socket => true,
            Self::Read => role.may_read(),
            Self::Write => role.may_write(),
            Self::Administer => role.may_administer(),
            Self::Local | Self::Audit => role.may_audit(),
        }
    }

    /// The roles that pass, for people.
    #[must_use]
    pub fn roles(self) -> &'static str {
        match self {
            Self::Open | Self::Any | Self::Socket => "any role",
            Self::Read => "viewer, member or admin",
            Self::Write => "member or admin",
            Self::Administer => "admin",
            Self::Local | Self::Audit => "admin or auditor",
        }
    }
}

/// What a route reads of the body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyKind {
    /// Nothing; a body that comes is not read.
    None,
    /// A JSON object of this schema of the OpenAPI document.
    Json(&'static str),
    /// Files.
    Multipart,
}

/// What an id names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum IdOf {
    /// A collection.
    Collection,
    /// A document.
    Document,
    /// A conversation.
    Conversation,
    /// A message.
    Message,
    /// A batch.
    Batch,
    /// A job.
    Job,
    /// An API key.
    Key,
    /// A principal.
    Principal,
    /// An export.
    Export,
    /// A dead letter: the job's id, or a message's own.
    DeadLetter,
    /// An assistant; there are none yet.
    Assistant,
}

/// Where an id stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Place {
    /// In the path.
    Path,
    /// After the `?`.
    Query,
    /// A field of the body.
    Body,
    /// An item of a list in the body; dots lead into objects.
    BodyList,
}

/// An id that a route takes. Another's id must answer as a missing one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IdParam {
    /// The parameter's or field's name.
    pub name: &'static str,
    /// Where it stands.
    pub place: Place,
    /// What it names.
    pub of: IdOf,
}

/// The quota that a route counts against.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RateClass {
    /// Not counted: it is cheap and open.
    Open,
    /// Lists and single things.
    Read,
    /// Changes.
    Write,
    /// Questions.
    Ask,
    /// Searches.
    Search,
    /// Uploads.
    Upload,
    /// Keys, budgets, usage and the audit log.
    Admin,
    /// Tickets and sockets.
    Socket,
}

/// The form of a parameter after the `?`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QueryKind {
    /// A UUID.
    Id,
    /// A number of at least 1.
    Number,
    /// Text.
    Text,
    /// One of these names.
    OneOf(&'static [&'static str]),
}

/// A parameter after the `?`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueryParam {
    /// Its name.
    pub name: &'static str,
    /// Its form.
    pub kind: QueryKind,
    /// What it does.
    pub about: &'static str,
}

/// What a route answers when all is well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// JSON of this schema.
    Json(u16, &'static str),
    /// A list of this schema: `{items, next}`.
    List(&'static str),
    /// No body.
    Empty(u16),
    /// Something else of this media type.
    Other(u16, &'static str),
}

impl Answer {
    /// The status.
    #[must_use]
    pub fn status(self) -> u16 {
        match self {
            Self::Json(status, _) | Self::Empty(status) | Self::Other(status, _) => status,
            Self::List(_) => 200,
        }
    }
}

/// An entry of the route table. The router, the OpenAPI document and the isolation test
/// are made from it, so that no route is without one.
#[derive(Clone, Copy, Debug)]
pub struct Route {
    /// The method.
    pub verb: Verb,
    /// The path, with `{id}` for its id.
    pub path: &'static str,
    /// The operation's id in the OpenAPI document; unique.
    pub operation: &'static str,
    /// One line on what it does.
    pub summary: &'static str,
    /// What the path's id names, for people.
    pub noun: &'static str,
    /// Who may call it.
    pub access: Access,
    /// What it reads of the body.
    pub body: BodyKind,
    /// The names in its path that are no ids.
    pub names: &'static [&'static str],
    /// The ids it takes.
    pub ids: &'static [IdParam],
    /// Its parameters.
    pub query: &'static [QueryParam],
    /// The quota it counts against.
    pub rate: RateClass,
    /// Whether it takes an `Idempotency-Key`.
    pub idempotent: bool,
    /// What it answers.
    pub answer: Answer,
    pub(crate) handler: fn() -> MethodRouter<App>,
}
