//! Readings: a version is read again by a later parser, or cut otherwise for the generation
//! that is built, and no search ever meets two readings of it.
#![expect(missing_docs, reason = "the name of a case is what it promises")]

use quaestor_core::ids::{ChunkId, CollectionId, DocumentId, GenerationId, JobId};
use quaestor_core::jobs::{DocumentPayload, JobKind, Step};
use quaestor_core::model::{Chunking, DocumentStatus, JobState};
use quaestor_core::ports::store::{
    Claim, EmbeddedChunk, IngestSubject, NewReindex, NewReparse, READINGS_FROM, ReadAgain,
    ReindexAccepted, ReindexOutcome, StoreError, Switch, TextHash,
};
use quaestor_core::problem::Problem;
use quaestor_core::reading_sum::ReadingSum;

use super::fixture::{DIMENSIONS, Fixture};

fn later() -> Vec<String> {
    vec!["text 2".to_owned(), "pdf 1".to_owned()]
}

const SIZES: Chunking = Chunking { target_chars: 400, max_chars: 700 };

fn axis(place: usize) -> [f32; DIMENSIONS as usize] {
    let mut vector = [0.0; DIMENSIONS as usize];
    vector[place] = 1.0;
    vector
}

impl Fixture {
    /// Queues what is to be read again, as one batch. The jobs, of which so many have a document.
    async fn read_again(&self, collection: CollectionId, which: ReadAgain<'_>) -> Vec<JobId> {
        let batch_id = self.id();
        let mut jobs = Vec::new();
        for _ in 0..5 {
            let job = self.job(JobKind::Documents, Step::DocumentsIngest);
            jobs.push(quaestor_core::jobs::NewJob { batch_id: Some(batch_id), ..job });
        }
        let ids: Vec<JobId> = jobs.iter().map(|job| job.id).collect();
        let reparse = NewReparse {
            collection_id: collection,
            which,
            batch_id,
            principal_id: Some(self.principal),
            name: "read again".to_owned(),
            jobs,
            audit: Some(self.audit("collection.reparse")),
        };
        let queued = self.store.begin_reparse(self.workspace, reparse).await.expect("queued");
        let queued = usize::try_from(queued.expect("the collection is there")).expect("few");
        if queued > 0 {
            let now = self.now();
            let batch = self.store.batch(self.workspace, None, batch_id, now).await.expect("read");
            let batch = batch.expect("the batch is there");
            assert_eq!((batch.total, batch.name.as_deref()), (queued as u64, Some("read again")));
        }
        ids.into_iter().take(queued).collect()
    }

    async fn stale(&self, collection: CollectionId, which: ReadAgain<'_>) -> u64 {
        let found = self.store.to_read_again(self.workspace, collection, which).await;
        found.expect("counted").expect("the collection is there").stale
    }

    /// Claims a job that reads a version again, and begins.
    async fn begin_again(&self, job: JobId) -> (Claim, IngestSubject) {
        let claimed = self.claim(job).await;
        let payload: DocumentPayload =
            serde_json::from_value(claimed.payload.clone()).expect("the store wrote the payload");
        let (document, version) = (payload.document_id, payload.version);
        let subject = self.store.ingest_subject(self.workspace, document, version).await;
        let subject = subject.expect("read").expect("there");
        assert!(subject.version >= READINGS_FROM && subject.reading_of.is_some());
        let begun = self.store.resume_ingest(self.workspace, &claimed.claim, &subject, "1").await;
        assert_eq!(begun.expect("begun"), None);
        (claimed.claim, subject)
    }

    /// The chunks that hold a word, in the order of their ids.
    async fn worded(&self, collection: CollectionId, word: &str) -> Vec<ChunkId> {
        let scope = self.scope(&[collection]);
        let hits = self.store.search_text(self.workspace, &scope, &[word.to_owned()], 99).await;
        let mut ids: Vec<ChunkId> =
            hits.expect("answered").into_iter().map(|hit| hit.chunk_id).collect();
        ids.sort_unstable();
        ids
    }

    async fn near(&self, collection: CollectionId, vector: &[f32]) -> Vec<ChunkId> {
        let scope = self.scope(&[collection]);
        let all = self.store.generations(self.workspace, &[collection]).await.expect("read");
        let all: Vec<GenerationId> = all.iter().map(|one| one.id).collect();
        let hits = self.store.search_vectors(self.workspace, &scope, &all, vector, 99).await;
        let mut ids: Vec<ChunkId> =
            hits.expect("answered").into_iter().map(|hit| hit.chunk_id).collect();
        ids.sort_unstable();
        ids
    }

    fn recut(&self, collection: CollectionId, chunking: Option<Chunking>) -> NewReindex {
        NewReindex {
            collection_id: collection,
            generation_id: self.id(),
            model: "model".to_owned(),
            dimensions: DIMENSIONS,
            chunking,
            passages_per_minute: None,
            job: self.job(JobKind::Collections, Step::CollectionsReindex),
            idempotency: None,
            audit: self.audit("collection.reindex"),
        }
    }

    async fn begin_recut(&self, collection: CollectionId) -> (Claim, ReindexAccepted) {
        let reindex = self.recut(collection, Some(SIZES));
        let begun = self.store.begin_reindex(self.workspace, reindex).await.expect("answered");
        let ReindexOutcome::Accepted(accepted) = begun else { panic!("not accepted: {begun:?}") };
        (self.claim(accepted.job_id).await.claim, accepted)
    }

    /// Reads all documents that a generation lacks as these texts.
    async fn read_for(&self, claim: &Claim, generation: GenerationId, texts: &[&str]) -> usize {
        let store = &self.store;
        let collection = self.collection_of(generation).await;
        while store.clear_readings(self.workspace, collection).await.expect("cleared") {}
        let lacking = store.documents_to_read(self.workspace, generation, None, 99).await;
        let lacking = lacking.expect("read");
        let count = store.count_to_read(self.workspace, generation).await.expect("counted");
        assert_eq!(count, lacking.len() as u64);
        for document in &lacking {
            let opened = store.open_reading(self.workspace, claim, generation, *document).await;
            let subject = opened.expect("opened").expect("it is lacking");
            let again = store.open_reading(self.workspace, claim, generation, *document).await;
            assert_eq!(again.expect("opened").expect("it is the same").version, subject.version);
            let begun = store.resume_ingest(self.workspace, claim, &subject, "1").await;
            assert_eq!(begun.expect("begun"), None);
            self.save(self.workspace, claim, &subject, texts).await;
            let summary = self.summary(texts.len());
            let finished = store.finish_reading(self.workspace, claim, &subject, summary).await;
            finished.expect("finished");
        }
        lacking.len()
    }

    async fn collection_of(&self, generation: GenerationId) -> CollectionId {
        let subject = self.store.reindex_subject(self.workspace, generation).await.expect("read");
        subject.expect("there").generation.collection_id
    }

    async fn fill_anew(&self, claim: &Claim, generation: GenerationId) -> usize {
        let (store, workspace) = (&self.store, self.workspace);
        let found = store.passages_to_index(workspace, generation, None, 99).await.expect("read");
        let vectors: Vec<EmbeddedChunk> = found
            .chunks
            .into_iter()
            .map(|(chunk_id, text)| EmbeddedChunk {
                chunk_id,
                text: Some(TextHash::of(&text)),
                vector: axis(7).to_vec(),
            })
            .collect();
        let count = vectors.len();
        store.save_vectors(workspace, claim, generation, vectors, 1, &[]).await.expect("stored");
        count
    }

    async fn change_over(&self, claim: &Claim, generation: GenerationId) -> Switch {
        let subject = self.store.reindex_subject(self.workspace, generation).await;
        let skipped = subject.expect("read").expect("there").skipped;
        let (store, now) = (&self.store, self.now());
        let switched =
            store.switch_generation(self.workspace, claim, generation, skipped, now).await;
        switched.expect("answered")
    }

    async fn shown(&self, document: DocumentId) -> quaestor_core::model::Document {
        let found = self.store.document(self.workspace, document).await.expect("read");
        found.expect("the document is there")
    }

    /// The collection's passages by words are exactly these, and by meaning too.
    async fn assert_searched(&self, collection: CollectionId, there: &[ChunkId]) {
        let mut there = there.to_vec();
        there.sort_unstable();
        assert_eq!(self.worded(collection, "chunk").await, there);
        assert_eq!(self.near(collection, &axis(0)).await, there);
    }
}

fn chunks_of(document: DocumentId, version: u32, count: u32) -> Vec<ChunkId> {
    (0..count).map(|ordinal| ChunkId::derive(document, version, ordinal)).collect()
}

pub async fn a_version_is_read_again_beside_and_changes_over_in_one_step(f: Fixture) {
    let filings = f.collection("filings").await;
    let (document, generation) = f.embed(filings, "a.txt", &[axis(0), axis(1)]).await;
    let old = chunks_of(document, 1, 2);
    let parsers = later();
    let which = ReadAgain::OtherThan(&parsers);
    assert_eq!(f.stale(filings, which).await, 1);
    let [job] = f.read_again(filings, which).await[..] else { panic!("one document") };
    assert_eq!(f.stale(filings, which).await, 0);
    assert!(f.read_again(filings, which).await.is_empty());
    let (claim, subject) = f.begin_again(job).await;
    assert_eq!((subject.document_id, subject.reading_of), (document, Some(1)));
    let texts = ["later chunk 0", "later chunk 1", "later chunk 2"];
    f.save(f.workspace, &claim, &subject, &texts).await;
    f.assert_searched(filings, &old).await;
    let next = f.advance(Step::DocumentsEmbed, serde_json::json!({}));
    let mut summary = f.summary(3);
    summary.parser = "text 2".to_owned();
    let (store, now) = (&f.store, f.now());
    let finished =
        store.finish_ingest(f.workspace, &claim, &subject, summary, Some(next), now).await;
    finished.expect("finished");
    f.assert_searched(filings, &old).await;
    let claim = f.claim(job).await.claim;
    let batch = store.chunks_to_embed(f.workspace, document, subject.version, generation, 9).await;
    let batch = batch.expect("read");
    assert_eq!((batch.chunks.len(), batch.total), (3, 3));
    let vectors = batch.chunks.into_iter().map(|(id, _)| (id, axis(3).to_vec()).into()).collect();
    store.save_vectors(f.workspace, &claim, generation, vectors, 1, &[]).await.expect("stored");
    f.assert_searched(filings, &old).await;
    let stats = store.term_stats(f.workspace, &["chunk".to_owned()]).await.expect("counted");
    assert_eq!(stats.chunks, 2);
    store
        .finish_embed(f.workspace, &claim, document, subject.version, f.now())
        .await
        .expect("finished");
    let new = chunks_of(document, subject.version, 3);
    f.assert_searched(filings, &new).await;
    // The version is what it was, with what was found now.
    let shown = f.shown(document).await;
    assert_eq!((shown.version, shown.chunks, shown.status), (1, 3, DocumentStatus::Ready));
    assert_eq!(f.stale(filings, which).await, 0);
    // What cites the earlier reading finds its passages, and their page.
    let passages = store.passages(f.workspace, &old).await.expect("read");
    assert_eq!(passages.len(), 2);
    assert!(passages.iter().all(|passage| passage.version == 1));
    let page = store.passage_page(f.workspace, old[0]).await.expect("read").expect("there");
    assert_eq!(page.text, "a.txt chunk 0\na.txt chunk 1");
    let page = store.passage_page(f.workspace, new[0]).await.expect("read").expect("there");
    assert!(page.text.starts_with("later chunk 0"));
    let listed = store.document_chunks(f.workspace, document, 0, 9).await.expect("read");
    assert_eq!(listed.expect("there").len(), 3);
    let object = store.document_object(f.workspace, document, None).await.expect("read");
    assert!(object.is_some());
    let state = store.job(f.workspace, None, job).await.expect("read").expect("there").state;
    assert_eq!(state, JobState::Done);
    // And once more: numbers are never used twice.
    let [job] = f.read_again(filings, ReadAgain::All).await[..] else { panic!("one document") };
    let (claim, third) = f.begin_again(job).await;
    assert!(third.version > subject.version);
    f.save(f.workspace, &claim, &third, &["third chunk"]).await;
    let summary = f.summary(1);
    let finished = store.finish_ingest(f.workspace, &claim, &third, summary, None, f.now()).await;
    finished.expect("finished");
    assert_eq!(f.worded(filings, "chunk").await, chunks_of(document, third.version, 1));
    let all: Vec<ChunkId> = old.into_iter().chain(new).collect();
    assert_eq!(store.passages(f.workspace, &all).await.expect("read").len(), 5);
}

pub async fn a_reading_that_is_the_same_changes_nothing(f: Fixture) {
    let filings = f.collection("filings").await;
    let document = f.ingest(filings, "a.txt", &["one chunk", "two chunk"]).await;
    let parsers = later();
    let which = ReadAgain::OtherThan(&parsers);
    let [job] = f.read_again(filings, which).await[..] else { panic!("one document") };
    let (claim, subject) = f.begin_again(job).await;
    let mut sum = ReadingSum::default();
    sum.page(&f.page("one chunk\ntwo chunk"));
    sum.chunk(&f.chunk(document, 1, 0, "one chunk").chunk);
    let other = sum.clone();
    sum.chunk(&f.chunk(document, 1, 1, "two chunk").chunk);
    let found = f.store.reading_digest(f.workspace, &subject).await.expect("read");
    assert_eq!(found, Some(sum.finish(Some("Title"), None, "text/plain")));
    assert_ne!(found, Some(other.finish(Some("Title"), None, "text/plain")));
    let kept = f.store.keep_reading(f.workspace, &claim, &subject, "text 2", f.now()).await;
    kept.expect("kept");
    assert_eq!(f.worded(filings, "chunk").await, {
        let mut ids = chunks_of(document, 1, 2);
        ids.sort_unstable();
        ids
    });
    assert_eq!(f.stale(filings, which).await, 0);
    let gone = f.store.ingest_subject(f.workspace, document, subject.version).await.expect("read");
    assert!(gone.is_none());
    let state = f.store.job(f.workspace, None, job).await.expect("read").expect("there").state;
    assert_eq!(state, JobState::Done);
}

pub async fn a_version_that_cannot_be_read_again_keeps_its_reading(f: Fixture) {
    let filings = f.collection("filings").await;
    let document = f.ingest(filings, "a.txt", &["one chunk"]).await;
    let parsers = later();
    let which = ReadAgain::OtherThan(&parsers);
    let [job] = f.read_again(filings, which).await[..] else { panic!("one document") };
    let (claim, subject) = f.begin_again(job).await;
    f.save(f.workspace, &claim, &subject, &["half of it, chunk"]).await;
    let problem = Problem::new("damaged_file", "Damaged", "the file is damaged");
    let failed = f.store.fail_ingest(f.workspace, &claim, &subject, problem, f.now()).await;
    failed.expect("failed");
    assert_eq!(f.worded(filings, "chunk").await, chunks_of(document, 1, 1));
    let shown = f.shown(document).await;
    let told = shown.error.expect("it says so");
    assert_eq!((shown.status, told.code.as_str()), (DocumentStatus::Ready, "not_read_again"));
    assert!(told.detail.contains("the file is damaged"), "{told:?}");
    // Whoever asks tries again; what goes by itself does not.
    assert_eq!(f.stale(filings, ReadAgain::NotYetTried(&parsers)).await, 0);
    assert_eq!(f.stale(filings, which).await, 1);
    let [job] = f.read_again(filings, which).await[..] else { panic!("one document") };
    let (claim, subject) = f.begin_again(job).await;
    f.save(f.workspace, &claim, &subject, &["whole chunk"]).await;
    let (store, summary) = (&f.store, f.summary(1));
    let done = store.finish_ingest(f.workspace, &claim, &subject, summary, None, f.now()).await;
    done.expect("finished");
    assert!(f.shown(document).await.error.is_none());
    assert_eq!(f.worded(filings, "whole").await.len(), 1);
}

pub async fn a_reading_that_a_later_version_overtakes_is_not_searched(f: Fixture) {
    let filings = f.collection("filings").await;
    let document = f.ingest(filings, "a.txt", &["one chunk"]).await;
    let upload = f.upload(filings, "a.txt", "newer").await;
    let [job] = f.read_again(filings, ReadAgain::All).await[..] else { panic!("one document") };
    let (claim, subject) = f.begin_again(job).await;
    f.finish_upload(f.workspace, &upload, &["newer chunk"], None).await;
    assert_eq!(f.worded(filings, "chunk").await, chunks_of(document, 2, 1));
    f.save(f.workspace, &claim, &subject, &["late chunk"]).await;
    let (store, summary) = (&f.store, f.summary(1));
    let done = store.finish_ingest(f.workspace, &claim, &subject, summary, None, f.now()).await;
    done.expect("finished");
    assert_eq!(f.worded(filings, "chunk").await, chunks_of(document, 2, 1));
    assert_eq!(f.shown(document).await.version, 2);
    // And the other way round: what was read again gives way to a version that came before.
    let upload = f.upload(filings, "a.txt", "newest").await;
    let [job] = f.read_again(filings, ReadAgain::All).await[..] else { panic!("one document") };
    let (claim, subject) = f.begin_again(job).await;
    f.save(f.workspace, &claim, &subject, &["again chunk"]).await;
    let summary = f.summary(1);
    let done = store.finish_ingest(f.workspace, &claim, &subject, summary, None, f.now()).await;
    done.expect("finished");
    assert_eq!(f.worded(filings, "again").await.len(), 1);
    f.finish_upload(f.workspace, &upload, &["newest chunk"], None).await;
    assert_eq!(f.worded(filings, "chunk").await, chunks_of(document, 3, 1));
}

pub async fn passages_are_cut_anew_beside_and_switched_to_in_one_step(f: Fixture) {
    let filings = f.collection("filings").await;
    let (first, former) = f.embed(filings, "a.txt", &[axis(0), axis(1)]).await;
    let (second, _) = f.embed(filings, "b.txt", &[axis(2)]).await;
    let old = [chunks_of(first, 1, 2), chunks_of(second, 1, 1)].concat();
    let (claim, ReindexAccepted { job_id, generation_id: next }) = f.begin_recut(filings).await;
    let store = &f.store;
    assert_eq!(f.read_for(&claim, next, &["cut chunk 0", "cut chunk 1"]).await, 2);
    assert_eq!(f.read_for(&claim, next, &[]).await, 0);
    f.assert_searched(filings, &old).await;
    assert_eq!(f.fill_anew(&claim, next).await, 4);
    f.assert_searched(filings, &old).await;
    assert_eq!(store.reindex_progress(f.workspace, next).await.expect("read"), (4, 4));
    assert_eq!(store.reindex_progress(f.workspace, former).await.expect("read"), (3, 3));
    let before = store.content_version(f.workspace, &[filings]).await.expect("read");
    assert_eq!(f.change_over(&claim, next).await, Switch::Done);
    assert_ne!(before, store.content_version(f.workspace, &[filings]).await.expect("read"));
    let numbers = [READINGS_FROM, READINGS_FROM];
    let new = [chunks_of(first, numbers[0], 2), chunks_of(second, numbers[1], 2)].concat();
    f.assert_searched(filings, &new).await;
    let passages = store.passages(f.workspace, &new).await.expect("read");
    assert!(passages.iter().all(|passage| passage.version == 1), "{passages:?}");
    assert_eq!(f.shown(first).await.chunks, 2);
    assert_eq!(f.shown(second).await.chunks, 2);
    let all = store.collection_generations(f.workspace, filings).await.expect("read").expect("it");
    assert_eq!([all[0].chunking, all[1].chunking], [Chunking::default(), SIZES]);
    assert_eq!(
        store.job(f.workspace, None, job_id).await.expect("read").expect("there").state,
        JobState::Done
    );
    // What comes now is cut as what is searched, and one that changes is nowhere as it was.
    let upload = f.upload(filings, "c.txt", "c").await;
    let (claim, subject) = f.begin(f.workspace, &upload).await;
    assert_eq!(subject.chunking, SIZES);
    f.save(f.workspace, &claim, &subject, &["late chunk"]).await;
    let summary = f.summary(1);
    let done = store.finish_ingest(f.workspace, &claim, &subject, summary, None, f.now()).await;
    done.expect("finished");
    let changed = f.ingest(filings, "b.txt", &["changed chunk"]).await;
    assert_eq!(changed, second);
    let late = upload.items[0].document_id;
    let now = [chunks_of(first, numbers[0], 2), chunks_of(second, 2, 1), chunks_of(late, 1, 1)];
    let mut now = now.concat();
    now.sort_unstable();
    assert_eq!(f.worded(filings, "chunk").await, now);
    // No third cut, as long as there is a way back.
    let third = store.begin_reindex(f.workspace, f.recut(filings, Some(SIZES))).await;
    assert_eq!(third.expect("answered"), ReindexOutcome::FormerCut);
    // Back again: what has no reading of the former cut is found by the one it has, until then.
    let job = f.job(JobKind::Collections, Step::CollectionsReindex);
    let back = store.roll_back(f.workspace, filings, job, f.audit("x")).await.expect("answered");
    let ReindexOutcome::Accepted(back) = back else { panic!("not accepted: {back:?}") };
    assert_eq!(back.generation_id, former);
    let mut then =
        [chunks_of(first, 1, 2), chunks_of(second, 2, 1), chunks_of(late, 1, 1)].concat();
    then.sort_unstable();
    assert_eq!(f.worded(filings, "chunk").await, then);
    let claim = f.claim(back.job_id).await.claim;
    assert_eq!(f.read_for(&claim, former, &["as before chunk"]).await, 2);
    assert_eq!(f.fill_anew(&claim, former).await, 2);
    let found = f.worded(filings, "chunk").await;
    assert_eq!(found.len(), 4);
    assert_eq!(found, f.near(filings, &axis(0)).await);
    assert_eq!(f.worded(filings, "before").await.len(), 2);
}

pub async fn a_document_that_comes_while_passages_are_cut_is_read_for_both(f: Fixture) {
    let filings = f.collection("filings").await;
    let (first, _) = f.embed(filings, "a.txt", &[axis(0)]).await;
    let (claim, ReindexAccepted { generation_id: next, .. }) = f.begin_recut(filings).await;
    let seen = f.store.reindex_subject(f.workspace, next).await.expect("read").expect("there");
    f.read_for(&claim, next, &["cut chunk 0", "cut chunk 1"]).await;
    f.fill_anew(&claim, next).await;
    let late = f.ingest(filings, "late.txt", &["late chunk"]).await;
    let (store, now) = (&f.store, f.now());
    let switched = store.switch_generation(f.workspace, &claim, next, seen.skipped, now).await;
    assert_eq!(switched.expect("answered"), Switch::Behind);
    // Nothing of it is embedded for the generation before it is cut for it.
    let batch = store.chunks_to_embed(f.workspace, late, 1, next, 9).await.expect("read");
    assert!(batch.chunks.is_empty());
    // One that cannot be read keeps the reading it has.
    let lacking = store.documents_to_read(f.workspace, next, None, 9).await.expect("read");
    assert_eq!(lacking, [late]);
    let subject = store.open_reading(f.workspace, &claim, next, late).await.expect("opened");
    let subject = subject.expect("it is lacking");
    let problem = Problem::new("damaged_file", "Damaged", "the file is damaged");
    store.fail_reading(f.workspace, &claim, &subject, problem).await.expect("failed");
    assert!(store.documents_to_read(f.workspace, next, None, 9).await.expect("read").is_empty());
    assert_eq!(f.fill_anew(&claim, next).await, 1);
    assert_eq!(f.change_over(&claim, next).await, Switch::Done);
    let there = [chunks_of(first, READINGS_FROM, 2), chunks_of(late, 1, 1)].concat();
    f.assert_searched(filings, &there).await;
    assert_eq!(f.shown(late).await.error.expect("told").code, "not_read_again");
}

pub async fn what_stood_in_for_a_reading_leaves_its_generation(f: Fixture) {
    let filings = f.collection("filings").await;
    f.embed(filings, "a.txt", &[axis(0)]).await;
    let (claim, ReindexAccepted { generation_id: next, .. }) = f.begin_recut(filings).await;
    let lacking = f.store.documents_to_read(f.workspace, next, None, 9).await.expect("read");
    let [document] = lacking[..] else { panic!("one document") };
    // It has its vectors by the reading that it has, and then gets one of its own.
    assert_eq!(f.fill_anew(&claim, next).await, 1);
    assert_eq!(f.read_for(&claim, next, &["cut chunk 0", "cut chunk 1"]).await, 1);
    assert_eq!(f.fill_anew(&claim, next).await, 2);
    assert_eq!(f.change_over(&claim, next).await, Switch::Done);
    f.assert_searched(filings, &chunks_of(document, READINGS_FROM, 2)).await;
}

pub async fn what_is_checked_is_the_reading_that_is_searched(f: Fixture) {
    let filings = f.collection("filings").await;
    f.embed(filings, "a.txt", &[axis(0)]).await;
    f.embed(filings, "b.txt", &[axis(1)]).await;
    let (claim, ReindexAccepted { generation_id: next, .. }) = f.begin_recut(filings).await;
    f.read_for(&claim, next, &["cut chunk 0", "cut chunk 1"]).await;
    f.fill_anew(&claim, next).await;
    assert_eq!(f.change_over(&claim, next).await, Switch::Done);
    // Both readings of a version share its file: no piece ends between them.
    let (mut after, mut searched, mut looked): (Option<String>, _, _) = (None, Vec::new(), 0);
    loop {
        let piece = f.store.check_versions(f.workspace, after.as_deref(), 1, 1).await;
        let piece = piece.expect("checked");
        looked += piece.items.len();
        searched.extend(piece.items.into_iter().filter(|version| version.is_current));
        match piece.next {
            Some(next) => after = Some(next),
            None => break,
        }
    }
    assert_eq!((looked, searched.len()), (4, 2));
    for version in &searched {
        assert!(version.version >= READINGS_FROM, "{version:?}");
        assert_eq!((version.passages, version.stored, version.indexed), (2, 2, 2));
        let vectors = version.vectors.expect("the generation is there");
        assert_eq!((vectors.generation_id, vectors.vectors, vectors.searched), (next, 2, 2));
    }
}

pub async fn a_file_that_was_cut_for_what_is_no_longer_searched_is_read_anew(f: Fixture) {
    let filings = f.collection("filings").await;
    f.embed(filings, "a.txt", &[axis(0)]).await;
    let (claim, ReindexAccepted { generation_id: next, .. }) = f.begin_recut(filings).await;
    let upload = f.upload(filings, "late.txt", "late").await;
    let (reading, subject) = f.begin(f.workspace, &upload).await;
    f.save(f.workspace, &reading, &subject, &["late chunk"]).await;
    f.read_for(&claim, next, &["cut chunk"]).await;
    f.fill_anew(&claim, next).await;
    assert_eq!(f.change_over(&claim, next).await, Switch::Done);
    let (store, summary) = (&f.store, f.summary(1));
    let late =
        store.finish_ingest(f.workspace, &reading, &subject, summary.clone(), None, f.now()).await;
    assert!(matches!(late, Err(StoreError::Conflict { .. })), "{late:?}");
    assert_eq!(f.worded(filings, "late").await, []);
    let (document, version) = (subject.document_id, subject.version);
    let subject = store.ingest_subject(f.workspace, document, version).await.expect("read");
    let subject = subject.expect("there");
    assert_eq!(subject.chunking, SIZES);
    let begun = store.resume_ingest(f.workspace, &reading, &subject, "1").await.expect("begun");
    assert_eq!(begun, None);
    f.save(f.workspace, &reading, &subject, &["late chunk"]).await;
    let done = store.finish_ingest(f.workspace, &reading, &subject, summary, None, f.now()).await;
    done.expect("finished");
    assert_eq!(f.worded(filings, "late").await.len(), 1);
}

pub async fn what_was_cut_in_vain_is_removed_and_what_was_searched_stays(f: Fixture) {
    let filings = f.collection("filings").await;
    let (document, _) = f.embed(filings, "a.txt", &[axis(0)]).await;
    let old = chunks_of(document, 1, 1);
    let (claim, ReindexAccepted { generation_id, .. }) = f.begin_recut(filings).await;
    f.read_for(&claim, generation_id, &["vain chunk"]).await;
    let vain = chunks_of(document, READINGS_FROM, 1);
    assert_eq!(f.store.passages(f.workspace, &vain).await.expect("read").len(), 1);
    f.store.cancel(f.workspace, &claim, &[], f.now()).await.expect("cancelled");
    f.assert_searched(filings, &old).await;
    f.store.upkeep().await.expect("tended");
    f.assert_searched(filings, &old).await;
    assert!(f.store.passages(f.workspace, &vain).await.expect("read").is_empty());
    // One that was searched leaves its passages to those who cite them.
    let (claim, ReindexAccepted { generation_id: next, .. }) = f.begin_recut(filings).await;
    f.read_for(&claim, next, &["next chunk"]).await;
    f.fill_anew(&claim, next).await;
    assert_eq!(f.change_over(&claim, next).await, Switch::Done);
    let dropped = f.store.drop_former(f.workspace, filings, f.audit("x")).await.expect("answered");
    assert_eq!(dropped, ReindexOutcome::Accepted(()));
    let collection = filings;
    while f.store.clear_readings(f.workspace, collection).await.expect("cleared") {}
    assert_eq!(f.store.passages(f.workspace, &old).await.expect("read").len(), 1);
    let next = f.worded(filings, "next").await;
    f.assert_searched(filings, &next).await;
    let stats = f.store.term_stats(f.workspace, &["chunk".to_owned()]).await.expect("counted");
    assert_eq!((stats.chunks, stats.chunks_with), (1, vec![1]));
    // And a third cut is begun where the first one was.
    let (claim, ReindexAccepted { generation_id, .. }) = f.begin_recut(filings).await;
    assert_eq!(f.read_for(&claim, generation_id, &["third chunk"]).await, 1);
    f.fill_anew(&claim, generation_id).await;
    assert_eq!(f.change_over(&claim, generation_id).await, Switch::Done);
    assert_eq!(f.worded(filings, "chunk").await, f.worded(filings, "third").await);
}

pub async fn another_workspace_reads_nothing_again(f: Fixture) {
    let filings = f.collection("filings").await;
    f.embed(filings, "a.txt", &[axis(0)]).await;
    let [job] = f.read_again(filings, ReadAgain::All).await[..] else { panic!("one document") };
    let (_, subject) = f.begin_again(job).await;
    let thief = f.new_workspace().await;
    let store = &f.store;
    assert!(store.to_read_again(thief, filings, ReadAgain::All).await.expect("read").is_none());
    assert!(store.reading_digest(thief, &subject).await.expect("read").is_none());
    assert!(!store.clear_readings(thief, filings).await.expect("read"));
    let reparse = NewReparse {
        collection_id: filings,
        which: ReadAgain::All,
        batch_id: f.id(),
        principal_id: Some(f.principal),
        name: "x".to_owned(),
        jobs: vec![f.job(JobKind::Documents, Step::DocumentsIngest)],
        audit: None,
    };
    assert!(store.begin_reparse(thief, reparse).await.expect("answered").is_none());
    let chunk = ChunkId::derive(subject.document_id, 1, 0);
    assert!(store.passage_page(thief, chunk).await.expect("read").is_none());
}
