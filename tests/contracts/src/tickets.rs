//! What every backend of tickets must do.

use std::time::Duration;

use quaestor_core::clock::ManualClock;
use quaestor_core::ids::{KeyId, PrincipalId, WorkspaceId};
use quaestor_core::model::{Caller, Role};
use quaestor_core::ports::tickets::Tickets;
use uuid::Uuid;

/// Makes one test of each case. The factory is an async function that gives a backend
/// (anything that is `Tickets`) and the clock that it goes by.
#[macro_export]
macro_rules! tickets_contract {
    ($($factory:tt)+) => {
        $crate::contract_cases!(
            tickets,
            {$($factory)+},
            [
                a_ticket_stands_for_its_caller_once,
                an_old_ticket_stands_for_nobody,
                an_unknown_ticket_stands_for_nobody,
            ]
        );
    };
}

const TTL: Duration = Duration::from_secs(30);

fn caller(number: u128) -> Caller {
    Caller {
        workspace_id: WorkspaceId(Uuid::from_u128(1)),
        principal_id: PrincipalId(Uuid::from_u128(number)),
        role: Role::Member,
        key_id: KeyId(Uuid::from_u128(3)),
    }
}

/// Case.
pub async fn a_ticket_stands_for_its_caller_once((tickets, _): &(impl Tickets, ManualClock)) {
    tickets.keep("one", caller(1), TTL).await;
    tickets.keep("two", caller(2), TTL).await;
    assert_eq!(tickets.redeem("two").await, Some(caller(2)));
    assert_eq!(tickets.redeem("two").await, None);
    assert_eq!(tickets.redeem("one").await, Some(caller(1)));
}

/// Case.
pub async fn an_old_ticket_stands_for_nobody((tickets, clock): &(impl Tickets, ManualClock)) {
    tickets.keep("one", caller(1), TTL).await;
    clock.advance(TTL);
    assert_eq!(tickets.redeem("one").await, None);
}

/// Case.
pub async fn an_unknown_ticket_stands_for_nobody((tickets, _): &(impl Tickets, ManualClock)) {
    assert_eq!(tickets.redeem("").await, None);
    assert_eq!(tickets.redeem("one").await, None);
}
