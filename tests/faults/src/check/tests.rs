//! A check that cannot fail checks nothing: a clean run passes, and each planted fault is found.

use super::*;
use crate::evidence::{Billed, StoredAnswer, StoredCall, StoredVersion};
use crate::ledger::Uploaded;

const JOB: &str = "018f0000-0000-7000-8000-000000000001";
const EXPORT: &str = "w/exports/e/1";
const ANSWER: &str = "018f0000-0000-7000-8000-000000000002";

fn seen(attempt: u32, seq: u64, kind: &str, text: &str) -> Seen {
    Seen { attempt, seq, kind: kind.to_owned(), text: text.to_owned() }
}

/// A question whose first attempt died, and a file.
fn clean() -> (Book, Evidence) {
    let asked = Asked {
        key: "0-0".to_owned(),
        job: JOB.to_owned(),
        answer: ANSWER.to_owned(),
        events: vec![
            seen(0, 1, "queued", ""),
            seen(1, 1, "started", ""),
            seen(1, 2, "token", "It w"),
            seen(2, 1, "restarted", ""),
            seen(2, 2, "token", "It is"),
            seen(2, 3, "token", " so."),
            seen(2, 4, "done", ""),
        ],
        ..Asked::default()
    };
    let uploaded =
        Uploaded { workspace: 0, job: "b".to_owned(), document: "d".to_owned(), sections: 2 };
    let job = |kind: &str| StoredJob {
        kind: kind.to_owned(),
        state: "done".to_owned(),
        ..StoredJob::default()
    };
    let mut evidence = Evidence::default();
    evidence.jobs.insert(plain(JOB), job("chat"));
    evidence.jobs.insert("b".to_owned(), job("documents"));
    let content = "It is so.".to_owned();
    evidence.answers.insert(plain(ANSWER), StoredAnswer { state: "done".to_owned(), content });
    evidence.versions.push(StoredVersion {
        document: "d".to_owned(),
        status: "ready".to_owned(),
        chunks: 3,
        chunk_rows: (3, 3),
        vectors: 3,
    });
    for number in 1..=2 {
        let id = format!("req-{number}");
        evidence.calls.push(StoredCall { call_id: id.clone(), outcome: "done".to_owned() });
        evidence.billed.push(Billed {
            call_id: id,
            is_chat: true,
            canaries: vec!["canary".to_owned()],
        });
    }
    evidence.audit.insert("question.ask".to_owned(), 1);
    evidence.audit.insert("document.upload".to_owned(), 1);
    evidence.referenced.insert("o".to_owned());
    evidence.objects.insert("o".to_owned());
    evidence.jobs.insert("e".to_owned(), job("exports"));
    evidence.exports.insert("e".to_owned(), (EXPORT.to_owned(), "a sum".to_owned()));
    evidence.referenced.insert(EXPORT.to_owned());
    evidence.objects.insert(EXPORT.to_owned());
    let states = ["former", "current"].map(str::to_owned);
    evidence.generations.insert("k".to_owned(), states.to_vec());
    let (asked, uploaded, others) = (vec![asked], vec![uploaded], vec!["e".to_owned()]);
    (Book { asked, uploaded, others, ..Book::default() }, evidence)
}

/// The rules that a planted fault breaks.
fn found(plant: impl FnOnce(&mut Book, &mut Evidence)) -> Vec<&'static str> {
    let (mut book, mut evidence) = clean();
    plant(&mut book, &mut evidence);
    check(&book, &evidence).iter().map(|breach| breach.rule).collect()
}

#[test]
fn a_clean_run_passes() {
    assert_eq!(found(|_, _| {}), Vec::<&str>::new());
}

#[test]
fn what_is_lost_is_found() {
    assert_eq!(found(|_, evidence| drop(evidence.jobs.remove(&plain(JOB)))), ["lost", "audit"]);
    let waiting = |_: &mut Book, evidence: &mut Evidence| {
        evidence.jobs.entry(plain(JOB)).or_default().state = "waiting".to_owned();
    };
    assert_eq!(found(waiting), ["unfinished", "end"]);
    assert_eq!(found(|book, _| drop(book.asked[0].events.pop())), ["untold"]);
    assert_eq!(found(|_, evidence| evidence.outbox = 1), ["outbox"]);
    assert_eq!(found(|_, evidence| evidence.versions[0].vectors = 2), ["document"]);
    assert_eq!(found(|_, evidence| evidence.objects.clear()), ["export", "object", "object"]);
    let left = |_: &mut Book, evidence: &mut Evidence| {
        evidence.objects.insert("w/documents/d/1".to_owned());
        evidence.objects.insert("w/uploads/u".to_owned());
    };
    assert_eq!(found(left), ["object"]);
    assert_eq!(found(|_, evidence| drop(evidence.calls.pop())), ["bill"]);
    assert_eq!(found(|_, evidence| evidence.audit.clear()), ["audit", "audit"]);
    let broken = |_: &mut Book, evidence: &mut Evidence| {
        evidence.chain_breaks.push("entry 3 was changed".to_owned());
    };
    assert_eq!(found(broken), ["chain"]);
    let open = |_: &mut Book, evidence: &mut Evidence| evidence.open_calls = 1;
    assert_eq!(found(open), ["bill"]);
}

#[test]
fn what_happens_twice_is_found() {
    let again = |book: &mut Book, _: &mut Evidence| {
        let repeated = book.asked[0].events[4].clone();
        book.asked[0].events.insert(5, repeated);
    };
    assert_eq!(found(again), ["repeat", "text"]);
    let end = |book: &mut Book, _: &mut Evidence| {
        book.asked[0].events.push(seen(2, 5, "done", ""));
    };
    assert_eq!(found(end), ["ends"]);
    let second = |_: &mut Book, evidence: &mut Evidence| {
        let job = evidence.jobs[&plain(JOB)].clone();
        evidence.jobs.insert("c".to_owned(), job);
    };
    assert_eq!(found(second), ["phantom", "audit"]);
    let charged = |_: &mut Book, evidence: &mut Evidence| {
        let call = evidence.calls[0].clone();
        evidence.calls.push(call);
    };
    assert_eq!(found(charged), ["bill"]);
    assert_eq!(found(|_, evidence| drop(evidence.billed.pop())), ["bill"]);
    let never_came = |_: &mut Book, evidence: &mut Evidence| {
        let call_id = "req-3".to_owned();
        evidence.calls.push(StoredCall { call_id, outcome: "failed".to_owned() });
    };
    assert_eq!(found(never_came), Vec::<&str>::new());
    assert_eq!(found(|_, evidence| evidence.versions[0].chunk_rows = (4, 3)), ["document"]);
}

#[test]
fn half_of_an_export_or_of_a_reindexing_is_found() {
    let without_a_sum = |_: &mut Book, evidence: &mut Evidence| {
        evidence.exports.entry("e".to_owned()).or_default().1.clear();
    };
    assert_eq!(found(without_a_sum), ["export"]);
    let attempt = |_: &mut Book, evidence: &mut Evidence| {
        evidence.objects.insert("w/exports/e/0".to_owned());
    };
    assert_eq!(found(attempt), Vec::<&str>::new());
    assert_eq!(found(|book, _| book.others.clear()), ["phantom"]);
    for state in ["building", "current", "former"] {
        let more = |_: &mut Book, evidence: &mut Evidence| {
            evidence.generations.entry("k".to_owned()).or_default().push(state.to_owned());
        };
        assert_eq!(found(more), ["generation"], "{state}");
    }
    let none = |_: &mut Book, evidence: &mut Evidence| {
        evidence.generations.entry("k".to_owned()).or_default().pop();
    };
    assert_eq!(found(none), ["generation"]);
}

#[test]
fn a_gap_is_found_unless_it_was_told() {
    let gap = |book: &mut Book, _: &mut Evidence| drop(book.asked[0].events.remove(4));
    assert_eq!(found(gap), ["gap", "text"]);
    let told = |book: &mut Book, _: &mut Evidence| {
        book.asked[0].events.remove(4);
        book.asked[0].gaps = 1;
    };
    assert_eq!(found(told), Vec::<&str>::new());
}

#[test]
fn a_leak_is_found() {
    let seen = |book: &mut Book, _: &mut Evidence| book.leaks.push("a canary".to_owned());
    assert_eq!(found(seen), ["leak"]);
    let asked = |_: &mut Book, evidence: &mut Evidence| {
        evidence.billed[0].canaries.push("another's".to_owned());
    };
    assert_eq!(found(asked), ["leak"]);
}

#[test]
fn an_end_that_is_not_the_stored_one_is_found() {
    let failed = |_: &mut Book, evidence: &mut Evidence| {
        evidence.jobs.entry(plain(JOB)).or_default().state = "failed".to_owned();
    };
    assert_eq!(found(failed), ["ended", "end"]);
    // A dead letter is told as a failure, and is none of what these runs may end in.
    let dead = |_: &mut Book, evidence: &mut Evidence| {
        evidence.jobs.entry(plain(JOB)).or_default().state = "dead".to_owned();
    };
    assert_eq!(found(dead), ["ended", "end"]);
}
