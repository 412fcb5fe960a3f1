//! What models cost: requests to providers, what was spent, budgets.
//!
//! Each request is a row, written in the transaction that ends what it was made for, and
//! added up there to what its principal has spent that day.

use async_trait::async_trait;
use chrono::NaiveDate;
use serde::{Deserialize, Serialize};

use super::{NewAuditEntry, StoreError};
use crate::clock::Time;
use crate::ids::{JobId, PrincipalId, WorkspaceId};
use crate::model::{Budget, Days, SetBudget, Spent};
use crate::ports::model_call::{BegunCall, ModelCall};

/// What requests were made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CallsOf {
    /// Who asked.
    pub principal_id: PrincipalId,
    /// The job and its attempt; none where there was none, as for a search.
    pub job: Option<(JobId, u32)>,
}

/// What was spent, and what may be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Spending {
    /// By all of the workspace's principals together.
    pub workspace: Spent,
    /// By the principal.
    pub principal: Spent,
    /// The workspace's budget, where one was set.
    pub workspace_budget: Option<Budget>,
    /// The principal's, where one was set.
    pub principal_budget: Option<Budget>,
}

/// What a report of usage is parted by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UsageBy {
    /// The day, of UTC.
    Day,
    /// The model.
    Model,
    /// The principal.
    Principal,
}

impl UsageBy {
    /// Every way there is.
    pub const ALL: [Self; 3] = [Self::Day, Self::Model, Self::Principal];

    /// The name in requests.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Day => "day",
            Self::Model => "model",
            Self::Principal => "principal",
        }
    }
}

impl std::str::FromStr for UsageBy {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|by| by.as_str() == name)
            .ok_or_else(|| format!("usage is told by day, model or principal, not by {name:?}"))
    }
}

/// A part of a report of usage.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct UsagePart {
    /// The day, where the report is by days.
    pub day: Option<NaiveDate>,
    /// `provider:model`, where it is by models.
    pub model: Option<String>,
    /// `chat`, `embed` or `rerank`, where it is by models.
    pub operation: Option<String>,
    /// The principal, where it is by principals.
    pub principal_id: Option<PrincipalId>,
    /// Requests that were sent to providers.
    pub calls: u64,
    /// Of these, those that failed or were cut.
    pub failed_calls: u64,
    /// Tokens that were sent.
    pub input_tokens: u64,
    /// Of these, those that providers had kept.
    pub cached_tokens: u64,
    /// Tokens that were written.
    pub output_tokens: u64,
    /// Millionths of the currency that prices are configured in.
    pub cost_micros: u64,
}

/// Requests to providers, what was spent, and budgets.
#[async_trait]
pub trait Money: Send + Sync {
    /// Writes a request down that is about to be sent. Whoever writes what came of it takes it
    /// away again; of what nobody writes, [`super::Installation::settle_lost_calls`] does.
    async fn begin_call(
        &self,
        workspace: WorkspaceId,
        of: CallsOf,
        call: BegunCall,
    ) -> Result<(), StoreError>;

    /// Writes requests that no job's end is written with: what a search's question was
    /// embedded by, and those of a claim that is stale by now.
    async fn save_calls(
        &self,
        workspace: WorkspaceId,
        of: CallsOf,
        calls: &[ModelCall],
    ) -> Result<(), StoreError>;

    /// What was spent on a day and in its month, and the budgets that were set.
    async fn spending(
        &self,
        workspace: WorkspaceId,
        principal: PrincipalId,
        days: Days,
    ) -> Result<Spending, StoreError>;

    /// The budgets that were set, the workspace's first, at most 1,000, with what was spent.
    async fn list_budgets(
        &self,
        workspace: WorkspaceId,
        days: Days,
    ) -> Result<Vec<SetBudget>, StoreError>;

    /// Sets a principal's budget, or the workspace's. False where there is no such principal.
    async fn create_budget(
        &self,
        workspace: WorkspaceId,
        principal: Option<PrincipalId>,
        budget: Budget,
        audit: NewAuditEntry,
    ) -> Result<bool, StoreError>;

    /// Removes a budget, where one was set: from now on the configuration's holds. False
    /// where there is no such principal.
    async fn delete_budget(
        &self,
        workspace: WorkspaceId,
        principal: Option<PrincipalId>,
        audit: NewAuditEntry,
    ) -> Result<bool, StoreError>;

    /// What was used from one moment until before another, at most 1,000 parts: by days in
    /// their order, else the dearest first.
    async fn usage(
        &self,
        workspace: WorkspaceId,
        by: UsageBy,
        from: Time,
        until: Time,
    ) -> Result<Vec<UsagePart>, StoreError>;
}
