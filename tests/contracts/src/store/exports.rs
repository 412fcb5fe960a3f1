//! Exports: acceptance, what the worker reads, the end, expiry, templates.

#![expect(missing_docs, reason = "the name of a case is what it promises")]

use std::time::Duration;

use quaestor_core::ids::{ConversationId, DocumentId, ExportId, MessageId, WorkspaceId};
use quaestor_core::jobs::{ExportPayload, JobKind, Step};
use quaestor_core::model::{
    ExportFile, ExportFormat, ExportSelection, JobState, LinkKey, PageRequest,
};
use quaestor_core::ports::store::{
    AcceptExport, AcceptedExport, Claim, ExportAcceptance, IdempotencyKey, NewTemplate, StoreError,
};

use super::Fixture;

fn wanted(f: &Fixture, selection: ExportSelection, template: Option<&str>) -> AcceptExport {
    let id: ExportId = f.id();
    let mut job = f.job(JobKind::Exports, Step::ExportsWrite);
    job.payload = serde_json::to_value(ExportPayload { export_id: id }).expect("a payload");
    AcceptExport {
        id,
        principal_id: f.principal,
        format: ExportFormat::Pdf,
        selection,
        template: template.map(str::to_owned),
        filename: "answers.pdf".to_owned(),
        job,
        idempotency: None,
        audit: f.audit("export.create"),
    }
}

async fn accept(f: &Fixture, export: AcceptExport) -> AcceptedExport {
    let accepted = f.store.accept_export(f.workspace, export).await.expect("it is answered");
    let ExportAcceptance::Accepted(accepted) = accepted else { panic!("{accepted:?}") };
    accepted
}

async fn of_conversation(f: &Fixture) -> (ConversationId, AcceptedExport) {
    let conversation = f.conversation().await;
    f.ask(conversation, "why?").await;
    let selection = ExportSelection::ConversationId(conversation);
    (conversation, accept(f, wanted(f, selection, None)).await)
}

fn file(f: &Fixture, key: &str) -> ExportFile {
    ExportFile {
        object_key: key.to_owned(),
        size_bytes: 17,
        sha256: "ab".repeat(32),
        kept_until: f.now() + Duration::from_secs(3_600),
        link_key: LinkKey([3; 32]),
    }
}

async fn finish(f: &Fixture, claim: &Claim, id: ExportId, key: &str) {
    let done = f.store.finish_export(f.workspace, claim, id, file(f, key), f.now()).await;
    done.expect("it is finished");
}

pub async fn an_export_is_its_askers_and_stands_as_its_job_does(f: Fixture) {
    let (conversation, accepted) = of_conversation(&f).await;
    let id = accepted.export_id;
    let shown = f.store.export(f.workspace, f.principal, id).await.expect("read").expect("there");
    assert_eq!((shown.state, shown.job_id), (JobState::Queued, accepted.job_id));
    assert_eq!(shown.selection, ExportSelection::ConversationId(conversation));
    assert_eq!((shown.file, shown.template), (None, None));
    let page = PageRequest::default();
    let listed = f.store.list_exports(f.workspace, f.principal, page).await.expect("listed");
    assert_eq!(listed.items.iter().map(|one| one.id).collect::<Vec<_>>(), [id]);
    assert!(f.store.export(f.workspace, f.id(), id).await.expect("read").is_none());
    let others = f.store.list_exports(f.workspace, f.id(), page).await.expect("listed");
    assert!(others.items.is_empty());
    let work = f.store.export_work(f.workspace, id).await.expect("read").expect("there");
    assert_eq!((work.principal_id, work.created_at), (f.principal, shown.created_at));

    let claim = f.claim(accepted.job_id).await.claim;
    finish(&f, &claim, id, "a/exports/b/1").await;
    let shown = f.store.export(f.workspace, f.principal, id).await.expect("read").expect("there");
    assert_eq!((shown.state, shown.file), (JobState::Done, Some(file(&f, "a/exports/b/1"))));
    let found = f.store.export_file(f.workspace, id).await.expect("read").expect("there");
    assert_eq!((&*found.1, found.2), ("answers.pdf", ExportFormat::Pdf));
    let known = f.store.known_objects(f.workspace, &["a/exports/b/1".to_owned()]).await;
    assert_eq!(known.expect("known"), ["a/exports/b/1"]);
}

pub async fn an_export_under_a_key_is_accepted_once(f: Fixture) {
    let conversation = f.conversation().await;
    f.ask(conversation, "why?").await;
    let mut export = wanted(&f, ExportSelection::ConversationId(conversation), None);
    export.idempotency = Some(IdempotencyKey {
        principal_id: f.principal,
        key: "k".to_owned(),
        request_sha256: [1; 32],
        created_at: f.now(),
    });
    let accepted = accept(&f, export.clone()).await;
    let mut again = wanted(&f, ExportSelection::ConversationId(conversation), None);
    again.idempotency = export.idempotency;
    let refused = f.store.accept_export(f.workspace, again).await;
    assert!(matches!(refused, Err(StoreError::Conflict { .. })), "{refused:?}");
    let known = f.store.remembered(f.workspace, f.principal, "k").await.expect("read");
    let known = known.expect("it is kept").response;
    assert_eq!(serde_json::from_value::<AcceptedExport>(known).expect("an answer"), accepted);
}

pub async fn what_is_not_there_or_holds_nothing_is_not_exported(f: Fixture) {
    let empty = f.conversation().await;
    let hollow = f.collection("hollow").await;
    let full = f.collection("full").await;
    let document = f.ingest(full, "a.txt", &["one"]).await;
    let unread = f.upload(full, "b.txt", "two").await.items[0].document_id;
    let asked = f.ask(f.conversation().await, "why?").await;
    let missing: DocumentId = f.id();
    let theirs: WorkspaceId = f.new_workspace().await;
    let foreign = f.collection_in(theirs, "theirs").await;
    for (selection, answer) in [
        (ExportSelection::ConversationId(empty), ExportAcceptance::Empty),
        (ExportSelection::CollectionId(hollow), ExportAcceptance::Empty),
        (ExportSelection::CollectionId(foreign), ExportAcceptance::Missing(foreign.uuid())),
        (ExportSelection::DocumentIds(vec![unread]), ExportAcceptance::Empty),
        (
            ExportSelection::DocumentIds(vec![document, missing]),
            ExportAcceptance::Missing(missing.uuid()),
        ),
        // A question is no answer.
        (
            ExportSelection::MessageIds(vec![asked.message_id]),
            ExportAcceptance::Missing(asked.message_id.uuid()),
        ),
    ] {
        let export = wanted(&f, selection, None);
        let (id, job) = (export.id, export.job.id);
        let accepted = f.store.accept_export(f.workspace, export).await.expect("answered");
        assert_eq!(accepted, answer);
        assert!(f.store.export_work(f.workspace, id).await.expect("read").is_none());
        assert!(f.store.job(f.workspace, None, job).await.expect("read").is_none());
    }
    let answers = ExportSelection::MessageIds(vec![asked.answer_id]);
    let unknown = f.store.accept_export(f.workspace, wanted(&f, answers.clone(), Some("x"))).await;
    assert_eq!(unknown.expect("answered"), ExportAcceptance::NoTemplate);
    let mut others = wanted(&f, answers.clone(), None);
    others.principal_id = f.id();
    let refused = f.store.accept_export(f.workspace, others).await.expect("answered");
    assert_eq!(refused, ExportAcceptance::Missing(asked.answer_id.uuid()));
    accept(&f, wanted(&f, answers, None)).await;
    let both = ExportSelection::DocumentIds(vec![document, unread]);
    accept(&f, wanted(&f, both, None)).await;
}

pub async fn a_stale_claim_names_no_file(f: Fixture) {
    let (_, accepted) = of_conversation(&f).await;
    let (_, other) = of_conversation(&f).await;
    let stale = f.claim(accepted.job_id).await.claim;
    f.pass(super::fixture::LEASE * 2);
    f.store.requeue_expired(f.now(), 10).await.expect("requeued");
    let held = f.claim(accepted.job_id).await.claim;
    let id = accepted.export_id;
    for (claim, export) in [(&stale, id), (&held, other.export_id)] {
        let refused =
            f.store.finish_export(f.workspace, claim, export, file(&f, "k"), f.now()).await;
        assert!(matches!(refused, Err(StoreError::Fenced)), "{refused:?}");
    }
    assert!(f.store.export_file(f.workspace, id).await.expect("read").is_none());
    finish(&f, &held, id, "k/2").await;
}

pub async fn what_is_exported_is_read_as_it_was(f: Fixture) {
    let collection = f.collection("filings").await;
    let upload = f.upload(collection, "a.txt", "first").await;
    let document = upload.items[0].document_id;
    let (claim, subject) = f.begin(f.workspace, &upload).await;
    let chunks = (0..5)
        .map(|ordinal| {
            let mut chunk = f.chunk(document, 1, ordinal, &format!("row {ordinal}"));
            chunk.chunk.is_table = ordinal % 2 == 0;
            if ordinal == 3 {
                chunk.chunk.text = "text\nrow | 1".to_owned();
            }
            chunk
        })
        .collect();
    f.store
        .save_parsed(f.workspace, &claim, &subject, vec![f.page("x")], chunks)
        .await
        .expect("saved");
    f.store
        .finish_ingest(f.workspace, &claim, &subject, f.summary(5), None, f.now())
        .await
        .expect("finished");
    let listed = f.store.export_documents(f.workspace, collection, None, 10).await.expect("read");
    assert_eq!((listed.len(), listed[0].id, listed[0].version), (1, document, 1));
    let after = f.store.export_documents(f.workspace, collection, Some(document), 10).await;
    assert!(after.expect("read").is_empty());

    // Another version takes its place: what is exported stays what it was.
    f.ingest(collection, "a.txt", &["second"]).await;
    let found = f.store.export_document(f.workspace, document).await.expect("read");
    assert_eq!(found.expect("there").version, 2);
    let rows = |from, limit| f.store.table_passages(f.workspace, document, 1, from, limit);
    let read = rows(0, 2).await.expect("read").expect("there");
    assert_eq!(read.iter().map(|row| row.ordinal).collect::<Vec<_>>(), [0, 2]);
    let rest = rows(3, 2).await.expect("read").expect("there");
    assert_eq!(rest.iter().map(|row| row.ordinal).collect::<Vec<_>>(), [3, 4], "rows among text");
    let gone = f.store.table_passages(f.workspace, document, 9, 0, 2).await.expect("read");
    assert!(gone.is_none());

    let told = f.store.export_generations(f.workspace, None, 10).await.expect("read");
    assert_eq!((told.len(), &*told[0].collection), (1, "filings"));
    assert!(told[0].generation.is_none());
    let generation = f.generation(f.workspace, collection).await;
    let told = f.store.export_generations(f.workspace, Some(&[collection]), 10).await;
    let told = told.expect("read").remove(0).generation.expect("it has one");
    assert_eq!(told.id, generation);
    let none = f.store.export_generations(f.workspace, Some(&[]), 10).await.expect("read");
    assert!(none.is_empty(), "no collection is not all of them");

    let asked = f.ask(f.conversation().await, "why?").await;
    let pair = f.store.answer_with_question(f.workspace, f.principal, asked.answer_id).await;
    let (answer, question) = pair.expect("read").expect("there");
    assert_eq!((answer.id, question.expect("asked").content), (asked.answer_id, "why?".into()));
    let no_answer: MessageId = asked.message_id;
    let none = f.store.answer_with_question(f.workspace, f.principal, no_answer).await;
    assert!(none.expect("read").is_none());
    let none = f.store.answer_with_question(f.workspace, f.id(), asked.answer_id).await;
    assert!(none.expect("read").is_none());
}

pub async fn files_of_old_exports_are_taken_away_once(f: Fixture) {
    let (_, first) = of_conversation(&f).await;
    let (_, second) = of_conversation(&f).await;
    let claim = f.claim(first.job_id).await.claim;
    finish(&f, &claim, first.export_id, "first/1").await;
    f.pass(Duration::from_secs(1_800));
    let claim = f.claim(second.job_id).await.claim;
    finish(&f, &claim, second.export_id, "second/1").await;
    f.pass(Duration::from_secs(1_801));
    let over = f.store.expire_exports(f.now(), 10).await.expect("expired");
    assert_eq!(over, [(f.workspace, "first/1".to_owned())]);
    assert!(f.store.expire_exports(f.now(), 10).await.expect("expired").is_empty());
    let known = f.store.known_objects(f.workspace, &["first/1".into(), "second/1".into()]).await;
    assert_eq!(known.expect("known"), ["second/1"]);
    let shown = f.store.export(f.workspace, f.principal, first.export_id).await.expect("read");
    let shown = shown.expect("the export is still told of");
    assert_eq!((shown.state, shown.file), (JobState::Done, None));
}

fn template(f: &Fixture, name: &str, source: &str) -> NewTemplate {
    NewTemplate {
        id: f.id(),
        name: name.to_owned(),
        source: source.to_owned(),
        created_at: f.now(),
    }
}

pub async fn templates_have_versions_and_an_export_keeps_its_own(f: Fixture) {
    let set = async |name: &str, source: &str| {
        let audit = f.audit("export_template.set");
        let new = template(&f, name, source);
        let made = f.store.create_export_template(f.workspace, new, 2, 3, audit).await;
        made.expect("answered").map(|made| made.version)
    };
    assert_eq!(set("house", "one").await, Some(1));
    assert_eq!(set("board", "x").await, Some(1));
    assert_eq!(set("third", "x").await, None, "there are as many as may be");
    let conversation = f.conversation().await;
    f.ask(conversation, "why?").await;
    let selection = ExportSelection::ConversationId(conversation);
    let export = accept(&f, wanted(&f, selection, Some("house"))).await.export_id;
    assert_eq!(set("house", "two").await, Some(2));
    let newest = f.store.export_template(f.workspace, "house").await.expect("read");
    let newest = newest.expect("there");
    assert_eq!((newest.version.version, &*newest.source), (2, "two"));
    let listed = f.store.list_export_templates(f.workspace).await.expect("listed");
    let listed: Vec<(&str, u32)> =
        listed.iter().map(|one| (one.name.as_str(), one.version)).collect();
    assert_eq!(listed, [("board", 1), ("house", 2)]);
    let work = f.store.export_work(f.workspace, export).await.expect("read").expect("there");
    let (name, source) = work.template.expect("it has one");
    assert_eq!((name.version, &*source, work.template_gone), (1, "one", false));

    // Only the newest versions are kept.
    for source in ["three", "four"] {
        set("house", source).await;
    }
    let work = f.store.export_work(f.workspace, export).await.expect("read").expect("there");
    assert_eq!((work.template, work.template_gone), (None, true));
    let audit = f.audit("export_template.remove");
    assert!(f.store.delete_export_template(f.workspace, "house", audit).await.expect("removed"));
    let audit = f.audit("export_template.remove");
    assert!(!f.store.delete_export_template(f.workspace, "house", audit).await.expect("removed"));
    assert!(f.store.export_template(f.workspace, "house").await.expect("read").is_none());
}

pub async fn another_workspaces_exports_are_as_missing(f: Fixture) {
    let thief = f.new_workspace().await;
    let collection = f.collection("filings").await;
    let document = f.ingest(collection, "a.txt", &["x"]).await;
    let (_, accepted) = of_conversation(&f).await;
    let id = accepted.export_id;
    let claim = f.claim(accepted.job_id).await.claim;
    let (store, me) = (&f.store, f.principal);
    assert!(store.export(thief, me, id).await.expect("read").is_none());
    assert!(store.export_work(thief, id).await.expect("read").is_none());
    assert!(store.export_document(thief, document).await.expect("read").is_none());
    let documents = store.export_documents(thief, collection, None, 10).await.expect("read");
    assert!(documents.is_empty());
    assert!(store.table_passages(thief, document, 1, 0, 9).await.expect("read").is_none());
    assert!(store.export_generations(thief, None, 9).await.expect("read").is_empty());
    let named = store.export_generations(thief, Some(&[collection]), 9).await.expect("read");
    assert!(named.is_empty());
    let refused = store.finish_export(thief, &claim, id, file(&f, "k"), f.now()).await;
    assert!(matches!(refused, Err(StoreError::Fenced)), "{refused:?}");
    finish(&f, &claim, id, "k").await;
    assert!(store.export_file(thief, id).await.expect("read").is_none());
    let audit = f.audit("export_template.set");
    let new = template(&f, "house", "x");
    store.create_export_template(f.workspace, new, 9, 9, audit).await.expect("made");
    assert!(store.export_template(thief, "house").await.expect("read").is_none());
    assert!(store.list_export_templates(thief).await.expect("read").is_empty());
    let audit = f.audit("export_template.remove");
    assert!(!store.delete_export_template(thief, "house", audit).await.expect("answered"));
}
