//! Money: a row for each request, what was spent, budgets.

#![expect(missing_docs, reason = "the name of a case is what it promises")]

use std::time::Duration;

use quaestor_core::clock::Time;
use quaestor_core::ids::PrincipalId;
use quaestor_core::jobs::Step;
use quaestor_core::model::{Budget, Days, JobState, PageRequest, Role, Spent, Usage};
use quaestor_core::ports::model_call::{BegunCall, CallOutcome, ModelCall, Operation};
use quaestor_core::ports::store::{
    Answer, CallsOf, Most, NewKey, NewUsage, PutOff, StoreError, Table, UnfinishedAnswer, UsageBy,
    UsagePart, Value,
};
use quaestor_core::problem::Problem;

use super::Fixture;
use super::portable::records;

/// A request that took two seconds.
pub(super) fn call(f: &Fixture, outcome: CallOutcome, cost_micros: u64) -> ModelCall {
    let usage = match outcome {
        CallOutcome::Failed | CallOutcome::Lost => Usage::default(),
        CallOutcome::Done | CallOutcome::Cut => {
            Usage { input_tokens: 100, output_tokens: 20, cost_micros, cached_tokens: 64 }
        }
    };
    ModelCall {
        id: f.id(),
        model: "openai:m".to_owned(),
        operation: Operation::Chat,
        request_id: (outcome != CallOutcome::Failed).then(|| "req-\0-1".to_owned()),
        usage,
        estimated: outcome == CallOutcome::Cut,
        outcome,
        started_at: f.now(),
        ended_at: f.now() + Duration::from_secs(2),
    }
}

fn answer(calls: Vec<ModelCall>) -> Answer {
    Answer {
        content: "so".to_owned(),
        citations: vec![],
        figures: vec![],
        model: "openai:m".to_owned(),
        usage: Usage { input_tokens: 1, output_tokens: 2, cost_micros: 3, ..Usage::default() },
        calls,
    }
}

/// The rows of requests: job, attempt, outcome, whether estimated, cost.
async fn rows(f: &Fixture) -> Vec<(Option<uuid::Uuid>, i64, String, bool, i64)> {
    let most = Most { records: 1_000, bytes: 1 << 20 };
    let pages = records(&*f.store, f.workspace, Table::ModelUsage, most).await;
    let row = |record: &quaestor_core::ports::store::Record| {
        assert_eq!(record.id("principal_id"), Some(f.principal.uuid()));
        assert_eq!(record.integer("duration_us"), Some(2_000_000));
        let kept = if record.text("outcome") == Some("failed") { 0 } else { 64 };
        assert_eq!(record.integer("cached_tokens"), Some(kept));
        (
            record.id("job_id"),
            record.integer("attempt").expect("a number"),
            record.text("outcome").expect("a name").to_owned(),
            record.get("estimated") == Some(&Value::Boolean(true)),
            record.integer("cost_micros").expect("a number"),
        )
    };
    pages.concat().iter().map(row).collect()
}

async fn spent(f: &Fixture, principal: PrincipalId) -> (Spent, Spent) {
    let found = f.store.spending(f.workspace, principal, Days::of(f.now())).await.expect("read");
    (found.workspace, found.principal)
}

/// A principal that the workspace knows.
async fn principal(f: &Fixture) -> PrincipalId {
    let id = f.id();
    let key = NewKey {
        id: f.id(),
        principal_id: id,
        name: "k".to_owned(),
        role: Role::Viewer,
        prefix: id.to_string(),
        secret_sha256: [0; 32],
        created_at: f.now(),
    };
    f.store.create_key(f.workspace, key, f.audit("key.create")).await.expect("made");
    id
}

pub async fn an_answer_is_stored_with_every_request_it_took(f: Fixture) {
    let conversation = f.conversation().await;
    let mut expected = Vec::new();
    // Two answers at once, which may be written together, and one that took none.
    let mut ends = Vec::new();
    for requests in [
        vec![call(&f, CallOutcome::Failed, 0), call(&f, CallOutcome::Done, 70)],
        vec![call(&f, CallOutcome::Cut, 5)],
        vec![],
    ] {
        let asked = f.ask(conversation, "why?").await;
        let claim = f.claim(asked.job_id).await.claim;
        for request in &requests {
            let name = request.outcome.as_str().to_owned();
            let cost = i64::try_from(request.usage.cost_micros).expect("little");
            expected.push((Some(asked.job_id.uuid()), 1, name, request.estimated, cost));
        }
        ends.push((claim, asked.answer_id, answer(requests)));
    }
    let ends = ends.into_iter().map(|(claim, id, answer)| {
        let (store, workspace, now) = (&f.store, f.workspace, f.now());
        async move { store.save_answer(workspace, &claim, id, answer, now).await.expect("stored") }
    });
    futures::future::join_all(ends).await;
    let mut found = rows(&f).await;
    found.sort();
    expected.sort();
    assert_eq!(found, expected);
    let day = Spent { day_micros: 75, month_micros: 75 };
    assert_eq!(spent(&f, f.principal).await, (day, day));
}

pub async fn every_way_to_end_a_claim_writes_its_requests(f: Fixture) {
    let conversation = f.conversation().await;
    let problem = Problem::new("model_down", "The model is down", "Ask again.");
    for way in 0..6 {
        let calls = [call(&f, CallOutcome::Failed, 0), call(&f, CallOutcome::Done, 7)];
        let asked = f.ask(conversation, "why?").await;
        let claim = f.claim(asked.job_id).await.claim;
        let next = f.advance(Step::ChatRetrieve, serde_json::json!({}));
        let (store, workspace, now) = (&f.store, f.workspace, f.now());
        let end = |problem| UnfinishedAnswer {
            partial: "s".to_owned(),
            usage: Some(NewUsage { model: "openai:m".to_owned(), usage: Usage::default() }),
            calls: calls.to_vec(),
            problem,
        };
        let answer = asked.answer_id;
        let ended = match way {
            0 => {
                store
                    .put_off(
                        workspace,
                        &claim,
                        PutOff::after_try("provider_limit"),
                        next,
                        &calls,
                        now,
                    )
                    .await
            }
            1 => store.hand_back(workspace, &claim, next, &calls, now).await,
            2 => {
                let state = JobState::Failed;
                store.fail(workspace, &claim, state, problem.clone(), &calls, now).await
            }
            3 => store.cancel(workspace, &claim, &calls, now).await,
            4 => store.end_answer(workspace, &claim, answer, end(None), now).await,
            _ => {
                let end = end(Some(problem.clone()));
                store.end_answer(workspace, &claim, answer, end, now).await
            }
        };
        ended.expect("ended");
        let rows = rows(&f).await;
        assert_eq!(rows.len(), 2 * (way + 1), "way {way}");
        assert!(rows.iter().any(|row| row.0 == Some(asked.job_id.uuid())), "way {way}");
    }
    assert_eq!(spent(&f, f.principal).await.0.day_micros, 6 * 7);
}

pub async fn vectors_are_stored_with_the_requests_that_made_them(f: Fixture) {
    let filings = f.collection("filings").await;
    let generation = f.generation(f.workspace, filings).await;
    let upload = f.upload(filings, "a.txt", "alpha").await;
    let next = f.advance(Step::DocumentsEmbed, serde_json::json!({}));
    f.finish_upload(f.workspace, &upload, &["alpha"], Some(next)).await;
    let item = &upload.items[0];
    let claim = f.claim(item.job_id).await.claim;
    let chunk = quaestor_core::ids::ChunkId::derive(item.document_id, 1, 0);
    let embedded = ModelCall {
        model: "openai:e".to_owned(),
        operation: Operation::Embed,
        ..call(&f, CallOutcome::Done, 11)
    };
    let vectors = || vec![(chunk, vec![1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]).into()];
    f.store
        .save_vectors(
            f.workspace,
            &claim,
            generation,
            vectors(),
            1,
            std::slice::from_ref(&embedded),
        )
        .await
        .expect("stored");
    let stale = quaestor_core::ports::store::Claim { attempt: 9, ..claim };
    let store = &f.store;
    let late = store.save_vectors(f.workspace, &stale, generation, vectors(), 1, &[embedded]).await;
    assert!(matches!(late, Err(StoreError::Fenced)), "{late:?}");
    assert_eq!(rows(&f).await, [(Some(item.job_id.uuid()), 2, "done".to_owned(), false, 11)]);
}

pub async fn requests_of_a_stale_claim_or_of_no_job_are_written_alone(f: Fixture) {
    let conversation = f.conversation().await;
    let asked = f.ask(conversation, "why?").await;
    let stale = f.claim(asked.job_id).await.claim;
    f.pass(super::fixture::LEASE);
    f.claim(asked.job_id).await;
    let calls = vec![call(&f, CallOutcome::Done, 7)];
    let late = f
        .store
        .save_answer(f.workspace, &stale, asked.answer_id, answer(calls.clone()), f.now())
        .await;
    assert!(matches!(late, Err(StoreError::Fenced)), "{late:?}");
    assert!(rows(&f).await.is_empty());
    let of = CallsOf { principal_id: f.principal, job: Some((asked.job_id, stale.attempt)) };
    f.store.save_calls(f.workspace, of, &calls).await.expect("written");
    // An answer that was lost: it is written again, and is one request all the same.
    f.store.save_calls(f.workspace, of, &calls).await.expect("written");
    let of = CallsOf { job: None, ..of };
    let calls = [call(&f, CallOutcome::Done, 7)];
    f.store.save_calls(f.workspace, of, &calls).await.expect("written");
    f.store.save_calls(f.workspace, of, &[]).await.expect("nothing to write");
    let found = rows(&f).await;
    assert_eq!(found[0], (Some(asked.job_id.uuid()), 1, "done".to_owned(), false, 7));
    assert_eq!(found[1], (None, 0, "done".to_owned(), false, 7));
    assert_eq!(found.len(), 2);
}

pub async fn what_is_spent_is_added_up_by_days_and_principals(f: Fixture) {
    let of = |principal_id| CallsOf { principal_id, job: None };
    let other: PrincipalId = f.id();
    let spend = async |principal, cost| {
        let calls = [call(&f, CallOutcome::Done, cost), call(&f, CallOutcome::Cut, 1)];
        f.store.save_calls(f.workspace, of(principal), &calls).await.expect("written");
    };
    // The last moment of a month.
    let last = Time::from_timestamp(1_701_388_799, 0).expect("a moment");
    f.clock.set_millis(last.timestamp_millis());
    spend(f.principal, 99).await;
    f.pass(Duration::from_secs(1));
    let nothing = Spent::default();
    assert_eq!(spent(&f, f.principal).await, (nothing, nothing), "a new month");
    futures::future::join_all((0..20).map(|_| spend(f.principal, 9))).await;
    f.pass(Duration::from_secs(24 * 3_600));
    spend(other, 49).await;
    let own = |day_micros, month_micros| Spent { day_micros, month_micros };
    assert_eq!(spent(&f, f.principal).await, (own(50, 250), own(0, 200)));
    assert_eq!(spent(&f, other).await, (own(50, 250), own(50, 50)));
    assert_eq!(spent(&f, f.id()).await, (own(50, 250), nothing));
}

pub async fn a_budget_is_set_changed_and_removed(f: Fixture) {
    let one = principal(&f).await;
    let day = |limit| Budget { day_hard_micros: Some(limit), ..Budget::default() };
    let all = Budget {
        day_soft_micros: Some(1),
        day_hard_micros: Some(2),
        month_soft_micros: Some(3),
        month_hard_micros: Some(u64::from(u32::MAX) * 1_000),
    };
    let set = async |principal, budget| {
        let audit = f.audit("budget.set");
        f.store.create_budget(f.workspace, principal, budget, audit).await.expect("answered")
    };
    assert!(!set(Some(f.id()), day(1)).await, "there is no such principal");
    assert!(f.store.workspaces_with_budgets(9).await.expect("read").is_empty());
    assert!(set(Some(one), day(1)).await);
    assert!(set(None, all).await);
    assert!(set(Some(one), day(5)).await);
    assert_eq!(f.store.workspaces_with_budgets(9).await.expect("read"), [f.workspace]);
    let of = CallsOf { principal_id: one, job: None };
    let calls = [call(&f, CallOutcome::Done, 4)];
    f.store.save_calls(f.workspace, of, &calls).await.expect("written");

    let listed = f.store.list_budgets(f.workspace, Days::of(f.now())).await.expect("read");
    let spent = Spent { day_micros: 4, month_micros: 4 };
    let told: Vec<_> = listed.iter().map(|set| (set.principal_id, set.budget, set.spent)).collect();
    assert_eq!(told, [(None, all, spent), (Some(one), day(5), spent)]);
    let found = f.store.spending(f.workspace, one, Days::of(f.now())).await.expect("read");
    assert_eq!((found.workspace_budget, found.principal_budget), (Some(all), Some(day(5))));
    assert_eq!((found.workspace, found.principal), (spent, spent));

    let remove = async |principal| {
        let audit = f.audit("budget.remove");
        f.store.delete_budget(f.workspace, principal, audit).await.expect("answered")
    };
    assert!(remove(Some(one)).await);
    assert!(remove(Some(one)).await, "there is nothing left to remove");
    assert!(!remove(Some(f.id())).await, "there is no such principal");
    let found = f.store.spending(f.workspace, one, Days::of(f.now())).await.expect("read");
    assert_eq!((found.workspace_budget, found.principal_budget), (Some(all), None));
    assert!(remove(None).await);
    assert!(f.store.workspaces_with_budgets(9).await.expect("read").is_empty());
    let audit = f.store.list_audit(f.workspace, PageRequest::default()).await.expect("read");
    let actions = audit.items.iter().filter(|entry| entry.action.starts_with("budget."));
    assert_eq!(actions.count(), 5, "what changed nothing is no entry");
}

pub async fn usage_is_told_by_day_model_and_principal(f: Fixture) {
    let other: PrincipalId = f.id();
    let begin = f.now();
    let calls = [call(&f, CallOutcome::Failed, 0), call(&f, CallOutcome::Done, 10)];
    let of = CallsOf { principal_id: f.principal, job: None };
    f.store.save_calls(f.workspace, of, &calls).await.expect("written");
    f.pass(Duration::from_secs(24 * 3_600));
    let embed = ModelCall {
        model: "openai:e".to_owned(),
        operation: Operation::Embed,
        ..call(&f, CallOutcome::Done, 30)
    };
    let of = CallsOf { principal_id: other, job: None };
    f.store.save_calls(f.workspace, of, &[embed]).await.expect("written");

    let until = f.now() + Duration::from_secs(1);
    let usage = async |by, from| f.store.usage(f.workspace, by, from, until).await.expect("read");
    let part = |calls: u64, cost_micros| UsagePart {
        calls,
        failed_calls: calls - 1,
        input_tokens: 100,
        cached_tokens: 64,
        output_tokens: 20,
        cost_micros,
        ..UsagePart::default()
    };
    let day = |moment: Time| Some(moment.date_naive());
    assert_eq!(
        usage(UsageBy::Day, begin).await,
        [
            UsagePart { day: day(begin), ..part(2, 10) },
            UsagePart { day: day(f.now()), ..part(1, 30) }
        ]
    );
    let named = |model: &str, operation: &str| (Some(model.to_owned()), Some(operation.to_owned()));
    let by_model = usage(UsageBy::Model, begin).await;
    let names: Vec<_> = by_model.iter().map(|p| (p.model.clone(), p.operation.clone())).collect();
    assert_eq!(names, [named("openai:e", "embed"), named("openai:m", "chat")]);
    let by_principal = usage(UsageBy::Principal, begin).await;
    let who: Vec<_> = by_principal.iter().map(|p| (p.principal_id, p.cost_micros)).collect();
    assert_eq!(who, [(Some(other), 30), (Some(f.principal), 10)]);
    assert_eq!(usage(UsageBy::Day, f.now()).await.len(), 1, "from a moment on");
    let elsewhere = f.store.usage(f.id(), UsageBy::Day, begin, until).await;
    assert!(elsewhere.expect("read").is_empty(), "another workspace's");
}

/// A request that is about to be sent, under the name of one that was.
pub(super) fn begun(call: &ModelCall) -> BegunCall {
    BegunCall {
        id: call.id,
        model: call.model.clone(),
        operation: call.operation,
        usage: Usage { input_tokens: 90, cost_micros: 4, ..Usage::default() },
        started_at: call.started_at,
    }
}

pub async fn a_request_whose_process_died_is_accounted_once(f: Fixture) {
    let conversation = f.conversation().await;
    let asked = f.ask(conversation, "why?").await;
    let lost = f.claim(asked.job_id).await.claim;
    let of = |attempt| CallsOf { principal_id: f.principal, job: Some((asked.job_id, attempt)) };
    let (dead, told, search) = (
        call(&f, CallOutcome::Done, 7),
        call(&f, CallOutcome::Done, 9),
        call(&f, CallOutcome::Done, 5),
    );
    f.store.begin_call(f.workspace, of(lost.attempt), begun(&dead)).await.expect("written");
    // Written down twice is written down once: the answer may have been lost.
    f.store.begin_call(f.workspace, of(lost.attempt), begun(&dead)).await.expect("written");
    let no_job = CallsOf { principal_id: f.principal, job: None };
    f.store.begin_call(f.workspace, no_job, begun(&search)).await.expect("written");

    let settle = async |after: Duration| {
        let (ended, sent) = (f.now(), f.now() - after);
        f.store.settle_lost_calls(ended, sent, 10).await.expect("settled")
    };
    let hour = Duration::from_secs(3_600);
    assert_eq!(settle(hour).await, 0, "the job has not ended");
    f.pass(super::fixture::LEASE);
    let claim = f.claim(asked.job_id).await.claim;
    f.store.begin_call(f.workspace, of(claim.attempt), begun(&told)).await.expect("written");
    let saved = answer(vec![told.clone()]);
    f.store.save_answer(f.workspace, &claim, asked.answer_id, saved, f.now()).await.expect("saved");
    assert_eq!(settle(hour).await, 0, "its worker may still tell");
    f.pass(Duration::from_secs(60));
    assert_eq!(settle(hour).await, 1);
    assert_eq!(settle(hour).await, 0, "only once");
    f.pass(hour);
    assert_eq!(settle(Duration::from_secs(1_800)).await, 1, "that of the search");

    let most = Most { records: 1_000, bytes: 1 << 20 };
    let rows = records(&*f.store, f.workspace, Table::ModelUsage, most).await.concat();
    let mut rows: Vec<_> = rows
        .iter()
        .map(|row| {
            let lost = row.text("outcome") == Some("lost");
            (row.id("call_id"), row.integer("cost_micros"), row.integer("attempt"), lost)
        })
        .collect();
    rows.sort_by_key(|row| row.1);
    let row = |call: &ModelCall, cost, attempt, lost| {
        (Some(call.id.uuid()), Some(cost), Some(attempt), lost)
    };
    let mut expected = [row(&dead, 4, 1, true), row(&search, 4, 0, true), row(&told, 9, 2, false)];
    expected[..2].sort();
    rows[..2].sort();
    assert_eq!(rows, expected);
    assert_eq!(spent(&f, f.principal).await.0.month_micros, 4 + 4 + 9);
    // A worker that was only stopped comes back: what it tells is known already.
    f.store.save_calls(f.workspace, of(lost.attempt), &[dead]).await.expect("no harm");
    assert_eq!(spent(&f, f.principal).await.0.month_micros, 4 + 4 + 9);
    let left = records(&*f.store, f.workspace, Table::OpenCalls, most).await;
    assert!(left.concat().is_empty(), "{left:?}");
}
