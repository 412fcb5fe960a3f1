//! Documents are read again, by a later parser or cut otherwise, while they are searched: what is
//! found is always of one reading, and a kill at any moment costs no more than some work.

use std::collections::{BTreeMap, BTreeSet};

use reqwest::Method;
use serde_json::{Value, json};

use crate::audit::tamper;
use crate::installation::{Backends, on_both};
use crate::program::long_report;
use crate::reindexing::{Place, models, sent};

on_both!(
    a_collection_is_cut_anew_while_it_is_searched,
    a_killed_cut_goes_on,
    a_cut_that_cannot_be_is_refused_naming_the_field,
    documents_of_an_older_parser_are_read_again,
    a_killed_reading_goes_on,
    an_upgrade_reads_documents_again_where_that_is_configured,
    a_document_that_cannot_be_read_again_keeps_its_reading,
);

/// Changes what is stored, as an older program would have left it.
async fn change(place: &Place, sql: &str) {
    tamper(&place.installation, sql).await;
}

/// By document the passages that a search finds.
async fn found(place: &Place, query: &str) -> BTreeMap<String, BTreeSet<String>> {
    let body = json!({"query": query, "limit": 40});
    let answer = place.program.post("/api/search", body).await;
    let mut by_document: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for passage in answer["passages"].as_array().unwrap() {
        let text = |name: &str| passage[name].as_str().unwrap().to_owned();
        by_document.entry(text("document_id")).or_default().insert(text("chunk_id"));
    }
    by_document
}

/// The passages of every document, in their order.
async fn passages(place: &Place) -> BTreeMap<String, Vec<String>> {
    let list = place.program.get("/api/documents?limit=100").await;
    let mut all = BTreeMap::new();
    for document in list["items"].as_array().unwrap() {
        let id = document["id"].as_str().unwrap();
        let chunks = place.program.chunks(id).await;
        assert_eq!(document["chunks"], chunks.len(), "{document}");
        let ids = chunks.iter().map(|chunk| chunk["chunk_id"].as_str().unwrap().to_owned());
        all.insert(id.to_owned(), ids.collect());
    }
    all
}

/// Waits until every file of a batch has ended.
async fn batch_done(place: &Place, id: &str) -> Value {
    for _ in 0..1_200 {
        let batch = place.program.get(&format!("/api/batches/{id}")).await;
        if batch["state"] == "done" {
            return batch;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    panic!("the batch {id} does not end\n{}", place.program.log());
}

async fn a_collection_is_cut_anew_while_it_is_searched(backends: Backends) {
    let models = models().await;
    let place = Place::new(backends, &models, 40).await;
    for n in 0..3 {
        place.upload(&format!("more {n}.md"), long_report(10 + n)).await;
    }
    let before = passages(&place).await;
    let count = |all: &BTreeMap<String, Vec<String>>| all.values().map(Vec::len).sum::<usize>();
    let body = json!({"chunking": {"target_chars": 250}});
    let estimate = place.program.post(&place.path("reindex/estimate"), body.clone()).await;
    assert_eq!(estimate["chunking"], json!({"target_chars": 250, "max_chars": 375}));
    let query = "the market value of bond 7";
    let job = place.begin(body).await;
    // Searched all the time: whatever is found of a document is of one reading.
    let old: BTreeSet<&String> = before.values().flatten().collect();
    let (mut of_old, mut of_new) = (0, 0);
    for round in 0.. {
        assert!(round < 5_000, "{}", place.program.log());
        for (document, chunks) in found(&place, query).await {
            let known = chunks.iter().filter(|id| old.contains(id)).count();
            assert!(known == 0 || known == chunks.len(), "{document}: {known} of {chunks:?}");
            if known > 0 { of_old += 1 } else { of_new += 1 }
        }
        if of_new > 0 {
            break;
        }
        if round == 3 {
            // One that comes meanwhile is in both.
            place.upload("late.md", long_report(4)).await;
        }
    }
    assert!(of_old > 0);
    place.program.wait_for_job(&job).await;
    let after = passages(&place).await;
    assert_eq!(after.len(), before.len() + 1);
    assert!(after.values().flatten().all(|id| !old.contains(id)));
    let reckoned = usize::try_from(estimate["passages"].as_u64().unwrap()).unwrap();
    let made: usize = before.keys().map(|id| after[id].len()).sum();
    assert!(made > count(&before), "{made} passages of {}", count(&before));
    assert!(
        reckoned * 10 >= made * 6 && reckoned * 10 <= made * 16,
        "{reckoned} were reckoned, {made} were made"
    );
    let generations = place.generations().await;
    assert_eq!(generations[1]["chunking"]["target_chars"], 250);
    assert_eq!(generations[1]["passages"], generations[1]["total"]);
    assert_eq!(generations[1]["documents_to_read"], 0);
    assert_eq!(place.searched_by().await, "words_and_meaning");
    // Two cuts are kept at the most.
    let body = json!({"chunking": {"target_chars": 600}});
    let (status, problem) = place.refusal(Method::POST, &place.path("reindex"), body.clone()).await;
    assert_eq!((status, &problem["code"]), (409, &"former_generation_kept".into()), "{problem}");
    // Back again at once, and what came since is there.
    let back = place.program.post(&place.path("reindex/rollback"), json!({})).await;
    let ids = found(&place, query).await;
    assert!(ids.values().flatten().any(|id| old.contains(id)));
    place.program.wait_for_job(back["job_id"].as_str().unwrap()).await;
    let again = passages(&place).await;
    assert_eq!(again.len(), before.len() + 1);
    for (document, chunks) in &before {
        assert_eq!(&again[document], chunks);
    }
    let (status, _) = place.refusal(Method::DELETE, &place.path("reindex/former"), json!({})).await;
    assert_eq!(status, 204);
    let job = place.begin(body).await;
    let ended = place.program.wait_for_job(&job).await;
    assert_eq!(ended["state"], "done", "{ended}");
    assert!(passages(&place).await.values().flatten().all(|id| !old.contains(id)));
}

async fn a_killed_cut_goes_on(backends: Backends) {
    let points =
        ["ingest.mid_parse", "reindex.before_reading", "reindex.after_reading", "reindex.mid_way"];
    for point in points {
        let models = models().await;
        let mut place = Place::new(backends, &models, 30).await;
        place.upload("more.md", long_report(20)).await;
        let before = passages(&place).await;
        place.program.stop().await;
        let plan = format!("{point}=kill");
        place.restart(&models, &[("QUAESTOR_FAIL_AT", &plan)]);
        let job = place.begin(json!({"chunking": {"target_chars": 300}})).await;
        assert!(place.program.death().await, "not at {point}\n{}", place.program.log());
        place.restart(&models, &[]);
        let ended = place.program.wait_for_job(&job).await;
        assert_eq!(ended["state"], "done", "{point}: {ended}");
        let generations = place.generations().await;
        assert_eq!(generations[1]["passages"], generations[1]["total"], "{point}");
        let after = passages(&place).await;
        for (document, chunks) in &before {
            assert!(after[document].len() > chunks.len(), "{point}");
        }
        let found = found(&place, "the market value of bond 7").await;
        assert!(found.iter().all(|(id, chunks)| chunks.iter().all(|one| after[id].contains(one))));
    }
}

async fn a_cut_that_cannot_be_is_refused_naming_the_field(backends: Backends) {
    let models = models().await;
    let place = Place::new(backends, &models, 3).await;
    for (chunking, field, range) in [
        (json!({"target_chars": 10}), "chunking.target_chars", "200 to 8000"),
        (json!({"target_chars": 900, "max_chars": 800}), "chunking.max_chars", "900 to 12000"),
        (json!({}), "chunking.target_chars", ""),
        (json!({"target_chars": 900, "overlap": 1}), "chunking.overlap", ""),
        (json!(7), "chunking", "object"),
    ] {
        let body = json!({"chunking": chunking});
        let (status, problem) = place.refusal(Method::POST, &place.path("reindex"), body).await;
        assert_eq!((status, &problem["field"]), (422, &field.into()), "{problem}");
        assert!(problem["detail"].as_str().unwrap().contains(range), "{problem}");
    }
    let body = json!({"documents": "old"});
    let (status, problem) = place.refusal(Method::POST, &place.path("reparse"), body).await;
    assert_eq!((status, &problem["field"]), (422, &"documents".into()), "{problem}");
    assert_eq!(place.generations().await.len(), 1);
}

const OLDER: &str = "UPDATE versions SET parser = 'markdown 0, passages 1'";
/// Another reading for those who cite it, of which the same is embedded.
const OTHER_PLACES: &str = "UPDATE chunks SET char_end = char_end - 1; \
     UPDATE versions SET parser = NULL";

async fn documents_of_an_older_parser_are_read_again(backends: Backends) {
    let models = models().await;
    let place = Place::new(backends, &models, 20).await;
    place.upload("more.md", long_report(10)).await;
    let before = passages(&place).await;
    let path = place.path("reparse");
    let none = place.program.post(&path, json!({})).await;
    assert_eq!(none, json!({"batch_id": null, "documents": 0, "remaining": 0}));
    change(&place, OLDER).await;
    let found = place.program.post(&format!("{path}/estimate"), json!({})).await;
    assert_eq!((&found["stale"], &found["documents"]), (&2.into(), &2.into()), "{found}");
    // The same is found again: nothing changes, and nothing is embedded.
    let embedded = sent(&models, "first").len();
    let accepted = place.program.post(&path, json!({})).await;
    assert_eq!((&accepted["documents"], &accepted["remaining"]), (&2.into(), &0.into()));
    let batch = batch_done(&place, accepted["batch_id"].as_str().unwrap()).await;
    assert_eq!((&batch["done"], &batch["failed"]), (&2.into(), &0.into()), "{batch}");
    assert_eq!(batch["name"], "read again: reports");
    assert_eq!(passages(&place).await, before);
    let found = place.program.post(&format!("{path}/estimate"), json!({})).await;
    assert_eq!(found["stale"], 0);
    // Something else is found: it takes the place, with the vectors of what reads the same.
    change(&place, OTHER_PLACES).await;
    let accepted = place.program.post(&path, json!({"documents_per_minute": 600})).await;
    let batch = batch_done(&place, accepted["batch_id"].as_str().unwrap()).await;
    assert_eq!((&batch["done"], &batch["failed"]), (&2.into(), &0.into()), "{batch}");
    let files = format!("/api/batches/{}/items", accepted["batch_id"].as_str().unwrap());
    for file in place.program.get(&files).await["items"].as_array().unwrap() {
        assert!(file["filename"].as_str().unwrap().ends_with(".md"), "{file}");
    }
    let after = passages(&place).await;
    for (document, chunks) in &before {
        assert_eq!(after[document].len(), chunks.len());
        assert!(after[document].iter().all(|id| !chunks.contains(id)));
    }
    assert_eq!(sent(&models, "first").len(), embedded);
    assert!(sent(&models, "first").values().all(|times| *times == 1));
    let generations = place.generations().await;
    assert_eq!(generations[0]["passages"], generations[0]["total"]);
    assert_eq!(place.searched_by().await, "words_and_meaning");
    let ids = self::found(&place, "the market value of bond 7").await;
    assert!(ids.iter().all(|(id, chunks)| chunks.iter().all(|one| after[id].contains(one))));
}

async fn a_killed_reading_goes_on(backends: Backends) {
    for (point, changed) in [
        ("ingest.before_keep", OLDER),
        ("ingest.before_switch", OTHER_PLACES),
        ("embed.before_save", OTHER_PLACES),
        ("embed.before_finish", OTHER_PLACES),
    ] {
        let models = models().await;
        let mut place = Place::new(backends, &models, 20).await;
        let before = passages(&place).await;
        place.program.stop().await;
        change(&place, changed).await;
        let plan = format!("{point}=kill");
        place.restart(&models, &[("QUAESTOR_FAIL_AT", &plan)]);
        let accepted = place.program.post(&place.path("reparse"), json!({})).await;
        assert!(place.program.death().await, "not at {point}\n{}", place.program.log());
        place.restart(&models, &[]);
        // Until then what was found before is searched.
        let batch = batch_done(&place, accepted["batch_id"].as_str().unwrap()).await;
        assert_eq!((&batch["done"], &batch["failed"]), (&1.into(), &0.into()), "{point}: {batch}");
        let after = passages(&place).await;
        for (document, chunks) in &before {
            assert_eq!(after[document].len(), chunks.len(), "{point}");
            assert_eq!(after[document] == *chunks, changed == OLDER, "{point}");
        }
        let generations = place.generations().await;
        assert_eq!(generations[0]["passages"], generations[0]["total"], "{point}");
        assert!(sent(&models, "first").values().all(|times| *times == 1), "{point}");
    }
}

async fn an_upgrade_reads_documents_again_where_that_is_configured(backends: Backends) {
    let models = models().await;
    let mut place = Place::new(backends, &models, 5).await;
    place.program.stop().await;
    change(&place, OLDER).await;
    place.restart(&models, &[("QUAESTOR_PARSE__REPARSE_AFTER_UPGRADE", "true")]);
    for _ in 0..1_200 {
        let all = place.program.get("/api/batches?limit=10").await;
        let mut own = all["items"].as_array().unwrap().iter();
        if let Some(batch) = own.find(|batch| batch["name"] == "read again: reports") {
            let batch = batch_done(&place, batch["id"].as_str().unwrap()).await;
            assert_eq!((&batch["done"], &batch["failed"]), (&1.into(), &0.into()), "{batch}");
            let path = place.path("reparse/estimate");
            assert_eq!(place.program.post(&path, json!({})).await["stale"], 0);
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    panic!("nothing was read again\n{}", place.program.log());
}

async fn a_document_that_cannot_be_read_again_keeps_its_reading(backends: Backends) {
    let models = models().await;
    let mut place = Place::new(backends, &models, 5).await;
    let mut large = long_report(3);
    large.push_str(&"\n".repeat(1_200_000));
    place.upload("large.md", large).await;
    let before = passages(&place).await;
    place.program.stop().await;
    change(&place, OLDER).await;
    place.restart(&models, &[("QUAESTOR_PARSE__MAX_FILE_MB", "1")]);
    let accepted = place.program.post(&place.path("reparse"), json!({})).await;
    let batch = batch_done(&place, accepted["batch_id"].as_str().unwrap()).await;
    assert_eq!((&batch["done"], &batch["failed"]), (&1.into(), &1.into()), "{batch}");
    assert_eq!(passages(&place).await, before);
    let list = place.program.get("/api/documents?limit=10").await;
    let told: Vec<&Value> =
        list["items"].as_array().unwrap().iter().filter(|one| !one["error"].is_null()).collect();
    let [document] = told[..] else { panic!("one says so: {list}") };
    assert_eq!((&document["filename"], &document["status"]), (&"large.md".into(), &"ready".into()));
    assert_eq!(document["error"]["code"], "not_read_again");
    // Cut anew, it is searched as it is.
    let job = place.begin(json!({"chunking": {"target_chars": 300}})).await;
    let ended = place.program.wait_for_job(&job).await;
    assert_eq!(ended["state"], "done", "{ended}");
    let after = passages(&place).await;
    let kept: Vec<bool> = before.iter().map(|(id, chunks)| after[id] == *chunks).collect();
    assert_eq!(kept.iter().filter(|kept| **kept).count(), 1);
    let generations = place.generations().await;
    assert_eq!(generations[1]["passages"], generations[1]["total"]);
}
