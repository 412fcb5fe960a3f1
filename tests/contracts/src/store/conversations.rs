//! Conversations: private to their principal.

#![expect(missing_docs, reason = "the name of a case is what it promises")]

use quaestor_core::model::{JobState, MessageRole, PageRequest};
use quaestor_core::ports::store::NewConversation;

use super::Fixture;
use super::fixture::LEASE;

pub async fn conversations_are_private_and_listed_newest_first(f: Fixture) {
    let (first, second) = (f.conversation().await, f.conversation().await);
    let page = PageRequest { limit: 1, after: None };
    let list = async |principal, page| {
        f.store.list_conversations(f.workspace, principal, page).await.expect("read")
    };
    let newest = list(f.principal, page).await;
    assert_eq!((newest.items[0].id, newest.items.len()), (second, 1));
    let rest = list(f.principal, PageRequest { limit: 1, after: newest.next }).await;
    assert_eq!((rest.items[0].id, rest.next), (first, None));

    let stranger = f.id();
    assert!(list(stranger, page).await.items.is_empty());
    let store = &f.store;
    let seen = store.conversation(f.workspace, stranger, first).await.expect("read");
    assert!(seen.is_none());
    let seen = store.list_messages(f.workspace, stranger, first, page).await.expect("read");
    assert!(seen.is_none());
    let asked = f.ask(first, "why?").await;
    let seen = store.message(f.workspace, stranger, asked.message_id).await.expect("read");
    assert!(seen.is_none());
    let audit = f.audit("conversation.delete");
    let deleted = store.delete_conversation(f.workspace, stranger, first, f.now(), audit).await;
    assert!(!deleted.expect("answered"));
    assert!(store.conversation(f.workspace, f.principal, first).await.expect("read").is_some());
}

pub async fn a_conversation_over_an_unknown_collection_is_refused(f: Fixture) {
    let filings = f.collection("filings").await;
    let conversation = NewConversation {
        id: f.id(),
        principal_id: f.principal,
        title: None,
        collection_ids: Some(vec![filings, f.id()]),
        created_at: f.now(),
    };
    let made = f.store.create_conversation(f.workspace, conversation).await.expect("answered");
    assert!(made.is_none());
    let page = PageRequest::default();
    let list = f.store.list_conversations(f.workspace, f.principal, page).await.expect("read");
    assert!(list.items.is_empty());
}

pub async fn the_first_question_gives_the_title(f: Fixture) {
    let conversation = f.conversation().await;
    let read = async || {
        let found = f.store.conversation(f.workspace, f.principal, conversation).await;
        found.expect("read").expect("there")
    };
    assert_eq!(read().await.title, None);
    f.pass(LEASE);
    let long = "ä".repeat(200);
    f.ask(conversation, &long).await;
    let after = read().await;
    assert_eq!(after.title, Some("ä".repeat(80)));
    assert_eq!(after.updated_at, f.now());
    assert!(after.created_at < after.updated_at);
    f.ask(conversation, "another").await;
    assert_eq!(read().await.title, Some("ä".repeat(80)));
}

pub async fn messages_are_listed_oldest_first_in_pages(f: Fixture) {
    let conversation = f.conversation().await;
    let first = f.ask(conversation, "one?").await;
    let second = f.ask(conversation, "two?").await;
    let list = async |after| {
        let page = PageRequest { limit: 3, after };
        let list = f.store.list_messages(f.workspace, f.principal, conversation, page).await;
        list.expect("read").expect("there")
    };
    let page = list(None).await;
    let ids: Vec<_> = page.items.iter().map(|message| message.id).collect();
    assert_eq!(ids, [first.message_id, first.answer_id, second.message_id]);
    assert_eq!(page.items[0].role, MessageRole::User);
    assert_eq!(page.items[1].role, MessageRole::Assistant);
    let rest = list(page.next).await;
    assert_eq!((rest.items[0].id, rest.next), (second.answer_id, None));
}

pub async fn a_deleted_conversation_cancels_its_jobs(f: Fixture) {
    let conversation = f.conversation().await;
    let held = f.ask(conversation, "one?").await;
    let claim = f.claim(held.job_id).await.claim;
    let queued = f.ask(conversation, "two?").await;
    let audit = f.audit("conversation.delete");
    let deleted =
        f.store.delete_conversation(f.workspace, f.principal, conversation, f.now(), audit).await;
    assert!(deleted.expect("answered"));
    for job in [held.job_id, queued.job_id] {
        let job = f.store.job(f.workspace, None, job).await.expect("read").expect("there");
        assert_eq!(job.state, JobState::Cancelled);
        assert!(f.message_of(job.id).await.is_none());
    }
    let late = f.store.cancel(f.workspace, &claim, &[], f.now()).await;
    assert!(matches!(late, Err(quaestor_core::ports::store::StoreError::Fenced)), "{late:?}");
    let context = f.store.question_context(f.workspace, held.message_id, held.answer_id, 3).await;
    assert!(context.expect("read").is_none());
    let gone = f.store.message(f.workspace, f.principal, held.message_id).await;
    assert!(gone.expect("read").is_none());
}
