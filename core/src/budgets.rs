//! May a principal spend? Asked when a question is accepted, and again before a model is.
//!
//! Where nobody has set a budget this costs nothing: which workspaces have some is known
//! for a few seconds, and asked once for all of them. Where there is one, it is read with
//! what was spent in one round trip. What runs at the moment is not counted before it has
//! ended, so a budget may be overspent by that much.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::clock::{Clock, Time};
use crate::ids::{PrincipalId, WorkspaceId};
use crate::model::{Allowance, Budget, Days, Whose, allowance};
use crate::ports::store::{Store, StoreError};

/// How long it is good for which workspaces have budgets of their own. A budget that
/// another process was told of counts from then on at the latest.
const GOOD_FOR: Duration = Duration::from_secs(5);
/// Workspaces with budgets of their own that are known by name. Where there are more,
/// everybody's are read.
const KNOWN: u32 = 10_000;

/// The budgets that hold where none was set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DefaultBudgets {
    /// Of a whole workspace.
    pub workspace: Budget,
    /// Of a principal.
    pub principal: Budget,
}

/// Looks after budgets. Cheap to clone; clones know the same.
#[derive(Clone, Debug)]
pub struct Budgets {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    defaults: DefaultBudgets,
    known: Arc<Mutex<Option<Known>>>,
}

#[derive(Debug)]
struct Known {
    until: Time,
    /// None where there are too many to know them by name.
    workspaces: Option<HashSet<WorkspaceId>>,
}

impl Budgets {
    /// Budgets over a store.
    #[must_use]
    pub fn new(store: Arc<dyn Store>, clock: Arc<dyn Clock>, defaults: DefaultBudgets) -> Self {
        Self { store, clock, defaults, known: Arc::default() }
    }

    /// Whether the principal may spend.
    ///
    /// # Errors
    /// Where the store cannot say.
    pub async fn allowance(
        &self,
        workspace: WorkspaceId,
        principal: PrincipalId,
    ) -> Result<Allowance, StoreError> {
        let defaults = &self.defaults;
        let by_default = defaults.workspace.limits() || defaults.principal.limits();
        if !by_default && !self.has_own(workspace).await? {
            return Ok(Allowance::Within);
        }
        let now = self.clock.now();
        let found = self.store.spending(workspace, principal, Days::of(now)).await?;
        let budgets = [
            (Whose::Workspace, found.workspace_budget, defaults.workspace, found.workspace),
            (Whose::Principal, found.principal_budget, defaults.principal, found.principal),
        ];
        let budgets =
            budgets.map(|(whose, own, default, spent)| (whose, own.unwrap_or(default), spent));
        Ok(allowance(now, &budgets))
    }

    /// Forgets which workspaces have budgets: one was set or removed.
    pub fn forget(&self) {
        *self.known() = None;
    }

    async fn has_own(&self, workspace: WorkspaceId) -> Result<bool, StoreError> {
        let now = self.clock.now();
        let has = |known: &Known| {
            known.workspaces.as_ref().is_none_or(|workspaces| workspaces.contains(&workspace))
        };
        if let Some(known) = self.known().as_ref().filter(|known| known.until > now) {
            return Ok(has(known));
        }
        let found = self.store.workspaces_with_budgets(KNOWN).await?;
        let all_known = u32::try_from(found.len()).is_ok_and(|found| found < KNOWN);
        let known = Known {
            until: now + GOOD_FOR,
            workspaces: all_known.then(|| found.into_iter().collect()),
        };
        let answer = has(&known);
        *self.known() = Some(known);
        Ok(answer)
    }

    fn known(&self) -> std::sync::MutexGuard<'_, Option<Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
