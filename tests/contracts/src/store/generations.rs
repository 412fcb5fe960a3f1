//! Index generations: built beside the one that is searched, switched to in one step, gone
//! back from, dropped.
#![expect(missing_docs, reason = "the name of a case is what it promises")]

use quaestor_core::ids::{ChunkId, CollectionId, DocumentId, GenerationId, JobId};
use quaestor_core::jobs::{JobKind, Step};
use quaestor_core::model::{GenerationState, JobState};
use quaestor_core::ports::store::{
    Claim, EmbeddedChunk, GenerationStatus, IdempotencyKey, NewReindex, PassageCursor,
    ReindexAccepted, ReindexOutcome, StoreError, Switch, TextHash,
};

use super::fixture::{DIMENSIONS, Fixture};

/// The length of the vectors of the other model.
const OTHER: u32 = 3;

impl Fixture {
    fn reindex(&self, collection: CollectionId) -> NewReindex {
        NewReindex {
            collection_id: collection,
            generation_id: self.id(),
            model: "other".to_owned(),
            dimensions: OTHER,
            chunking: None,
            passages_per_minute: Some(60),
            job: self.job(JobKind::Collections, Step::CollectionsReindex),
            idempotency: None,
            audit: self.audit("collection.reindex"),
        }
    }

    async fn begin_reindex(&self, collection: CollectionId) -> ReindexAccepted {
        let begun = self.store.begin_reindex(self.workspace, self.reindex(collection)).await;
        match begun.expect("answered") {
            ReindexOutcome::Accepted(accepted) => accepted,
            other => panic!("not accepted: {other:?}"),
        }
    }

    async fn statuses(&self, collection: CollectionId) -> Vec<GenerationStatus> {
        let found = self.store.collection_generations(self.workspace, collection).await;
        found.expect("read").expect("the collection is there")
    }

    async fn states(&self, collection: CollectionId) -> Vec<(GenerationId, GenerationState)> {
        let all = self.statuses(collection).await;
        all.iter().map(|one| (one.generation.id, one.generation.state)).collect()
    }

    /// The passages without a vector, looked through in portions of `limit`.
    async fn lacking(&self, generation: GenerationId, limit: u32) -> Vec<(ChunkId, String)> {
        let (mut all, mut after): (Vec<_>, Option<PassageCursor>) = (Vec::new(), None);
        loop {
            let found = self.store.passages_to_index(self.workspace, generation, after, limit);
            let found = found.await.expect("read");
            assert!(found.chunks.len() <= limit as usize);
            all.extend(found.chunks);
            after = found.next;
            if after.is_none() {
                return all;
            }
        }
    }

    /// Gives all passages that lack one a vector.
    async fn fill(&self, claim: &Claim, generation: GenerationId, vector: &[f32]) {
        let lacking = self.lacking(generation, 100).await;
        let vectors = lacking.into_iter().map(|(chunk_id, text)| EmbeddedChunk {
            chunk_id,
            text: Some(TextHash::of(&text)),
            vector: vector.to_vec(),
        });
        let (store, vectors) = (&self.store, vectors.collect());
        let saved = store.save_vectors(self.workspace, claim, generation, vectors, 1_000, &[]);
        saved.await.expect("stored");
    }

    async fn switch(&self, claim: &Claim, generation: GenerationId) -> Switch {
        let subject = self.store.reindex_subject(self.workspace, generation).await;
        let skipped = subject.expect("read").expect("there").skipped;
        let (store, now) = (&self.store, self.now());
        let switched =
            store.switch_generation(self.workspace, claim, generation, skipped, now).await;
        switched.expect("answered")
    }

    /// Builds the next generation, and switches to it.
    async fn rebuild(&self, collection: CollectionId) -> GenerationId {
        let accepted = self.begin_reindex(collection).await;
        let claim = self.claim(accepted.job_id).await.claim;
        self.fill(&claim, accepted.generation_id, &[1.0, 0.0, 0.0]).await;
        assert_eq!(self.switch(&claim, accepted.generation_id).await, Switch::Done);
        accepted.generation_id
    }

    async fn state_of(&self, job: JobId) -> JobState {
        let found = self.store.job(self.workspace, None, job).await.expect("read");
        found.expect("there").state
    }
}

fn axis(place: usize) -> [f32; DIMENSIONS as usize] {
    let mut vector = [0.0; DIMENSIONS as usize];
    vector[place] = 1.0;
    vector
}

async fn two_documents(f: &Fixture) -> (CollectionId, GenerationId) {
    let filings = f.collection("filings").await;
    let (_, former) = f.embed(filings, "a.txt", &[axis(0), axis(1)]).await;
    f.embed(filings, "b.txt", &[axis(2)]).await;
    (filings, former)
}

pub async fn a_generation_is_built_beside_and_switched_to_in_one_step(f: Fixture) {
    let (filings, former) = two_documents(&f).await;
    let scope = f.scope(&[filings]);
    let searched = async || -> Vec<GenerationId> {
        let found = f.store.generations(f.workspace, &[filings]).await.expect("read");
        found.iter().map(|one| one.id).collect()
    };
    let before = f.store.content_version(f.workspace, &[filings]).await.expect("read");
    let ReindexAccepted { job_id, generation_id: next } = f.begin_reindex(filings).await;
    let live = f.store.live_generations(f.workspace, filings).await.expect("read");
    assert_eq!(live.iter().map(|one| one.id).collect::<Vec<_>>(), [former, next]);
    assert_eq!((live[1].dimensions, live[1].model.as_str()), (OTHER, "other"));
    assert_eq!(searched().await, [former]);
    let claimed = f.claim(job_id).await;
    assert_eq!(f.lacking(next, 1).await, f.lacking(next, 100).await);
    assert_eq!(f.lacking(next, 1).await.len(), 3);
    assert_eq!(f.store.reindex_progress(f.workspace, next).await.expect("read"), (3, 0));
    f.fill(&claimed.claim, next, &[0.0, 1.0, 0.0]).await;
    assert_eq!(f.store.reindex_progress(f.workspace, next).await.expect("read"), (3, 3));
    assert!(f.lacking(next, 100).await.is_empty());
    assert_eq!(searched().await, [former]);
    assert_eq!(f.switch(&claimed.claim, next).await, Switch::Done);
    assert_eq!(searched().await, [next]);
    let after = f.store.content_version(f.workspace, &[filings]).await.expect("read");
    assert_ne!(before, after);
    let expected = [(former, GenerationState::Former), (next, GenerationState::Current)];
    assert_eq!(f.states(filings).await, expected);
    assert_eq!(f.state_of(job_id).await, JobState::Done);
    let [_, status] = &f.statuses(filings).await[..] else { panic!("two generations") };
    assert_eq!((status.passages, status.total, status.job_id), (3, 3, Some(job_id)));
    assert!(status.switched_at.is_some() && status.paused_at.is_none());
    let near = f.store.search_vectors(f.workspace, &scope, &[next], &[0.0, 1.0, 0.0], 9).await;
    assert_eq!(near.expect("answered").len(), 3);
    // The claim ended with the switch.
    let (store, now) = (&f.store, f.now());
    let late = store.switch_generation(f.workspace, &claimed.claim, next, 0, now).await;
    assert!(matches!(late, Err(StoreError::Fenced)), "{late:?}");
}

pub async fn a_collection_without_vectors_gets_its_first_by_reindexing(f: Fixture) {
    let filings = f.collection("filings").await;
    f.ingest(filings, "a.txt", &["alpha", "beta"]).await;
    let next = f.rebuild(filings).await;
    assert_eq!(f.states(filings).await, [(next, GenerationState::Current)]);
    let collection = f.store.collection(f.workspace, filings).await.expect("read").expect("there");
    assert_eq!(collection.embedding_model.as_deref(), Some("other"));
    // And an empty one as well.
    let empty = f.collection("empty").await;
    let next = f.rebuild(empty).await;
    assert_eq!(f.states(empty).await, [(next, GenerationState::Current)]);
}

pub async fn a_document_that_was_left_out_is_looked_for_again(f: Fixture) {
    let (filings, _) = two_documents(&f).await;
    let ReindexAccepted { job_id, generation_id: next } = f.begin_reindex(filings).await;
    let claim = f.claim(job_id).await.claim;
    let seen = f.store.reindex_subject(f.workspace, next).await.expect("read").expect("there");
    assert_eq!((seen.skipped, seen.paused, seen.passages_per_minute), (0, false, Some(60)));
    f.fill(&claim, next, &[1.0, 0.0, 0.0]).await;
    let upload = f.upload(filings, "c.txt", "c").await;
    let advance = f.advance(Step::DocumentsEmbed, serde_json::json!({}));
    f.finish_upload(f.workspace, &upload, &["late"], Some(advance)).await;
    let embedding = f.claim(upload.items[0].job_id).await.claim;
    f.store.note_skipped(f.workspace, &embedding, next).await.expect("noted");
    let (store, now) = (&f.store, f.now());
    let switched = store.switch_generation(f.workspace, &claim, next, seen.skipped, now).await;
    assert_eq!(switched.expect("answered"), Switch::Behind);
    assert_eq!(f.lacking(next, 9).await.len(), 1);
    f.fill(&claim, next, &[1.0, 0.0, 0.0]).await;
    assert_eq!(f.switch(&claim, next).await, Switch::Done);
}

pub async fn a_second_reindexing_waits_for_the_first(f: Fixture) {
    let (filings, former) = two_documents(&f).await;
    let first = f.begin_reindex(filings).await;
    let again = f.store.begin_reindex(f.workspace, f.reindex(filings)).await.expect("answered");
    assert_eq!(again, ReindexOutcome::UnderWay(first.job_id));
    let back = f.job(JobKind::Collections, Step::CollectionsReindex);
    let back = f.store.roll_back(f.workspace, filings, back, f.audit("x")).await;
    assert_eq!(back.expect("answered"), ReindexOutcome::NoGeneration);
    let claim = f.claim(first.job_id).await.claim;
    f.store.cancel(f.workspace, &claim, &[], f.now()).await.expect("cancelled");
    assert_eq!(f.states(filings).await, [(former, GenerationState::Current)]);
    let subject = f.store.reindex_subject(f.workspace, first.generation_id).await.expect("read");
    assert!(subject.is_none(), "{subject:?}");
    let second = f.begin_reindex(filings).await;
    // One whose job has failed is not gone on with by itself: another takes its place.
    let claim = f.claim(second.job_id).await.claim;
    let problem = quaestor_core::problem::Problem::new("x", "X", "x");
    let failed = JobState::Failed;
    let (store, now) = (&f.store, f.now());
    store.fail(f.workspace, &claim, failed, problem, &[], now).await.expect("failed");
    assert_eq!(f.states(filings).await.len(), 2);
    let third = f.begin_reindex(filings).await;
    let building = (third.generation_id, GenerationState::Building);
    assert_eq!(f.states(filings).await, [(former, GenerationState::Current), building]);
}

pub async fn the_former_generation_is_gone_back_to_at_once(f: Fixture) {
    let (filings, first) = two_documents(&f).await;
    let second = f.rebuild(filings).await;
    let job = f.job(JobKind::Collections, Step::CollectionsReindex);
    let id = job.id;
    let back = f.store.roll_back(f.workspace, filings, job, f.audit("rollback")).await;
    let accepted = ReindexAccepted { job_id: id, generation_id: first };
    assert_eq!(back.expect("answered"), ReindexOutcome::Accepted(accepted));
    let expected = [(first, GenerationState::Current), (second, GenerationState::Former)];
    assert_eq!(f.states(filings).await, expected);
    // What came in since is made up for.
    let claimed = f.claim(id).await;
    let payload: quaestor_core::jobs::ReindexPayload =
        serde_json::from_value(claimed.payload).expect("a payload");
    assert_eq!((payload.generation_id, payload.collection_id), (first, filings));
    assert_eq!(f.switch(&claimed.claim, first).await, Switch::Done);
    assert_eq!(f.state_of(id).await, JobState::Done);
    // One more: what was the former until now is dropped.
    let third = f.rebuild(filings).await;
    let expected = [(first, GenerationState::Former), (third, GenerationState::Current)];
    assert_eq!(f.states(filings).await, expected);
    let drop = async || f.store.drop_former(f.workspace, filings, f.audit("drop")).await;
    assert_eq!(drop().await.expect("answered"), ReindexOutcome::Accepted(()));
    assert_eq!(drop().await.expect("answered"), ReindexOutcome::NoGeneration);
    assert_eq!(f.states(filings).await, [(third, GenerationState::Current)]);
    f.store.upkeep().await.expect("kept up");
    let scope = f.scope(&[filings]);
    let near = f.store.search_vectors(f.workspace, &scope, &[first], &axis(0), 9).await;
    assert!(near.expect("answered").is_empty(), "its vectors are gone");
}

pub async fn a_reindexing_is_paused_and_goes_on(f: Fixture) {
    let (filings, _) = two_documents(&f).await;
    let pause = async |paused| {
        let audit = f.audit("collection.reindex_pause");
        let outcome = f.store.pause_reindex(f.workspace, filings, paused, f.now(), audit).await;
        outcome.expect("answered")
    };
    assert_eq!(pause(true).await, ReindexOutcome::NoGeneration);
    let accepted = f.begin_reindex(filings).await;
    let paused = async || {
        let subject = f.store.reindex_subject(f.workspace, accepted.generation_id).await;
        subject.expect("read").expect("there").paused
    };
    for wanted in [true, true, false, false] {
        assert_eq!(pause(wanted).await, ReindexOutcome::Accepted(accepted.job_id));
        assert_eq!(paused().await, wanted);
    }
    let claim = f.claim(accepted.job_id).await.claim;
    f.fill(&claim, accepted.generation_id, &[1.0, 0.0, 0.0]).await;
    assert_eq!(f.switch(&claim, accepted.generation_id).await, Switch::Done);
    assert_eq!(pause(true).await, ReindexOutcome::NoGeneration);
}

pub async fn progress_makes_the_tries_of_a_step_count_anew(f: Fixture) {
    let (filings, _) = two_documents(&f).await;
    let accepted = f.begin_reindex(filings).await;
    let mut claimed = f.claim(accepted.job_id).await;
    for _ in 0..3 {
        f.pass(std::time::Duration::from_secs(600));
        claimed = f.claim(accepted.job_id).await;
    }
    assert_eq!(claimed.step_attempt, 4);
    f.fill(&claimed.claim, accepted.generation_id, &[1.0, 0.0, 0.0]).await;
    f.pass(std::time::Duration::from_secs(600));
    assert_eq!(f.claim(accepted.job_id).await.step_attempt, 2);
}

pub async fn a_reindexing_is_sized_by_what_is_searched(f: Fixture) {
    let (filings, _) = two_documents(&f).await;
    let size = async |model| {
        let size = f.store.reindex_size(f.workspace, filings, model).await.expect("measured");
        size.expect("the collection is there")
    };
    let known = size("model").await;
    assert_eq!((known.documents, known.passages), (2, 3));
    assert!(known.tokens > 0 && known.us_per_passage.is_some_and(|us| us > 0.0), "{known:?}");
    assert!(size("other").await.us_per_passage.is_none());
    assert!(f.store.reindex_size(f.workspace, f.id(), "m").await.expect("measured").is_none());
    assert!(f.store.most_dimensions() >= 4_096);
}

pub async fn a_reindexing_is_accepted_once_under_its_key(f: Fixture) {
    let (filings, _) = two_documents(&f).await;
    let mut reindex = f.reindex(filings);
    reindex.idempotency = Some(IdempotencyKey {
        principal_id: f.principal,
        key: "once".to_owned(),
        request_sha256: [7; 32],
        created_at: f.now(),
    });
    let begun = f.store.begin_reindex(f.workspace, reindex.clone()).await.expect("answered");
    let again = f.store.begin_reindex(f.workspace, reindex).await;
    assert!(matches!(again, Err(StoreError::Conflict { .. })), "{again:?}");
    let kept = f.store.remembered(f.workspace, f.principal, "once").await.expect("read");
    let kept: ReindexAccepted =
        serde_json::from_value(kept.expect("kept").response).expect("an answer");
    assert_eq!(begun, ReindexOutcome::Accepted(kept));
}

pub async fn another_workspace_sees_no_generation(f: Fixture) {
    let (filings, _) = two_documents(&f).await;
    let accepted = f.begin_reindex(filings).await;
    let (store, thief, now) = (&f.store, f.new_workspace().await, f.now());
    let next = accepted.generation_id;
    let begun = store.begin_reindex(thief, f.reindex(filings)).await.expect("answered");
    assert_eq!(begun, ReindexOutcome::NoCollection);
    assert!(store.collection_generations(thief, filings).await.expect("read").is_none());
    assert!(store.live_generations(thief, filings).await.expect("read").is_empty());
    assert!(store.reindex_size(thief, filings, "model").await.expect("read").is_none());
    assert!(store.reindex_subject(thief, next).await.expect("read").is_none());
    assert_eq!(store.reindex_progress(thief, next).await.expect("read"), (0, 0));
    let passages = store.passages_to_index(thief, next, None, 9).await.expect("read");
    assert!(passages.chunks.is_empty());
    let paused = store.pause_reindex(thief, filings, true, now, f.audit("x")).await;
    assert_eq!(paused.expect("answered"), ReindexOutcome::NoCollection);
    let job = f.job(JobKind::Collections, Step::CollectionsReindex);
    let back = store.roll_back(thief, filings, job, f.audit("x")).await.expect("answered");
    assert_eq!(back, ReindexOutcome::NoCollection);
    let dropped = store.drop_former(thief, filings, f.audit("x")).await.expect("answered");
    assert_eq!(dropped, ReindexOutcome::NoCollection);
    let claim = f.claim(accepted.job_id).await.claim;
    for refused in [
        store.save_vectors(thief, &claim, next, Vec::new(), 0, &[]).await,
        store.note_skipped(thief, &claim, next).await,
        store.switch_generation(thief, &claim, next, 0, now).await.map(drop),
        store.finish_reindex(thief, &claim, now).await,
    ] {
        assert!(matches!(refused, Err(StoreError::Fenced)), "{refused:?}");
    }
    f.fill(&claim, next, &[1.0, 0.0, 0.0]).await;
    let texts = [TextHash::of("a")];
    let known = store.known_vectors(thief, next, &texts).await.expect("read");
    assert_eq!(known, [None]);
}

pub async fn a_deleted_collection_ends_its_reindexing(f: Fixture) {
    let (filings, _) = two_documents(&f).await;
    let accepted = f.begin_reindex(filings).await;
    let claim = f.claim(accepted.job_id).await.claim;
    f.fill(&claim, accepted.generation_id, &[1.0, 0.0, 0.0]).await;
    let deleted = f.store.delete_collection(f.workspace, filings, f.now(), f.audit("delete")).await;
    deleted.expect("deleted").expect("it was there");
    assert_eq!(f.state_of(accepted.job_id).await, JobState::Cancelled);
    let (store, now) = (&f.store, f.now());
    let late = store.switch_generation(f.workspace, &claim, accepted.generation_id, 0, now).await;
    assert!(matches!(late, Err(StoreError::Fenced)), "{late:?}");
    assert!(f.leftovers().await.is_empty(), "{:?}", f.leftovers().await);
}

/// Embeds a document of these passages, whose vectors say their place; returns their texts.
async fn embedded(
    f: &Fixture,
    filings: CollectionId,
    name: &str,
    texts: &[&str],
) -> (DocumentId, GenerationId, Vec<TextHash>) {
    let generation = f.generation(f.workspace, filings).await;
    let upload = f.upload(filings, name, &format!("{texts:?}")).await;
    let item = &upload.items[0];
    let next = f.advance(Step::DocumentsEmbed, serde_json::json!({}));
    f.finish_upload(f.workspace, &upload, texts, Some(next)).await;
    let claim = f.claim(item.job_id).await.claim;
    let version = f.version_of(item.document_id).await;
    let store = &f.store;
    let batch = store.chunks_to_embed(f.workspace, item.document_id, version, generation, 99);
    let hashes: Vec<TextHash> =
        batch.await.expect("read").chunks.iter().map(|(_, text)| TextHash::of(text)).collect();
    f.fill(&claim, generation, &axis(5)).await;
    let now = f.now();
    let done = store.finish_embed(f.workspace, &claim, item.document_id, version, now).await;
    done.expect("finished");
    (item.document_id, generation, hashes)
}

pub async fn what_was_embedded_once_is_found_again_by_its_text(f: Fixture) {
    let filings = f.collection("filings").await;
    let (document, generation, texts) = embedded(&f, filings, "a.txt", &["alpha", "beta"]).await;
    let known = async |generation, texts: &[TextHash]| -> Vec<bool> {
        let found = f.store.known_vectors(f.workspace, generation, texts).await.expect("read");
        found.into_iter().map(|vector| vector.is_some_and(|v| v == axis(5))).collect()
    };
    let strange = TextHash::of("something else");
    let wanted = [texts[1], strange, texts[0], texts[0]];
    assert_eq!(known(generation, &wanted).await, [true, false, true, true]);
    // In another collection of the same model as well, and for no other model.
    let other = f.collection("other").await;
    let same = f.generation(f.workspace, other).await;
    assert_eq!(known(same, &texts).await, [true, true]);
    let building = f.begin_reindex(filings).await.generation_id;
    assert_eq!(known(building, &texts).await, [false, false]);
    // A version that is replaced keeps its vectors until the next one has its own.
    let upload = f.upload(filings, "a.txt", "another").await;
    let next = f.advance(Step::DocumentsEmbed, serde_json::json!({}));
    f.finish_upload(f.workspace, &upload, &["alpha", "gamma"], Some(next)).await;
    assert_eq!(known(generation, &texts).await, [true, true]);
    let claim = f.claim(upload.items[0].job_id).await.claim;
    f.fill(&claim, generation, &axis(6)).await;
    let (store, now) = (&f.store, f.now());
    store.finish_embed(f.workspace, &claim, document, 2, now).await.expect("finished");
    assert_eq!(known(generation, &texts).await, [false, false]);
    // A document that is deleted leaves nothing of it.
    let (gone, _, texts) = embedded(&f, filings, "b.txt", &["delta"]).await;
    assert_eq!(known(generation, &texts).await, [true]);
    let deleted = f.store.delete_document(f.workspace, gone, f.now(), f.audit("delete")).await;
    deleted.expect("deleted").expect("it was there");
    assert_eq!(known(generation, &texts).await, [false]);
}

pub async fn a_replaced_version_gets_no_vectors(f: Fixture) {
    let (filings, _) = two_documents(&f).await;
    let accepted = f.begin_reindex(filings).await;
    let claim = f.claim(accepted.job_id).await.claim;
    let next = accepted.generation_id;
    let read = f.lacking(next, 100).await;
    f.ingest(filings, "a.txt", &["anew"]).await;
    let vectors = read.into_iter().map(|(chunk, _)| (chunk, vec![1.0, 0.0, 0.0]).into()).collect();
    let saved = f.store.save_vectors(f.workspace, &claim, next, vectors, 1, &[]).await;
    saved.expect("stored");
    assert_eq!(f.store.reindex_progress(f.workspace, next).await.expect("read"), (2, 1));
    assert_eq!(f.lacking(next, 100).await.len(), 1);
}
