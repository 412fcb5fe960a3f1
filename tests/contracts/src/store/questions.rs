//! Questions and answers: acceptance, context, grounding, results, judgements.

#![expect(missing_docs, reason = "the name of a case is what it promises")]

use quaestor_core::ids::{ChunkId, ConversationId};
use quaestor_core::jobs::{ChatPayload, Step};
use quaestor_core::model::{Figure, FigureStatus, JobState, MessageState, PageRequest, Usage};
use quaestor_core::ports::store::{
    AcceptedQuestion, Answer, Claim, IdempotencyKey, JobFilter, NewFeedback, NewUsage,
    RetrievedPassage, StoreError, UnfinishedAnswer,
};
use quaestor_core::problem::Problem;

use super::Fixture;
use super::fixture::LEASE;

const USAGE: Usage = Usage { input_tokens: 10, output_tokens: 5, cost_micros: 7, cached_tokens: 0 };

fn answer(content: &str) -> Answer {
    Answer {
        content: content.to_owned(),
        citations: vec![],
        figures: vec![Figure::new("7", FigureStatus::Unsupported, None)],
        model: "offline:extract".to_owned(),
        usage: USAGE,
        calls: vec![],
    }
}

async fn answered(f: &Fixture, conversation: ConversationId, question: &str) -> AcceptedQuestion {
    let asked = f.ask(conversation, question).await;
    let claim = f.claim(asked.job_id).await.claim;
    let text = format!("answer to {question}");
    f.store
        .save_answer(f.workspace, &claim, asked.answer_id, answer(&text), f.now())
        .await
        .expect("stored");
    asked
}

pub async fn a_conversation_tells_its_unfinished_jobs(f: Fixture) {
    let conversation = f.conversation().await;
    let unfinished = async |principal| {
        f.store.unfinished_jobs(f.workspace, principal, conversation).await.expect("read")
    };
    answered(&f, conversation, "why?").await;
    assert!(unfinished(f.principal).await.is_empty());
    let first = f.ask(conversation, "when?").await.job_id;
    let second = f.ask(conversation, "who?").await.job_id;
    f.ask(f.conversation().await, "where?").await;
    f.claim(second).await;
    assert_eq!(unfinished(f.principal).await, [first, second]);
    assert!(unfinished(f.id()).await.is_empty(), "another principal's");
    let elsewhere = f.store.unfinished_jobs(f.id(), f.principal, conversation).await;
    assert!(elsewhere.expect("read").is_empty(), "another workspace's");
}

pub async fn a_question_makes_a_pending_answer_and_a_message(f: Fixture) {
    let conversation = f.conversation().await;
    let asked = f.ask(conversation, "why?").await;
    let read = async |id| {
        f.store.message(f.workspace, f.principal, id).await.expect("read").expect("there")
    };
    let question = read(asked.message_id).await;
    assert_eq!((question.state, question.content.as_str()), (MessageState::Done, "why?"));
    let pending = read(asked.answer_id).await;
    assert_eq!((pending.state, pending.content.as_str()), (MessageState::Pending, ""));
    assert_eq!((pending.usage, pending.model, pending.conversation_id), (None, None, conversation));
    let message = f.message_of(asked.job_id).await.expect("a message");
    assert_eq!(message.envelope.step, Step::ChatRetrieve);
    assert_eq!(message.envelope.principal_id, f.principal);
    let payload: ChatPayload = serde_json::from_value(message.envelope.payload).expect("a payload");
    assert_eq!(payload.answer_id, asked.answer_id);
    let job = f.store.job(f.workspace, None, asked.job_id).await.expect("read").expect("there");
    assert_eq!(job.subject_id, asked.answer_id.uuid());
    let audit = f.store.list_audit(f.workspace, PageRequest::default()).await.expect("read");
    assert_eq!(audit.items[0].action, "question.ask");
}

pub async fn a_question_in_no_conversation_leaves_nothing(f: Fixture) {
    let conversation = f.conversation().await;
    let missing = f.question(f.id(), "why?");
    let mut foreign = f.question(conversation, "why?");
    foreign.principal_id = f.id();
    for question in [missing, foreign] {
        let accepted = f.store.accept_question(f.workspace, question).await.expect("answered");
        assert!(accepted.is_none());
    }
    let page = PageRequest::default();
    let jobs = f.store.list_jobs(f.workspace, JobFilter::default(), page).await.expect("read");
    assert!(jobs.items.is_empty());
    assert!(f.store.list_audit(f.workspace, page).await.expect("read").items.is_empty());
}

pub async fn a_question_is_accepted_once_under_its_key(f: Fixture) {
    let conversation = f.conversation().await;
    let keyed = || {
        let mut question = f.question(conversation, "why?");
        question.idempotency = Some(IdempotencyKey {
            principal_id: f.principal,
            key: "k".to_owned(),
            request_sha256: [9; 32],
            created_at: f.now(),
        });
        question
    };
    let first = f.store.accept_question(f.workspace, keyed()).await.expect("accepted");
    let second = f.store.accept_question(f.workspace, keyed()).await;
    assert!(matches!(second, Err(StoreError::Conflict { .. })), "{second:?}");
    let kept = f.store.remembered(f.workspace, f.principal, "k").await.expect("read");
    let expected = serde_json::to_value(first.expect("accepted")).expect("JSON");
    assert_eq!(kept.expect("kept").response, expected);
    let page = PageRequest::default();
    let list = f.store.list_messages(f.workspace, f.principal, conversation, page).await;
    assert_eq!(list.expect("read").expect("there").items.len(), 2);
}

pub async fn questions_under_one_key_at_once_have_one_effect(f: Fixture) {
    let conversation = f.conversation().await;
    let questions = (0..16).map(|_| {
        let mut question = f.question(conversation, "why?");
        question.idempotency = Some(IdempotencyKey {
            principal_id: f.principal,
            key: "k".to_owned(),
            request_sha256: [9; 32],
            created_at: f.now(),
        });
        f.store.accept_question(f.workspace, question)
    });
    let outcomes = futures::future::join_all(questions).await;
    assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 1, "{outcomes:?}");
    for outcome in outcomes {
        assert!(matches!(outcome, Ok(Some(_)) | Err(StoreError::Conflict { .. })), "{outcome:?}");
    }
    let page = PageRequest::default();
    let list = f.store.list_messages(f.workspace, f.principal, conversation, page).await;
    assert_eq!(list.expect("read").expect("there").items.len(), 2);
}

/// No client's text is refused for a character in it. What the database has no place for
/// is replaced by one that stands for it, so that places in the text stay what they were.
pub async fn a_text_with_a_nul_keeps_its_length(f: Fixture) {
    let conversation = f.conversation().await;
    let asked = f.ask(conversation, "a\0b").await;
    let question = f.store.message(f.workspace, f.principal, asked.message_id).await;
    let question = question.expect("read").expect("there").content;
    assert_eq!(question.chars().count(), 3);
    assert!(question.starts_with('a') && question.ends_with('b'), "{question:?}");
    let filings = f.collection("fil\0ings").await;
    let document = f.ingest(filings, "a\0.txt", &["alpha\0beta"]).await;
    let page = f.store.document_page(f.workspace, document, 1, 0).await.expect("read");
    assert_eq!(page.expect("there").text.chars().count(), 10);
    let passages = f.store.document_chunks(f.workspace, document, 0, 9).await.expect("read");
    assert_eq!(passages.expect("there")[0].text.chars().count(), 10);
    // The same name is the same document.
    assert_eq!(f.upload(filings, "a\0.txt", "new").await.items[0].document_id, document);
}

pub async fn the_context_has_the_finished_turns_before_it(f: Fixture) {
    let conversation = f.conversation().await;
    for question in ["one?", "two?", "three?"] {
        answered(&f, conversation, question).await;
    }
    f.ask(conversation, "never answered").await;
    let asked = f.ask(conversation, "last?").await;
    let other = f.conversation().await;
    answered(&f, other, "elsewhere?").await;
    let context = f.store.question_context(f.workspace, asked.message_id, asked.answer_id, 2).await;
    let context = context.expect("read").expect("there");
    assert_eq!(context.question.content, "last?");
    assert_eq!(context.answer_state, MessageState::Pending);
    let earlier: Vec<_> = context.earlier.iter().map(|turn| turn.content.as_str()).collect();
    assert_eq!(earlier, ["two?", "answer to two?", "three?", "answer to three?"]);
    let missing = f.store.question_context(f.workspace, f.id(), asked.answer_id, 2).await;
    assert!(missing.expect("read").is_none());
}

pub async fn deleted_collections_are_left_out_of_the_context(f: Fixture) {
    let (filings, letters) = (f.collection("filings").await, f.collection("letters").await);
    let notes = f.collection("notes").await;
    let some = f.conversation_over(Some(vec![filings, letters])).await;
    let all = f.conversation().await;
    let audit = f.audit("collection.delete");
    f.store.delete_collection(f.workspace, letters, f.now(), audit).await.expect("deleted");
    for (conversation, expected) in [(some, vec![filings]), (all, vec![filings, notes])] {
        let asked = f.ask(conversation, "why?").await;
        let context =
            f.store.question_context(f.workspace, asked.message_id, asked.answer_id, 0).await;
        assert_eq!(context.expect("read").expect("there").collection_ids, expected);
    }
}

pub async fn what_was_retrieved_is_read_back_without_deleted_documents(f: Fixture) {
    let filings = f.collection("filings").await;
    let kept = f.ingest(filings, "a.txt", &["alpha", "beta"]).await;
    let gone = f.ingest(filings, "b.txt", &["gamma"]).await;
    let conversation = f.conversation().await;
    let asked = f.ask(conversation, "why?").await;
    let claim = f.claim(asked.job_id).await.claim;
    let none = f.store.grounding(f.workspace, asked.answer_id).await.expect("read");
    assert!(none.is_none());
    let passages =
        [(kept, 1, 0.9), (gone, 0, 0.5), (kept, 0, 0.25)].map(|(document, ordinal, score)| {
            RetrievedPassage { chunk_id: ChunkId::derive(document, 1, ordinal), score }
        });
    let next = f.advance(Step::ChatGenerate, serde_json::json!({}));
    f.store
        .save_retrieved(f.workspace, &claim, asked.answer_id, "why it is", &passages, next)
        .await
        .expect("saved");
    let audit = f.audit("document.delete");
    f.store.delete_document(f.workspace, gone, f.now(), audit).await.expect("deleted");
    // A newer version does not take away what was retrieved.
    f.ingest(filings, "a.txt", &["newer"]).await;
    let grounding = f.store.grounding(f.workspace, asked.answer_id).await.expect("read");
    let grounding = grounding.expect("there");
    assert_eq!(grounding.standalone_question, "why it is");
    let found: Vec<_> =
        grounding.passages.iter().map(|(passage, score)| (passage.text.as_str(), *score)).collect();
    assert_eq!(found, [("beta", 0.9), ("alpha", 0.25)]);
    let job = f.store.job(f.workspace, None, claim.job_id).await.expect("read").expect("there");
    assert_eq!((job.state, job.step), (JobState::Queued, Step::ChatGenerate));
}

pub async fn an_answer_is_stored_with_its_job(f: Fixture) {
    let conversation = f.conversation().await;
    let asked = answered(&f, conversation, "why?").await;
    let message = f.store.message(f.workspace, f.principal, asked.answer_id).await;
    let message = message.expect("read").expect("there");
    assert_eq!((message.state, message.content.as_str()), (MessageState::Done, "answer to why?"));
    assert_eq!((message.usage, message.figures.len()), (Some(USAGE), 1));
    assert_eq!(message.model.as_deref(), Some("offline:extract"));
    let job = f.store.job(f.workspace, None, asked.job_id).await.expect("read").expect("there");
    assert_eq!((job.state, job.finished_at), (JobState::Done, Some(f.now())));
    assert!(f.message_of(asked.job_id).await.is_none());
    let claim =
        Claim { job_id: asked.job_id, step: Step::ChatRetrieve, attempt: 1, outbox_id: f.id() };
    let late =
        f.store.save_answer(f.workspace, &claim, asked.answer_id, answer("late"), f.now()).await;
    assert!(matches!(late, Err(StoreError::Fenced)), "{late:?}");
}

pub async fn an_unfinished_answer_keeps_what_was_written(f: Fixture) {
    let conversation = f.conversation().await;
    let problem = Problem::new("model_down", "The model is down", "Ask again.");
    for (problem, state, job_state) in [
        (Some(problem), MessageState::Failed, JobState::Failed),
        (None, MessageState::Cancelled, JobState::Cancelled),
    ] {
        let asked = f.ask(conversation, "why?").await;
        let stale = f.claim(asked.job_id).await.claim;
        f.pass(LEASE);
        let claim = f.claim(asked.job_id).await.claim;
        let usage = NewUsage { model: "openai:x".to_owned(), usage: USAGE };
        let end = UnfinishedAnswer {
            partial: "So far".to_owned(),
            usage: Some(usage),
            calls: vec![],
            problem: problem.clone(),
        };
        let (store, now) = (&f.store, f.now());
        let late = store.end_answer(f.workspace, &stale, asked.answer_id, end.clone(), now).await;
        assert!(matches!(late, Err(StoreError::Fenced)), "{late:?}");
        store.end_answer(f.workspace, &claim, asked.answer_id, end, now).await.expect("ended");
        let message = store.message(f.workspace, f.principal, asked.answer_id).await;
        let message = message.expect("read").expect("there");
        assert_eq!((message.state, message.content.as_str()), (state, "So far"));
        assert_eq!((message.error.as_ref(), message.usage), (problem.as_ref(), Some(USAGE)));
        let job = store.job(f.workspace, None, asked.job_id).await.expect("read").expect("there");
        assert_eq!((job.state, job.problem), (job_state, problem));
    }
}

pub async fn a_second_judgement_replaces_the_first(f: Fixture) {
    let conversation = f.conversation().await;
    let asked = answered(&f, conversation, "why?").await;
    let judge = async |message_id, principal_id, rating| {
        let feedback = NewFeedback {
            message_id,
            principal_id,
            rating,
            comment: Some("so".to_owned()),
            created_at: f.now(),
        };
        f.store.save_feedback(f.workspace, feedback).await.expect("answered")
    };
    assert!(judge(asked.answer_id, f.principal, 1).await);
    assert!(judge(asked.answer_id, f.principal, -1).await);
    assert!(!judge(asked.answer_id, f.id(), 1).await, "another principal's answer is missing");
    assert!(!judge(asked.message_id, f.principal, 1).await, "a question is no answer");
    assert!(!judge(f.id(), f.principal, 1).await);
}

pub async fn the_answer_of_a_job_is_its_principals(f: Fixture) {
    let conversation = f.conversation().await;
    let asked = answered(&f, conversation, "why?").await;
    let found = f.store.answer_of_job(f.workspace, f.principal, asked.job_id).await;
    assert_eq!(found.expect("read").expect("there").id, asked.answer_id);
    let stranger = f.store.answer_of_job(f.workspace, f.id(), asked.job_id).await;
    assert!(stranger.expect("read").is_none());
    let filings = f.collection("filings").await;
    let upload = f.upload(filings, "a.txt", "a").await;
    let none = f.store.answer_of_job(f.workspace, f.principal, upload.items[0].job_id).await;
    assert!(none.expect("read").is_none());
}
