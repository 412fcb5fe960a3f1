//! Why the store could not do what was asked.

/// A failure of the store. What is merely not there is `None`, not an error.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// A later claim holds the job, or it has ended: the caller must stop and write nothing.
    #[error("the claim on the job is stale")]
    Fenced,
    /// A row with the same unique value exists.
    #[error("there is already {what}")]
    Conflict {
        /// With an article: `a collection of this name`.
        what: &'static str,
    },
    /// The store is busy or away; the same call may succeed later.
    #[error("the store could not {action} now")]
    Unavailable {
        /// What was attempted: `accept a question`.
        action: &'static str,
        /// The cause.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A row holds what this program cannot read.
    #[error("the store holds a {what} that cannot be read")]
    Corrupt {
        /// The kind of row.
        what: &'static str,
        /// The cause.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The call failed and will fail again.
    #[error("the store could not {action}")]
    Failed {
        /// What was attempted.
        action: &'static str,
        /// The cause.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}
