//! A backup is made while the installation is used, and what is restored from it is the
//! same, on either kind of backends; what is not whole is refused and says so.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::audit::tamper;
use crate::installation::{Backends, Installation, on_both};
use crate::program::{Program, long_report};

const QUESTION: &str = "What was the market value of bond 17 in 2025?";

/// A pair of keys of age, for tests alone.
const RECIPIENT: &str = "age1t7rxyev2z3rw82stdlrrepyc39nvn86l5078zqkf5uasdy86jp6svpy7pa";
const IDENTITY: &str = "AGE-SECRET-KEY-1GQ9778VQXMMJVE8SK7J6VT8UJ4HDQAJUVSFCWCM02D8GEWQ72PVQ2Y5J33";

on_both!(
    what_is_restored_is_what_was_there,
    a_document_that_is_deleted_meanwhile_does_not_stop_a_backup,
);

/// A place for bundles, with a key to open them.
struct Place(TempDir);

impl Place {
    fn new() -> Self {
        let place = Self(tempfile::tempdir().unwrap());
        std::fs::write(place.0.path().join("identity"), format!("# a key\n{IDENTITY}\n")).unwrap();
        place
    }

    fn url(&self) -> String {
        format!("file:{}", self.0.path().join("bundles").display())
    }

    fn environment(&self) -> Vec<(String, String)> {
        let identity = self.0.path().join("identity").display().to_string();
        vec![
            ("QUAESTOR_BACKUP_URL".to_owned(), self.url()),
            ("QUAESTOR_BACKUP_RECIPIENTS".to_owned(), RECIPIENT.to_owned()),
            ("QUAESTOR_BACKUP_IDENTITY_FILE".to_owned(), identity),
        ]
    }

    fn bundles(&self) -> Vec<PathBuf> {
        let found = std::fs::read_dir(self.0.path().join("bundles"));
        let mut bundles: Vec<PathBuf> =
            found.into_iter().flatten().map(|entry| entry.unwrap().path()).collect();
        bundles.sort();
        bundles
    }
}

fn borrowed(environment: &[(String, String)]) -> Vec<(&str, &str)> {
    environment.iter().map(|(name, value)| (&**name, &**value)).collect()
}

/// The other kind.
fn other(backends: Backends) -> Backends {
    match backends {
        Backends::Embedded => Backends::Distributed,
        Backends::Distributed => Backends::Embedded,
    }
}

/// An empty place of a kind.
async fn empty(backends: Backends) -> Installation {
    match backends {
        Backends::Embedded => Installation::new(backends).await,
        Backends::Distributed => Installation::to_be_moved().await,
    }
}

/// Starts what was restored; a distributed one needs its broker's queues.
fn start(installation: &Installation) -> Program {
    if installation.backends == Backends::Distributed {
        installation.run(&["topology", "apply"]);
    }
    installation.start(&[])
}

async fn ask(program: &Program, conversation: &str) -> Value {
    let path = format!("/api/conversations/{conversation}/messages");
    program.post(&path, json!({ "content": QUESTION })).await
}

async fn found(program: &Program) -> Vec<(Value, Value)> {
    let found = program.post("/api/search", json!({"query": QUESTION})).await;
    let passages = found["passages"].as_array().unwrap();
    passages.iter().map(|one| (one["chunk_id"].clone(), one["text"].clone())).collect()
}

async fn content(program: &Program, document: &str) -> Vec<u8> {
    let path = format!("/api/documents/{document}/content");
    let content = program.send(reqwest::Method::GET, &path, None).await.unwrap();
    assert!(content.status().is_success(), "{}", content.status());
    content.bytes().await.unwrap().to_vec()
}

/// Under load: while questions are asked and files uploaded, a backup is made, and all
/// that was accepted before it began is in it and ends once.
async fn what_is_restored_is_what_was_there(backends: Backends) {
    let place = Place::new();
    let environment = place.environment();
    let installation = Installation::new(backends).await;
    let program = installation.start(&[]);
    let collection = program.make_collection("reports").await;
    let upload = program.upload(&collection, "halden.md", long_report(40)).await.unwrap();
    let document = upload["items"][0]["document_id"].as_str().unwrap().to_owned();
    program.wait_for_job(upload["items"][0]["job_id"].as_str().unwrap()).await;
    // Larger than what is read at once.
    let large = format!("# Appendix\n\n{}", "The appendix lists nothing of note. ".repeat(60_000));
    let upload = program.upload(&collection, "large.md", large.clone()).await.unwrap();
    let large_document = upload["items"][0]["document_id"].as_str().unwrap().to_owned();
    let mut accepted = vec![upload["items"][0]["job_id"].as_str().unwrap().to_owned()];
    let conversation = program.make_conversation().await;
    let asked = ask(&program, &conversation).await;
    let answer = asked["answer_id"].as_str().unwrap().to_owned();
    program.wait_for_job(asked["job_id"].as_str().unwrap()).await;
    let answered = program.answer(&conversation, &answer).await;
    let before = found(&program).await;

    let done = std::sync::atomic::AtomicBool::new(false);
    let load = async {
        let mut asked = 0;
        while !done.load(std::sync::atomic::Ordering::Relaxed) {
            let name = format!("load-{asked}.md");
            program.upload(&collection, &name, format!("# Note {asked}\n\nText.")).await.unwrap();
            ask(&program, &conversation).await;
            asked += 1;
        }
        asked
    };
    // Accepted before the backup begins, and most likely not done when it is made.
    for number in 0..3 {
        accepted.push(ask(&program, &conversation).await["job_id"].as_str().unwrap().to_owned());
        let upload = program.upload(&collection, &format!("{number}.md"), long_report(30)).await;
        let job = upload.unwrap()["items"][0]["job_id"].as_str().unwrap().to_owned();
        accepted.push(job);
    }
    let backing_up = async {
        let output = tokio::process::Command::from(installation.command(&["backup", "--json"]))
            .envs(environment.iter().cloned())
            .output()
            .await
            .unwrap();
        done.store(true, std::sync::atomic::Ordering::Relaxed);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{said}");
        serde_json::from_slice::<Value>(&output.stdout).unwrap()
    };
    let (under_load, report) = tokio::join!(load, backing_up);
    assert!(under_load > 0);
    assert_eq!(report["damaged"], 0, "{report}");
    assert!(report["rows"].as_u64().unwrap() > 100, "{report}");
    drop(program);

    let sealed = std::fs::read(&place.bundles()[0]).unwrap();
    assert!(sealed.starts_with(b"age-encryption.org/v1"));
    let verified =
        installation.run_with(&["backup", "verify", "latest", "--json"], &borrowed(&environment));
    let verified: Value = serde_json::from_str(&verified).unwrap();
    assert_eq!(verified["rows"], report["rows"], "{verified}");
    let listed = installation.run_with(&["backup", "list"], &borrowed(&environment));
    assert!(listed.contains(report["name"].as_str().unwrap()), "{listed}");

    for kind in [other(backends), backends] {
        let restored = empty(kind).await;
        let told = restored.run_with(&["restore", "latest", "--json"], &borrowed(&environment));
        let told: Value = serde_json::from_str(&told).unwrap();
        assert_eq!(told["rows"], report["rows"], "{told}");
        let again = restored.refusal(&["restore", "latest"], &borrowed(&environment));
        assert!(again.contains("is not empty"), "{again}");
        let program = start(&restored);
        assert_eq!(program.answer(&conversation, &answer).await, answered);
        assert_eq!(content(&program, &document).await, long_report(40).into_bytes());
        assert!(content(&program, &large_document).await == large.as_bytes());
        for job in &accepted {
            let ended = program.wait_for_job(job).await;
            assert_eq!(ended["state"], "done", "{ended}");
        }
        let after = found(&program).await;
        for passage in before.iter().take(3) {
            assert!(after.contains(passage), "{passage:?} is not found any more");
        }
        let audit = program.get("/api/admin/audit?limit=200").await.to_string();
        assert!(audit.contains("backup.restore"), "{audit}");
    }
}

async fn a_document_that_is_deleted_meanwhile_does_not_stop_a_backup(backends: Backends) {
    let place = Place::new();
    let environment = place.environment();
    let installation = Installation::new(backends).await;
    let program = installation.start(&[]);
    let collection = program.make_collection("reports").await;
    let mut documents = Vec::new();
    for number in 0..12 {
        let name = format!("{number}.md");
        let text = format!("# Note {number}\n\n{}", long_report(4));
        let upload = program.upload(&collection, &name, text).await.unwrap();
        let item = &upload["items"][0];
        program.wait_for_job(item["job_id"].as_str().unwrap()).await;
        documents.push(item["document_id"].as_str().unwrap().to_owned());
    }
    let deleting = async {
        for document in &documents[2..] {
            let path = format!("/api/documents/{document}");
            let deleted = program.send(reqwest::Method::DELETE, &path, None).await.unwrap();
            assert!(deleted.status().is_success(), "{}", deleted.status());
        }
    };
    let backing_up = async {
        let output = tokio::process::Command::from(installation.command(&["backup", "--json"]))
            .envs(environment.iter().cloned())
            .output()
            .await
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice::<Value>(&output.stdout).unwrap()
    };
    let ((), report) = tokio::join!(deleting, backing_up);
    assert_eq!(report["damaged"], 0, "{report}");
    drop(program);
    let restored = empty(backends).await;
    restored.run_with(&["restore", "latest"], &borrowed(&environment));
    let program = start(&restored);
    let listed = program.get("/api/documents?limit=100").await;
    let listed = listed["items"].as_array().unwrap().clone();
    assert_eq!(listed.len() as u64, report["files"].as_u64().unwrap(), "{report}");
    for document in &listed {
        content(&program, document["id"].as_str().unwrap()).await;
    }
    for kept in &documents[..2] {
        assert!(listed.iter().any(|document| document["id"] == **kept));
    }
}

/// A bundle of an embedded installation with a few rows and files.
async fn small_bundle(place: &Place, extra: &[&str]) -> (Installation, PathBuf) {
    let installation = Installation::new(Backends::Embedded).await;
    let program = installation.start(&[]);
    let collection = program.make_collection("reports").await;
    let upload = program.upload(&collection, "halden.md", long_report(10)).await.unwrap();
    program.wait_for_job(upload["items"][0]["job_id"].as_str().unwrap()).await;
    drop(program);
    let environment = place.environment();
    installation.run_with(&[&["backup"], extra].concat(), &borrowed(&environment));
    (installation, place.bundles().pop().unwrap())
}

/// What a restore of a changed bundle says; and nothing starts on what it leaves.
async fn refused(place: &Place, bundle: &Path, extra: &[&str]) -> String {
    let restored = Installation::new(Backends::Embedded).await;
    let arguments = [&["restore", bundle.to_str().unwrap()], extra].concat();
    let told = restored.refusal(&arguments, &borrowed(&place.environment()));
    if told.contains("stays marked") {
        let start = restored.embedded_refusal();
        assert!(start.contains("is not whole"), "{start}");
        assert!(start.contains("quaestor restore"), "{start}");
        // A whole bundle mends it.
        let whole = bundle.with_file_name("whole");
        let arguments = [&["restore", whole.to_str().unwrap()], extra].concat();
        restored.run_with(&arguments, &borrowed(&place.environment()));
        drop(restored.start(&[]));
    }
    told
}

#[tokio::test]
async fn a_bundle_that_was_changed_is_refused_wherever_it_was() {
    for extra in [&[][..], &["--unencrypted"]] {
        let place = Place::new();
        let (_installation, bundle) = small_bundle(&place, extra).await;
        let good = std::fs::read(&bundle).unwrap();
        std::fs::copy(&bundle, bundle.with_file_name("whole")).unwrap();
        let changed = bundle.with_file_name("changed");
        let places = [3, 40, 230, good.len() / 3, good.len() / 2, good.len() - 60, good.len() - 1];
        for at in places {
            let mut bytes = good.clone();
            bytes[at] ^= 4;
            std::fs::write(&changed, &bytes).unwrap();
            let told = refused(&place, &changed, extra).await;
            assert!(told.contains("take another one"), "bit at {at}: {told}");
        }
        for length in [0, 10, 100, good.len() / 2, good.len() - 1] {
            std::fs::write(&changed, &good[..length]).unwrap();
            let told = refused(&place, &changed, extra).await;
            assert!(told.contains("take another one"), "cut at {length}: {told}");
        }
        let mut swapped = good.clone();
        let (from, to) = (good.len() / 3, good.len() / 3 + 4_000);
        swapped[from..to].rotate_left(2_000);
        std::fs::write(&changed, &swapped).unwrap();
        let told = refused(&place, &changed, extra).await;
        assert!(told.contains("take another one"), "{told}");
    }
}

#[tokio::test]
async fn without_the_key_a_bundle_stays_closed() {
    let place = Place::new();
    let (installation, bundle) = small_bundle(&place, &[]).await;
    let bundle = bundle.to_str().unwrap();
    let none = [("QUAESTOR_BACKUP_URL", "")];
    let told = installation.refusal(&["backup", "verify", bundle], &none);
    assert!(told.contains("--identity"), "{told}");
    let other = place.0.path().join("other");
    std::fs::write(
        &other,
        "AGE-SECRET-KEY-1EGTZVFFV20835NWYV6270LXYVK2VKNX2MMDKWYKLMGR48UAWX40Q2P2LM0\n",
    )
    .unwrap();
    let arguments = ["backup", "verify", bundle, "--identity", other.to_str().unwrap()];
    let told = installation.refusal(&arguments, &none);
    assert!(told.contains("none of the keys") || told.contains("no key of age"), "{told}");
    let told = installation.refusal(&["backup", "--to", &place.url()], &none);
    assert!(told.contains("so it is encrypted"), "{told}");

    // By a passphrase.
    let by = [("QUAESTOR_BACKUP_PASSPHRASE", "a passphrase of good length")];
    let made = installation.run_with(&["backup", "--to", &place.url(), "--json"], &by);
    let made: Value = serde_json::from_str(&made).unwrap();
    let bundle = place.0.path().join("bundles").join(made["name"].as_str().unwrap());
    let bundle = bundle.to_str().unwrap();
    installation.run_with(&["backup", "verify", bundle], &by);
    let wrong = [("QUAESTOR_BACKUP_PASSPHRASE", "another passphrase of good length")];
    let told = installation.refusal(&["backup", "verify", bundle], &wrong);
    assert!(told.contains("none of the keys"), "{told}");

    // One that is open is taken only by who says so.
    installation.run_with(&["backup", "--to", &place.url(), "--unencrypted"], &none);
    let open = place
        .bundles()
        .into_iter()
        .find(|path| std::fs::read(path).unwrap().starts_with(b"quaestor bundle"));
    let open = open.unwrap();
    let open = open.to_str().unwrap();
    let told = installation.refusal(&["backup", "verify", open], &none);
    assert!(told.contains("is not encrypted"), "{told}");
    installation.run_with(&["backup", "verify", open, "--unencrypted"], &none);
}

#[tokio::test]
async fn of_two_workers_one_makes_the_backup_and_removes_old_ones_of_its_own() {
    let place = Place::new();
    let environment = place.environment();
    let installation = Installation::new(Backends::Distributed).await;
    installation.run_with(&["backup"], &borrowed(&environment));
    let first = place.bundles().pop().unwrap();
    let name = first.file_name().unwrap().to_str().unwrap().to_owned();
    let parts: Vec<&str> = name.split('-').collect();
    let bundles = first.parent().unwrap();
    let renamed = |installation: &str, at: &str| {
        let path = bundles.join(format!("quaestor-{installation}-{at}-{}", parts[3]));
        std::fs::copy(&first, &path).unwrap();
        path
    };
    let old = renamed(parts[1], "20200101T030000Z");
    let others = renamed("0123456789ab", "20200101T030000Z");
    let foreign = bundles.join("notes.txt");
    std::fs::write(&foreign, "no bundle").unwrap();
    let unfinished =
        bundles.join(format!("quaestor-{}-20200101T030000Z-aaaaaaaa.partial", parts[1]));
    std::fs::write(&unfinished, "left by a killed process").unwrap();

    // Two workers, and a moment of the schedule that has passed: one backup is made.
    let all = borrowed(&environment);
    let workers: Vec<_> = (0..2).map(|_| installation.process("worker", &all)).collect();
    let program = Program::of(workers);
    let passed = "UPDATE schedules SET next_at = next_at - 172800000000 WHERE name = 'backup'";
    for _ in 0..6_000 {
        let metrics = program.send(reqwest::Method::GET, "/metrics", None).await.unwrap();
        let said = metrics.text().await.unwrap();
        if said.contains("quaestor_backup_last_size_bytes") && !old.exists() {
            break;
        }
        // Once it is written down when the next one is due; a moment makes one run only.
        tamper(&installation, passed).await;
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    assert!(!old.exists() && !unfinished.exists(), "{}", program.log());
    assert!(others.exists() && foreign.exists() && first.exists());
    let own: Vec<_> = place
        .bundles()
        .into_iter()
        .filter(|path| path.file_name().unwrap().to_str().unwrap().contains(parts[1]))
        .collect();
    assert_eq!(own.len(), 2, "the one by hand and the one by schedule: {own:?}");
    assert_eq!(program.log().matches("kept the backup").count(), 1, "{}", program.log());
    drop(program);
    let name = own.iter().find(|path| **path != first).unwrap().display().to_string();
    installation.run_with(&["backup", "verify", &name], &all);

    let doctor = installation.command(&["doctor"]).envs(environment.clone()).output().unwrap();
    let told = String::from_utf8_lossy(&doctor.stdout).into_owned();
    assert!(told.contains("backup         the last one of"), "{told}");
    std::fs::remove_file(others).unwrap();
    assert!(installation.run_with(&["backup", "list"], &all).lines().count() == 2);
}

#[cfg(feature = "failpoints")]
#[tokio::test]
async fn a_backup_that_is_killed_leaves_nothing_and_a_restore_is_begun_anew() {
    let place = Place::new();
    let (installation, whole) = small_bundle(&place, &[]).await;
    let environment = place.environment();
    for point in ["backup.after_page", "backup.after_rows", "backup.after_trailer"] {
        let mut killed = borrowed(&environment);
        let plan = format!("{point}=kill");
        killed.push(("QUAESTOR_FAIL_AT", &plan));
        installation.refusal(&["backup"], &killed);
        let (left, bundles): (Vec<_>, Vec<_>) =
            place.bundles().into_iter().partition(|path| path.extension().is_some());
        assert_eq!(bundles, std::slice::from_ref(&whole), "{point}");
        for path in left {
            std::fs::remove_file(path).unwrap();
        }
    }
    for backends in [Backends::Embedded, Backends::Distributed] {
        let restored = empty(backends).await;
        for point in ["restore.after_page:9", "restore.after_file", "restore.before_whole"] {
            let mut killed = borrowed(&environment);
            let plan = format!("{point}=kill");
            killed.push(("QUAESTOR_FAIL_AT", &plan));
            restored.refusal(&["restore", "latest"], &killed);
            let command = if backends == Backends::Embedded { "serve" } else { "front" };
            let told = restored.refusal(&[command], &[]);
            assert!(told.contains("is not whole"), "{point}: {told}");
        }
        restored.run_with(&["restore", "latest"], &borrowed(&environment));
        let program = start(&restored);
        let found = found(&program).await;
        assert!(!found.is_empty());
    }
    assert_eq!(place.bundles(), [whole]);
}

#[tokio::test]
async fn a_bundle_of_a_later_version_is_refused_by_its_number() {
    use quaestor_core::bundle::{FrameWriter, Kind};
    let place = Place::new();
    let bundles = place.0.path().join("bundles");
    std::fs::create_dir(&bundles).unwrap();
    let (magic, mut writer) = FrameWriter::begin();
    let header = json!({"format": 2, "product": "9.0.0", "shape": "unknown"});
    let bytes = [magic, writer.json(Kind::Header, &header).unwrap()].concat();
    let bundle = bundles.join("later");
    std::fs::write(&bundle, bytes).unwrap();
    let told = refused(&place, &bundle, &["--unencrypted"]).await;
    assert!(told.contains("format 2") && told.contains("9.0.0"), "{told}");
}

#[tokio::test]
async fn a_bundle_in_a_bucket_is_listed_and_restored() {
    let place = Place::new();
    let installation = Installation::new(Backends::Distributed).await;
    let program = installation.start(&[]);
    let collection = program.make_collection("reports").await;
    let upload = program.upload(&collection, "halden.md", long_report(20)).await.unwrap();
    program.wait_for_job(upload["items"][0]["job_id"].as_str().unwrap()).await;
    let before = found(&program).await;
    let url = format!("{}-backups", installation.setting("QUAESTOR_OBJECTS_URL"));
    let mut environment = place.environment();
    environment[0].1 = url;
    for name in ["AWS_ENDPOINT_URL_S3", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_REGION"]
    {
        environment.push((name.to_owned(), installation.setting(name).to_owned()));
    }
    let environment = borrowed(&environment);
    let made = installation.run_with(&["backup", "--json"], &environment);
    let made: Value = serde_json::from_str(&made).unwrap();
    let listed = installation.run_with(&["backup", "list", "--json"], &environment);
    let listed: Value = serde_json::from_str(listed.lines().next().unwrap()).unwrap();
    assert_eq!((&listed["name"], &listed["size_bytes"]), (&made["name"], &made["size_bytes"]));
    let restored = empty(Backends::Embedded).await;
    // Whose files are there would be swept by who is restored beside them.
    let mut shared = environment.clone();
    shared.push(("QUAESTOR_OBJECTS_URL", installation.setting("QUAESTOR_OBJECTS_URL")));
    let name = made["name"].as_str().unwrap();
    let told = restored.refusal(&["restore", name], &shared);
    assert!(told.contains("QUAESTOR_OBJECTS_URL"), "{told}");
    restored.run_with(&["restore", name], &environment);
    let program = start(&restored);
    assert_eq!(found(&program).await, before);
}

/// The bundle was written by the first version that writes any, and is never made anew: one
/// that can no longer be read is somebody's only backup.
#[tokio::test]
async fn a_bundle_of_the_first_format_is_still_read() {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/bundle-format-1");
    for backends in [Backends::Embedded, Backends::Distributed] {
        let restored = empty(backends).await;
        restored.run_with(&["restore", golden.to_str().unwrap(), "--unencrypted"], &[]);
        let program = start(&restored);
        let found = found(&program).await;
        assert!(found[0].1.as_str().unwrap().contains("15,300"), "{found:?}");
        let conversations = program.get("/api/conversations").await;
        let conversation = conversations["items"][0]["id"].as_str().unwrap();
        let messages = program.get(&format!("/api/conversations/{conversation}/messages")).await;
        let messages = messages["items"].as_array().unwrap();
        assert!(messages.len() == 2 && messages[1]["state"] == "done", "{messages:?}");
        let asked = ask(&program, conversation).await;
        program.wait_for_job(asked["job_id"].as_str().unwrap()).await;
    }
}
