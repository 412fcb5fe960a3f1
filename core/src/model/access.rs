//! Who may do what: workspaces, principals, roles and API keys.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::clock::Time;
use crate::ids::{KeyId, PrincipalId, WorkspaceId};

/// A tenant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Workspace {
    /// Its id.
    pub id: WorkspaceId,
    /// Its name, for people.
    pub name: String,
    /// When it was made.
    pub created_at: Time,
}

/// What a principal may do. Each role but `auditor` may do what the one before may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Reads documents, asks questions.
    Viewer,
    /// Also uploads and deletes.
    Member,
    /// Also manages keys and the installation.
    Admin,
    /// Reads the audit log, usage and jobs, and nothing else.
    Auditor,
}

impl Role {
    /// Every role there is.
    pub const ALL: [Self; 4] = [Self::Viewer, Self::Member, Self::Admin, Self::Auditor];

    /// The name in rows and JSON.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Member => "member",
            Self::Admin => "admin",
            Self::Auditor => "auditor",
        }
    }

    /// Whether the role may read documents and ask questions.
    #[must_use]
    pub fn may_read(self) -> bool {
        !matches!(self, Self::Auditor)
    }

    /// Whether the role may upload, change and delete.
    #[must_use]
    pub fn may_write(self) -> bool {
        matches!(self, Self::Member | Self::Admin)
    }

    /// Whether the role may manage keys and the installation.
    #[must_use]
    pub fn may_administer(self) -> bool {
        matches!(self, Self::Admin)
    }

    /// Whether the role may see every principal's jobs, the usage and the audit log.
    #[must_use]
    pub fn may_audit(self) -> bool {
        matches!(self, Self::Admin | Self::Auditor)
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Role {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|role| role.as_str() == name)
            .ok_or_else(|| format!("no role is named {name:?}: viewer, member, admin or auditor"))
    }
}

/// The principal behind a request, known after authentication.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Caller {
    /// The tenant it belongs to.
    pub workspace_id: WorkspaceId,
    /// Who it is.
    pub principal_id: PrincipalId,
    /// What it may do.
    pub role: Role,
    /// The key it came with.
    pub key_id: KeyId,
}

/// An API key as it is shown: never its secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApiKey {
    /// Its row.
    pub id: KeyId,
    /// The principal that acts with it.
    pub principal_id: PrincipalId,
    /// Its name, for people.
    pub name: String,
    /// What it may do.
    pub role: Role,
    /// The public part that finds the row.
    pub prefix: String,
    /// When it was made.
    pub created_at: Time,
    /// When it was revoked, if it was.
    pub revoked_at: Option<Time>,
}

/// What authentication needs of a key.
#[derive(Clone)]
pub struct StoredKey {
    /// The tenant.
    pub workspace_id: WorkspaceId,
    /// The key.
    pub key: ApiKey,
    /// SHA-256 of the secret part.
    pub secret_sha256: [u8; 32],
}

impl fmt::Debug for StoredKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoredKey")
            .field("workspace_id", &self.workspace_id)
            .field("key", &self.key)
            .finish_non_exhaustive()
    }
}
