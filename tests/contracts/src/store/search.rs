//! Search by words and by meaning, always within a scope.

#![expect(missing_docs, reason = "the name of a case is what it promises")]

use chrono::NaiveDate;
use quaestor_core::ids::{ChunkId, CollectionId};
use quaestor_core::ports::store::{ScopeFilter, SearchScope};

use super::Fixture;
use super::fixture::DIMENSIONS;

pub async fn words_find_the_chunks_that_hold_them_best_first(f: Fixture) {
    let filings = f.collection("filings").await;
    let texts = ["revenue grew", "revenue revenue margin", "costs fell", "margin"];
    let document = f.ingest(filings, "a.txt", &texts).await;
    let chunk = |ordinal| ChunkId::derive(document, 1, ordinal);
    let scope = f.scope(&[filings]);
    let hits = f.found(&scope, &["revenue", "margin"]).await;
    assert_eq!(hits[0], chunk(1));
    assert_eq!(hits.len(), 3);
    assert!(!hits.contains(&chunk(2)));
    let terms = vec!["revenue".to_owned(), "margin".to_owned()];
    let hits = f.store.search_text(f.workspace, &scope, &terms, 2).await.expect("answered");
    assert_eq!(hits.len(), 2);
    assert!(hits[0].score >= hits[1].score && hits[1].score > 0.0);
    assert!(f.found(&scope, &["absent"]).await.is_empty());
    assert!(f.found(&scope, &[]).await.is_empty());
}

pub async fn a_rare_word_weighs_more_than_a_common_one(f: Fixture) {
    let filings = f.collection("filings").await;
    let mut texts = vec!["common word here"; 12];
    texts.push("common rare here");
    let document = f.ingest(filings, "a.txt", &texts).await;
    let hits = f.found(&f.scope(&[filings]), &["common", "rare"]).await;
    assert_eq!(hits[0], ChunkId::derive(document, 1, 12));
    assert_eq!(hits.len(), 13, "a chunk with one of the words is found too");
}

pub async fn terms_are_matched_exactly_as_they_were_given(f: Fixture) {
    let filings = f.collection("filings").await;
    let texts = ["10-q", "10", "gewinn-über", "a_b", "3.5%", "and", "near"];
    let document = f.ingest(filings, "a.txt", &texts).await;
    let scope = f.scope(&[filings]);
    for (ordinal, text) in (0..).zip(texts) {
        let expected = [ChunkId::derive(document, 1, ordinal)];
        assert_eq!(f.found(&scope, &[text]).await, expected, "{text:?}");
    }
    assert!(f.found(&scope, &["\" OR \"10"]).await.len() <= 1, "no term is an operator");
    assert!(f.found(&scope, &["q"]).await.is_empty());
}

pub async fn an_empty_scope_finds_nothing(f: Fixture) {
    let filings = f.collection("filings").await;
    let (document, generation) = f.embed(filings, "alpha", &[[1.0; 8]]).await;
    let narrowed = |filter| SearchScope { collections: vec![filings], filter };
    let empty = [
        SearchScope::default(),
        narrowed(ScopeFilter { document_ids: Some(vec![]), ..ScopeFilter::default() }),
        narrowed(ScopeFilter { media_types: Some(vec![]), ..ScopeFilter::default() }),
    ];
    for scope in empty {
        assert!(f.found(&scope, &["alpha"]).await.is_empty(), "{scope:?}");
        let near = f.store.search_vectors(f.workspace, &scope, &[generation], &[1.0; 8], 5).await;
        assert!(near.expect("answered").is_empty(), "{scope:?}");
        let documents = f.store.searchable_documents(f.workspace, &scope, 5).await;
        assert!(documents.expect("answered").is_empty(), "{scope:?}");
    }
    let scope = f.scope(&[filings]);
    assert_eq!(f.found(&scope, &["alpha"]).await, [ChunkId::derive(document, 1, 0)]);
    let near = f.store.search_vectors(f.workspace, &scope, &[], &[1.0; 8], 5).await;
    assert!(near.expect("answered").is_empty());
    let generations = f.store.generations(f.workspace, &[]).await.expect("answered");
    assert!(generations.is_empty());
}

pub async fn filters_narrow_what_is_found(f: Fixture) {
    let (filings, letters) = (f.collection("filings").await, f.collection("letters").await);
    let first = f.ingest(filings, "a.txt", &["alpha one"]).await;
    let second = f.ingest(letters, "b.txt", &["alpha two"]).await;
    let upload = f.upload(filings, "c.pdf", "c").await;
    let third = upload.items[0].document_id;
    let (claim, subject) = f.begin(f.workspace, &upload).await;
    f.save(f.workspace, &claim, &subject, &["alpha three"]).await;
    let mut summary = f.summary(1);
    summary.media_type = "application/pdf".to_owned();
    summary.document_date = NaiveDate::from_ymd_opt(2022, 9, 24);
    f.store
        .finish_ingest(f.workspace, &claim, &subject, summary, None, f.now())
        .await
        .expect("finished");

    let check = async |collections: &[_], filter: ScopeFilter, expected: &[_]| {
        let scope = SearchScope { collections: collections.to_vec(), filter };
        let mut hits = f.found(&scope, &["alpha"]).await;
        hits.sort();
        let mut chunks: Vec<_> =
            expected.iter().map(|document| ChunkId::derive(*document, 1, 0)).collect();
        chunks.sort();
        assert_eq!(hits, chunks, "{scope:?}");
        let documents = f.store.searchable_documents(f.workspace, &scope, 9).await;
        let documents = documents.expect("answered");
        let mut newest_first = expected.to_vec();
        newest_first.sort();
        newest_first.reverse();
        let ids: Vec<_> = documents.iter().map(|document| document.id).collect();
        assert_eq!(ids, newest_first, "{scope:?}");
    };
    let all = [filings, letters];
    let none = ScopeFilter::default;
    // The fixture's clock begins on this day.
    let uploaded = NaiveDate::from_ymd_opt(2023, 11, 14);
    check(&all, none(), &[first, second, third]).await;
    check(&[letters], none(), &[second]).await;
    let document_ids = Some(vec![first, second]);
    check(&[filings], ScopeFilter { document_ids, ..none() }, &[first]).await;
    let media_types = Some(vec!["application/pdf".to_owned()]);
    check(&all, ScopeFilter { media_types, ..none() }, &[third]).await;
    check(&all, ScopeFilter { date_from: uploaded, ..none() }, &[first, second]).await;
    check(&all, ScopeFilter { date_to: uploaded, ..none() }, &[first, second, third]).await;
    let period = NaiveDate::from_ymd_opt(2022, 9, 24);
    check(&all, ScopeFilter { date_from: period, date_to: period, ..none() }, &[third]).await;
}

pub async fn a_narrow_scope_still_gives_as_many_as_were_asked_for(f: Fixture) {
    let filings = f.collection("filings").await;
    let near = [[1.0; DIMENSIONS as usize]; 40];
    f.embed(filings, "near", &near).await;
    let mut far = [[-1.0; DIMENSIONS as usize]; 6];
    for (place, vector) in far.iter_mut().enumerate() {
        vector[place] = 0.5;
    }
    let (document, generation) = f.embed(filings, "far", &far).await;
    let document_ids = Some(vec![document]);
    let scope = SearchScope {
        collections: vec![filings],
        filter: ScopeFilter { document_ids, ..ScopeFilter::default() },
    };
    let hits = f.store.search_vectors(f.workspace, &scope, &[generation], &[1.0; 8], 5).await;
    let hits = hits.expect("answered");
    assert_eq!(hits.len(), 5);
    assert_eq!(f.found(&scope, &["chunk"]).await.len(), 6);
}

pub async fn terms_are_counted_over_current_versions(f: Fixture) {
    let filings = f.collection("filings").await;
    f.ingest(filings, "a.txt", &["alpha beta", "alpha alpha", "gamma"]).await;
    let stats = async |terms: &[&str]| {
        let terms: Vec<String> = terms.iter().map(|term| (*term).to_owned()).collect();
        f.store.term_stats(f.workspace, &terms).await.expect("answered")
    };
    let counted = stats(&["alpha", "absent", "beta"]).await;
    assert_eq!((counted.chunks, counted.chunks_with), (3, vec![2, 0, 1]));
    assert_eq!(stats(&[]).await.chunks, 3);
    let other = f.new_workspace().await;
    let terms = vec!["alpha".to_owned()];
    let counted = f.store.term_stats(other, &terms).await.expect("answered");
    assert_eq!((counted.chunks, counted.chunks_with), (0, vec![0]));
}

pub async fn several_searches_at_once_find_what_each_finds_alone(f: Fixture) {
    let filings = f.collection("filings").await;
    f.ingest(filings, "a.txt", &["alpha beta", "alpha alpha", "gamma", "beta delta"]).await;
    let own = |terms: &[&str]| terms.iter().map(|term| (*term).to_owned()).collect::<Vec<_>>();
    let terms = own(&["alpha", "beta", "absent"]);
    let searches = [terms.clone(), own(&["beta"]), own(&["delta", "gamma"]), Vec::new()];
    for scope in [f.scope(&[filings]), f.scope(&[])] {
        let together = f.store.search_words(f.workspace, &scope, &terms, &searches, 3).await;
        let (stats, together) = together.expect("answered");
        assert_eq!(stats, f.store.term_stats(f.workspace, &terms).await.expect("answered"));
        assert_eq!(together.len(), searches.len());
        for (found, terms) in together.iter().zip(&searches) {
            let alone = f.store.search_text(f.workspace, &scope, terms, 3).await;
            assert_eq!(found, &alone.expect("answered"), "{terms:?}");
        }
    }
}

pub async fn scores_are_bm25_over_all_terms(f: Fixture) {
    let filings = f.collection("filings").await;
    let mut texts = vec!["plain words of no interest"; 8];
    texts.extend(["alpha beta alpha", "alpha and a much longer text than that", "beta"]);
    let document = f.ingest(filings, "a.txt", &texts).await;
    let terms = ["alpha", "beta", "absent"].map(str::to_owned);
    let scope = f.scope(&[filings]);
    let hits = f.store.search_text(f.workspace, &scope, &terms, 9).await.expect("answered");
    let lengths = [5; 8].into_iter().chain([3, 8, 1]);
    let mean = lengths.sum::<u16>() as f32 / 11.0;
    // Two of eleven chunks hold each of the terms.
    let weight = (9.5_f32 / 2.5).ln();
    let part = |times: f32, length: f32| {
        weight * times * 2.2 / (times + 1.2 * (0.25 + 0.75 * length / mean))
    };
    let expected =
        [(8, part(2.0, 3.0) + part(1.0, 3.0)), (10, part(1.0, 1.0)), (9, part(1.0, 8.0))];
    assert_eq!(hits.len(), 3, "{hits:?}");
    for (hit, (ordinal, score)) in hits.iter().zip(expected) {
        assert_eq!(hit.chunk_id, ChunkId::derive(document, 1, ordinal));
        assert!((hit.score - score).abs() < 1e-4, "{hit:?} is not {score}");
    }
}

pub async fn equal_scores_come_in_the_order_of_ids(f: Fixture) {
    let filings = f.collection("filings").await;
    f.ingest(filings, "a.txt", &["same words"; 7]).await;
    f.ingest(filings, "b.txt", &["same words"; 6]).await;
    f.ingest(filings, "c.txt", &["others"; 20]).await;
    let found = f.found(&f.scope(&[filings]), &["same", "words"]).await;
    assert_eq!(found.len(), 13);
    assert!(found.is_sorted(), "{found:?}");
}

pub async fn a_term_of_any_length_is_found(f: Fixture) {
    let filings = f.collection("filings").await;
    let (long, longer) = ("x".repeat(3_000), "x".repeat(3_001));
    let document = f.ingest(filings, "a.txt", &[&long, &longer, "Ü".repeat(300).as_str()]).await;
    let scope = f.scope(&[filings]);
    for (ordinal, term) in (0..).zip([long, longer, "Ü".repeat(300)]) {
        assert_eq!(f.found(&scope, &[&term]).await, [ChunkId::derive(document, 1, ordinal)]);
    }
    assert!(f.found(&scope, &["a\0b", "\0", ""]).await.is_empty());
}

pub async fn what_is_no_longer_current_is_not_counted(f: Fixture) {
    let filings = f.collection("filings").await;
    f.ingest(filings, "a.txt", &["alpha"]).await;
    let gone = f.ingest(filings, "b.txt", &["alpha", "alpha beta"]).await;
    let stats = async || {
        let terms = ["alpha", "beta"].map(str::to_owned);
        let counted = f.store.term_stats(f.workspace, &terms).await.expect("answered");
        (counted.chunks, counted.chunks_with)
    };
    assert_eq!(stats().await, (3, vec![3, 1]));
    let audit = f.audit("document.delete");
    f.store.delete_document(f.workspace, gone, f.now(), audit).await.expect("deleted");
    assert_eq!(stats().await, (1, vec![1, 0]));
    let upload = f.upload(filings, "a.txt", "second").await;
    f.finish_upload(f.workspace, &upload, &["beta", "beta", "gamma"], None).await;
    assert_eq!(stats().await, (3, vec![0, 2]));
}

pub async fn what_stands_in_collections_is_told_by_a_text_of_its_own(f: Fixture) {
    let (filings, letters) = (f.collection("filings").await, f.collection("letters").await);
    let version = async |collections: &[CollectionId]| {
        f.store.content_version(f.workspace, collections).await.expect("answered")
    };
    let mut seen = vec![version(&[filings]).await];
    let document = f.ingest(filings, "a.txt", &["one"]).await;
    seen.push(version(&[filings]).await);
    f.ingest(filings, "b.txt", &["two"]).await;
    seen.push(version(&[filings]).await);
    f.embed(filings, "a.txt", &[unit(0.0)]).await;
    seen.push(version(&[filings]).await);
    // Another collection, and a file that is not parsed yet, change nothing.
    f.ingest(letters, "c.txt", &["three"]).await;
    f.upload(filings, "d.txt", "bytes").await;
    assert_eq!(version(&[filings]).await, seen[3]);
    seen.push(version(&[filings, letters]).await);
    let audit = f.audit("document.delete");
    f.store.delete_document(f.workspace, document, f.now(), audit).await.expect("deleted");
    seen.push(version(&[filings]).await);
    let different: std::collections::BTreeSet<&String> = seen.iter().collect();
    assert_eq!(different.len(), seen.len(), "{seen:?}");
    assert_eq!(version(&[]).await, version(&[]).await);
    let elsewhere = f.new_workspace().await;
    let hidden = f.store.content_version(elsewhere, &[filings]).await.expect("answered");
    assert_eq!(hidden, version(&[]).await, "another workspace's documents are not told of");
}

pub async fn several_generations_are_searched_as_one(f: Fixture) {
    let (filings, letters) = (f.collection("filings").await, f.collection("letters").await);
    let (first, one) = f.embed(filings, "a", &[unit(0.0), unit(0.4)]).await;
    let (second, two) = f.embed(letters, "b", &[unit(0.1), unit(0.6)]).await;
    let scope = f.scope(&[filings, letters]);
    let hits = f.store.search_vectors(f.workspace, &scope, &[one, two], &unit(0.01), 3).await;
    let found: Vec<_> = hits.expect("answered").iter().map(|hit| hit.chunk_id).collect();
    let chunk = |document, ordinal| ChunkId::derive(document, 1, ordinal);
    assert_eq!(found, [chunk(first, 0), chunk(second, 0), chunk(first, 1)]);
    // A generation of a collection that is not in the scope gives nothing.
    let narrow = f.scope(&[filings]);
    let hits = f.store.search_vectors(f.workspace, &narrow, &[one, two], &unit(0.01), 3).await;
    let found: Vec<_> = hits.expect("answered").iter().map(|hit| hit.chunk_id).collect();
    assert_eq!(found, [chunk(first, 0), chunk(first, 1)]);
}

fn unit(angle: f32) -> [f32; DIMENSIONS as usize] {
    let mut vector = [0.0; DIMENSIONS as usize];
    (vector[0], vector[1]) = (angle.cos(), angle.sin());
    vector
}

pub async fn vectors_are_found_nearest_first(f: Fixture) {
    let filings = f.collection("filings").await;
    let vectors: Vec<_> = (0_u8..20).map(|step| unit(f32::from(step) * 0.1)).collect();
    let (document, generation) = f.embed(filings, "a", &vectors).await;
    let scope = f.scope(&[filings]);
    let asked = unit(0.51);
    let hits = f.store.search_vectors(f.workspace, &scope, &[generation], &asked, 3).await;
    let hits = hits.expect("answered");
    let chunks: Vec<_> = hits.iter().map(|hit| hit.chunk_id).collect();
    assert_eq!(chunks, [5, 6, 4].map(|ordinal| ChunkId::derive(document, 1, ordinal)));
    assert!((hits[0].similarity - 0.01_f32.cos()).abs() < 1e-4);
    assert!(hits[0].similarity > hits[1].similarity);
    let none = f.store.search_vectors(f.workspace, &scope, &[generation], &asked, 0).await;
    assert!(none.expect("answered").is_empty());
}

pub async fn only_the_asked_generations_are_searched(f: Fixture) {
    let (filings, letters) = (f.collection("filings").await, f.collection("letters").await);
    let (_, first) = f.embed(filings, "a", &[unit(0.0)]).await;
    let (document, second) = f.embed(letters, "b", &[unit(0.5)]).await;
    let scope = f.scope(&[filings, letters]);
    let search = async |generations: &[_]| {
        let hits = f.store.search_vectors(f.workspace, &scope, generations, &unit(0.0), 9).await;
        hits.expect("answered").into_iter().map(|hit| hit.chunk_id).collect::<Vec<_>>()
    };
    assert_eq!(search(&[second]).await, [ChunkId::derive(document, 1, 0)]);
    assert_eq!(search(&[first, second]).await.len(), 2);
    assert!(search(&[f.id()]).await.is_empty());
}

pub async fn passages_come_in_the_order_asked_for(f: Fixture) {
    let filings = f.collection("filings").await;
    let document = f.ingest(filings, "a.txt", &["zero", "one", "two"]).await;
    let gone = f.ingest(filings, "b.txt", &["gone"]).await;
    let audit = f.audit("document.delete");
    f.store.delete_document(f.workspace, gone, f.now(), audit).await.expect("deleted");
    let chunk = |ordinal| ChunkId::derive(document, 1, ordinal);
    let asked = [chunk(2), ChunkId::derive(gone, 1, 0), chunk(0), f.id(), chunk(1)];
    let passages = f.store.passages(f.workspace, &asked).await.expect("read");
    let texts: Vec<_> = passages.iter().map(|passage| passage.text.as_str()).collect();
    assert_eq!(texts, ["two", "zero", "one"]);
    assert_eq!(passages[0].filename, "a.txt");
}

pub async fn generations_are_those_of_the_collections(f: Fixture) {
    let (filings, letters) = (f.collection("filings").await, f.collection("letters").await);
    let first = f.generation(f.workspace, filings).await;
    f.generation(f.workspace, letters).await;
    let found = f.store.generations(f.workspace, &[filings, f.id()]).await.expect("read");
    assert_eq!(found.len(), 1);
    assert_eq!((found[0].id, found[0].model.as_str()), (first, "model"));
    assert_eq!(found[0].dimensions, DIMENSIONS);
}
