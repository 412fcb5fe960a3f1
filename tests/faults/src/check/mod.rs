//! The conservation check: what clients were promised and saw, against what is held.
//!
//! It knows nothing of how the run went. Each rule is one sentence of the promises P1 to P5.

use std::collections::{BTreeMap, BTreeSet};

use crate::evidence::{Evidence, StoredJob};
use crate::ledger::{Asked, Book, Seen, is_terminal};

/// A promise that was broken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Breach {
    /// The rule, in a word that a table has room for.
    pub rule: &'static str,
    /// What broke it.
    pub detail: String,
}

fn breach(rule: &'static str, detail: impl Into<String>) -> Breach {
    Breach { rule, detail: detail.into() }
}

/// Everything that is wrong; nothing where the promises were kept.
#[must_use]
pub fn check(book: &Book, evidence: &Evidence) -> Vec<Breach> {
    let mut breaches = Vec::new();
    breaches.extend(book.leaks.iter().map(|leak| breach("leak", leak)));
    breaches.extend(book.surprises.iter().map(|said| breach("refused", said)));
    let accepted = accepted(book, &mut breaches);
    jobs(&accepted, evidence, &mut breaches);
    for asked in &book.asked {
        told(asked, evidence, &mut breaches);
    }
    documents(book, evidence, &mut breaches);
    generations(evidence, &mut breaches);
    exports(evidence, &mut breaches);
    bill(evidence, &mut breaches);
    audit(book, evidence, &mut breaches);
    objects(evidence, &mut breaches);
    if evidence.outbox > 0 {
        breaches.push(breach("outbox", format!("{} messages are left", evidence.outbox)));
    }
    breaches
}

/// An id without its dashes.
fn plain(id: &str) -> String {
    id.replace('-', "")
}

/// The jobs that clients were promised. One key is one job, and one job is one key's.
fn accepted(book: &Book, breaches: &mut Vec<Breach>) -> BTreeSet<String> {
    let mut jobs = BTreeSet::new();
    let mut keys: BTreeMap<(usize, &str), &str> = BTreeMap::new();
    for asked in &book.asked {
        if let Some(other) = keys.insert((asked.workspace, &asked.key), &asked.job) {
            breaches.push(breach("twice", format!("key {} is jobs {other} too", asked.key)));
        }
        if !jobs.insert(plain(&asked.job)) {
            breaches.push(breach("twice", format!("job {} was given for two keys", asked.job)));
        }
    }
    jobs.extend(book.uploaded.iter().map(|uploaded| plain(&uploaded.job)));
    for other in &book.others {
        if !jobs.insert(plain(other)) {
            breaches.push(breach("twice", format!("job {other} was given twice")));
        }
    }
    jobs
}

fn jobs(accepted: &BTreeSet<String>, evidence: &Evidence, breaches: &mut Vec<Breach>) {
    for job in accepted.iter().filter(|job| !evidence.jobs.contains_key(*job)) {
        breaches.push(breach("lost", format!("job {job} was accepted and is not there")));
    }
    for (id, job) in &evidence.jobs {
        if !accepted.contains(id) {
            breaches.push(breach("phantom", format!("nobody was told of job {id}")));
        }
        let StoredJob { state, why, kind, .. } = job;
        match state.as_str() {
            "done" => {}
            "failed" | "cancelled" | "dead" => {
                breaches.push(breach("ended", format!("{kind} job {id} is {state}: {why}")));
            }
            _ => breaches.push(breach("unfinished", format!("{kind} job {id} is {state} {why}"))),
        }
    }
}

/// What one client was told of one question.
fn told(asked: &Asked, evidence: &Evidence, breaches: &mut Vec<Breach>) {
    let mut say = |rule, detail: String| {
        breaches.push(breach(rule, format!("job {}: {detail}", asked.job)));
    };
    let ends: Vec<&Seen> = asked.events.iter().filter(|seen| is_terminal(&seen.kind)).collect();
    match (ends.as_slice(), evidence.jobs.get(&plain(&asked.job))) {
        ([], _) => say("untold", "its client was never told the end".to_owned()),
        ([end], Some(job)) => {
            let stored = if job.state == "dead" { "failed" } else { job.state.as_str() };
            if stored != end.kind {
                say("end", format!("its client was told {}, it is {stored}", end.kind));
            }
        }
        ([_], None) => {}
        (several, _) => say("ends", format!("its client was told {} ends", several.len())),
    }
    for pair in asked.events.windows(2) {
        let (before, after) = (&pair[0], &pair[1]);
        let (old, new) = ((before.attempt, before.seq), (after.attempt, after.seq));
        if new <= old {
            say("repeat", format!("event {}-{} came after {}-{}", new.0, new.1, old.0, old.1));
        } else if asked.gaps == 0 && !follows(old, new) {
            say("gap", format!("event {}-{} came after {}-{}", new.0, new.1, old.0, old.1));
        }
    }
    if let (Some(first), 0) = (asked.events.first(), asked.gaps)
        && first.seq != 1
    {
        say("gap", format!("its first event was {}-{}", first.attempt, first.seq));
    }
    if asked.gaps == 0
        && let Some(answer) = evidence.answers.get(&plain(&asked.answer))
        && answer.state == "done"
        && ends.len() == 1
        && asked.text() != answer.content
    {
        let (told, stored) = (asked.text(), &answer.content);
        say("text", format!("its client was told {told:?}, stored is {stored:?}"));
    }
}

/// Whether an event may be the next one.
fn follows(old: (u32, u64), new: (u32, u64)) -> bool {
    if new.0 == old.0 { new.1 == old.1 + 1 } else { new.1 == 1 }
}

/// Every file that was accepted is there once and whole.
fn documents(book: &Book, evidence: &Evidence, breaches: &mut Vec<Breach>) {
    for uploaded in &book.uploaded {
        let document = plain(&uploaded.document);
        let ended = evidence.jobs.get(&plain(&uploaded.job)).map(|job| job.state.as_str());
        let mut versions = evidence.versions.iter().filter(|each| each.document == document);
        let (Some(version), None) = (versions.next(), versions.next()) else {
            breaches.push(breach("document", format!("{document} has not one version")));
            continue;
        };
        if ended != Some("done") {
            continue;
        }
        let (rows, ordinals) = version.chunk_rows;
        let whole = version.status == "ready"
            && rows == version.chunks
            && ordinals == rows
            && rows >= uploaded.sections as u64
            && version.vectors == rows;
        if !whole {
            breaches.push(breach("document", format!("{version:?}")));
        }
    }
}

/// Each collection has one generation that is searched, at most one to go back to, and none
/// that is half built: all reindexings have ended.
fn generations(evidence: &Evidence, breaches: &mut Vec<Breach>) {
    for (collection, states) in &evidence.generations {
        let count = |wanted: &str| states.iter().filter(|state| *state == wanted).count();
        if count("current") != 1 || count("former") > 1 || count("building") > 0 {
            breaches.push(breach("generation", format!("collection {collection} has {states:?}")));
        }
    }
}

/// An export is whole, or it is none.
fn exports(evidence: &Evidence, breaches: &mut Vec<Breach>) {
    for (job, (key, sha256)) in &evidence.exports {
        let state = evidence.jobs.get(job).map_or("gone", |job| job.state.as_str());
        let whole = evidence.objects.contains(key) && !sha256.is_empty();
        if whole != (state == "done") {
            let detail = format!("the export of job {job} is {state}, its file {key:?}");
            breaches.push(breach("export", detail));
        }
    }
}

/// The rows of usage are the provider's log, each request once, whatever became of it or of
/// the process that sent it. A row of a request that never came there was not answered.
fn bill(evidence: &Evidence, breaches: &mut Vec<Breach>) {
    let mut rows: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for call in &evidence.calls {
        rows.entry(&call.call_id).or_default().push(&call.outcome);
    }
    // A release before this one did not name its requests: as many rows have no name.
    let unnamed = evidence.billed.iter().filter(|billed| billed.call_id.is_empty()).count();
    let unnamed_rows = rows.remove("").map_or(0, |rows| rows.len());
    if unnamed != unnamed_rows {
        let detail = format!("{unnamed} requests without a name are in {unnamed_rows} rows");
        breaches.push(breach("bill", detail));
    }
    let mut missing = Vec::new();
    for billed in &evidence.billed {
        match rows.remove(billed.call_id.as_str()).map_or(0, |rows| rows.len()) {
            _ if billed.call_id.is_empty() => {}
            1 => {}
            0 => missing.push(billed.call_id.as_str()),
            times => {
                let detail = format!("{} is charged {times} times", billed.call_id);
                breaches.push(breach("bill", detail));
            }
        }
        if billed.is_chat && billed.canaries.len() > 1 {
            let detail = format!("a prompt has passages of {:?}", billed.canaries);
            breaches.push(breach("leak", detail));
        }
    }
    if !missing.is_empty() {
        let detail = format!("{} requests are in no row: {missing:?}", missing.len());
        breaches.push(breach("bill", detail));
    }
    for (id, outcomes) in rows {
        if outcomes.iter().any(|outcome| ["done", "cut"].contains(outcome)) {
            breaches.push(breach("bill", format!("{id} is charged and was never sent")));
        }
    }
    if evidence.open_calls > 0 {
        let detail = format!("{} requests were begun and never settled", evidence.open_calls);
        breaches.push(breach("bill", detail));
    }
}

/// Every effect has its entry, and the chain over the entries is whole.
fn audit(book: &Book, evidence: &Evidence, breaches: &mut Vec<Breach>) {
    breaches.extend(evidence.chain_breaks.iter().map(|broken| breach("chain", broken)));
    let chats = evidence.jobs.values().filter(|job| job.kind == "chat").count() as u64;
    let entries = evidence.audit.get("question.ask").copied().unwrap_or(0);
    if chats != entries {
        breaches.push(breach("audit", format!("{chats} questions, {entries} entries")));
    }
    let uploads = book.uploaded.len() as u64;
    let entries = evidence.audit.get("document.upload").copied().unwrap_or(0);
    if uploads != entries {
        breaches.push(breach("audit", format!("{uploads} uploads, {entries} entries")));
    }
}

/// Objects and the rows that name them are the same, but for what an upload left behind that
/// died before it was accepted, and an attempt at an export: that is for the sweep, a day later.
fn objects(evidence: &Evidence, breaches: &mut Vec<Breach>) {
    for key in evidence.referenced.difference(&evidence.objects) {
        breaches.push(breach("object", format!("{key} is named by a row and not there")));
    }
    for key in evidence.objects.difference(&evidence.referenced) {
        if !key.contains("/uploads/") && !key.contains("/exports/") {
            breaches.push(breach("object", format!("{key} is there and no row names it")));
        }
    }
}

#[cfg(test)]
mod tests;
