//! What the check of what is stored reads: for each kind of damage that a backend can do to
//! itself, the reading shows it.

#![expect(missing_docs, reason = "the name of a case is what it promises")]

use quaestor_core::ids::DocumentId;
use quaestor_core::jobs::{DocumentPayload, JobKind, Step};
use quaestor_core::model::{DocumentStatus, PageRequest};
use quaestor_core::ports::store::{CheckedVectors, CheckedVersion, JobFilter, StrayCursor, Strays};

use super::fixture::{DIMENSIONS, Fixture};

/// What a test has happen to a store behind its port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Damage {
    /// No passage can be found by words.
    PostingsGone,
    /// The last vector is gone.
    VectorGone,
    /// What a search by meaning looks through is gone, where that is not the vectors.
    VectorIndexGone,
    /// The generation has another length.
    OtherLength,
    /// The last passage is gone, and what belonged to it is left.
    PassageGone,
    /// The last passage is of a version that is not there.
    PassageOfNoVersion,
}

const VECTORS: [[f32; DIMENSIONS as usize]; 3] = {
    let mut vectors = [[0.0; DIMENSIONS as usize]; 3];
    vectors[0][0] = 1.0;
    vectors[1][1] = 1.0;
    vectors[2][2] = 1.0;
    vectors
};

impl Fixture {
    async fn checked(&self) -> Vec<CheckedVersion> {
        let (mut all, mut after) = (Vec::new(), None::<String>);
        loop {
            let piece = self.store.check_versions(self.workspace, after.as_deref(), 2, 4).await;
            let piece = piece.expect("read");
            assert!(piece.items.len() <= 2);
            all.extend(piece.items);
            after = piece.next;
            if after.is_none() {
                return all;
            }
        }
    }

    async fn checked_one(&self) -> (CheckedVersion, CheckedVectors) {
        let mut all = self.checked().await;
        assert_eq!(all.len(), 1);
        let version = all.remove(0);
        let vectors = version.vectors.expect("there is a generation");
        (version, vectors)
    }

    async fn strays(&self, of_vectors: bool) -> (u64, u64) {
        let workspaces = self.store.workspaces_after(None, 100).await.expect("listed");
        let (mut looked, mut strays, mut after) = (0, 0, None::<StrayCursor>);
        for _ in 0..100 {
            let piece: Strays = if of_vectors {
                self.store.stray_vectors(&workspaces, after, 2).await.expect("read")
            } else {
                self.store.stray_passages(&workspaces, after, 2).await.expect("read")
            };
            assert_eq!(piece.strays > 0, !piece.examples.is_empty());
            looked += piece.looked;
            strays += piece.strays;
            after = piece.next;
            if after.is_none() {
                return (looked, strays);
            }
        }
        panic!("the look has no end");
    }

    /// A document with vectors, to which this has happened; none where it cannot happen here.
    async fn damaged(&self, damage: Damage) -> Option<DocumentId> {
        let collection = self.collection("reports").await;
        let (document, _) = self.embed(collection, "a.md", &VECTORS).await;
        self.harm(damage).await.then_some(document)
    }
}

pub async fn what_agrees_is_told_as_it_is(f: Fixture) {
    let collection = f.collection("reports").await;
    let (document, generation) = f.embed(collection, "a.md", &VECTORS).await;
    let words_only = f.collection("words").await;
    f.ingest(words_only, "b.md", &["one", "two"]).await;
    f.ingest(words_only, "c.md", &["three"]).await;
    let other = f.new_workspace().await;
    let elsewhere = f.collection_in(other, "reports").await;
    f.ingest_in(other, elsewhere, "d.md", &["four"]).await;

    let checked = f.checked().await;
    assert_eq!(checked.len(), 3, "each once, and none of another workspace");
    let version = checked.iter().find(|one| one.document_id == document).unwrap();
    assert!(version.is_current);
    assert_eq!((version.status, version.version), (DocumentStatus::Ready, 1));
    assert_eq!((version.passages, version.stored, version.indexed), (3, 3, 3));
    let vectors = CheckedVectors {
        generation_id: generation,
        dimensions: DIMENSIONS,
        vectors: 3,
        other_length: 0,
        searched: 3,
    };
    assert_eq!(version.vectors, Some(vectors));
    for other in checked.iter().filter(|one| one.document_id != document) {
        assert_eq!((other.vectors, other.stored == other.indexed), (None, true));
    }
    assert_eq!(f.strays(false).await, (7, 0), "3, 2 and 1 here and 1 there");
    assert_eq!(f.strays(true).await, (3, 0));
    assert!(f.store.check_exports(f.workspace, None, 10).await.unwrap().is_empty());
}

pub async fn a_version_that_is_replaced_is_not_searched(f: Fixture) {
    let collection = f.collection("reports").await;
    f.embed(collection, "a.md", &VECTORS).await;
    f.ingest(collection, "a.md", &["anew"]).await;
    let checked = f.checked().await;
    let current: Vec<(u32, bool)> =
        checked.iter().map(|version| (version.version, version.is_current)).collect();
    assert_eq!(current, [(1, false), (2, true)]);
    assert_eq!((checked[1].stored, checked[1].indexed), (1, 1));
}

pub async fn postings_that_are_gone_show(f: Fixture) {
    if f.damaged(Damage::PostingsGone).await.is_none() {
        return;
    }
    let (version, vectors) = f.checked_one().await;
    assert_eq!((version.stored, version.indexed, vectors.vectors), (3, 0, 3));
}

pub async fn a_vector_that_is_gone_shows_and_can_be_made(f: Fixture) {
    let Some(document) = f.damaged(Damage::VectorGone).await else { return };
    let (version, vectors) = f.checked_one().await;
    assert_eq!((version.stored, vectors.vectors), (3, 2));
    let job = || {
        let mut job = f.job(JobKind::Documents, Step::DocumentsEmbed);
        let payload = DocumentPayload {
            document_id: document,
            version: 1,
            collection_id: version.collection_id,
            generation_id: None,
        };
        job.payload = serde_json::json!(payload);
        job
    };
    let again = job();
    let id = again.id;
    assert!(!f.store.embed_again(f.workspace, document, 2, job()).await.unwrap());
    let elsewhere = f.new_workspace().await;
    assert!(!f.store.embed_again(elsewhere, document, 1, job()).await.unwrap());
    assert!(f.store.embed_again(f.workspace, document, 1, again).await.unwrap());
    assert!(!f.store.embed_again(f.workspace, document, 1, job()).await.unwrap(), "it is made");
    let claim = f.claim(id).await.claim;
    let lacking =
        f.store.chunks_to_embed(f.workspace, document, 1, vectors.generation_id, 10).await.unwrap();
    assert_eq!(lacking.chunks.len(), 1);
    let made = vec![(lacking.chunks[0].0, VECTORS[2].to_vec()).into()];
    let saved =
        f.store.save_vectors(f.workspace, &claim, vectors.generation_id, made, 1, &[]).await;
    saved.unwrap();
    f.store.finish_embed(f.workspace, &claim, document, 1, f.now()).await.unwrap();
    let (version, vectors) = f.checked_one().await;
    assert_eq!((version.status, vectors.vectors), (DocumentStatus::Ready, 3));
    let page = PageRequest { after: None, limit: 10 };
    let jobs = f.store.list_jobs(f.workspace, JobFilter::default(), page).await.unwrap();
    assert_eq!(jobs.items.len(), 2);
}

pub async fn an_index_of_vectors_that_is_gone_shows(f: Fixture) {
    if f.damaged(Damage::VectorIndexGone).await.is_none() {
        return;
    }
    let (_, vectors) = f.checked_one().await;
    assert_eq!((vectors.vectors, vectors.searched), (3, 0));
}

pub async fn vectors_of_another_length_show(f: Fixture) {
    if f.damaged(Damage::OtherLength).await.is_none() {
        return;
    }
    let (_, vectors) = f.checked_one().await;
    assert_eq!((vectors.dimensions, vectors.other_length), (DIMENSIONS + 1, 3));
}

pub async fn a_passage_that_is_gone_shows_and_so_does_its_vector(f: Fixture) {
    if f.damaged(Damage::PassageGone).await.is_none() {
        return;
    }
    let (version, vectors) = f.checked_one().await;
    assert_eq!((version.passages, version.stored, vectors.vectors), (3, 2, 2));
    assert_eq!(f.strays(true).await, (3, 1));
    assert_eq!(f.strays(false).await, (2, 0));
}

pub async fn a_passage_of_no_version_shows(f: Fixture) {
    if f.damaged(Damage::PassageOfNoVersion).await.is_none() {
        return;
    }
    let (version, _) = f.checked_one().await;
    assert_eq!((version.passages, version.stored), (3, 2));
    assert_eq!(f.strays(false).await, (3, 1));
}
