//! What a killed process leaves in the object store is removed, what is needed stays, and a
//! file that is gone is told of.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use crate::installation::{Backends, Installation};
use crate::program::{Program, long_report};

/// Every stored file.
fn files(installation: &Installation) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![installation.folder().join("objects/objects")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).into_iter().flatten() {
            let path = entry.unwrap().path();
            if path.is_dir() { folders.push(path) } else { found.push(path) }
        }
    }
    found
}

/// Makes a file look as if it had been stored so long ago.
fn age(path: &Path, by: Duration) {
    let file = std::fs::File::options().write(true).open(path).unwrap();
    let now = file.metadata().unwrap().modified().unwrap_or(SystemTime::UNIX_EPOCH);
    file.set_modified(now - by).unwrap();
}

/// Waits until a metric has this value.
async fn metric(program: &Program, wanted: &str) {
    for _ in 0..6_000 {
        let metrics = program.send(reqwest::Method::GET, "/metrics", None).await.unwrap();
        if metrics.text().await.unwrap().lines().any(|line| line == wanted) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("no metric says {wanted}");
}

#[cfg(feature = "failpoints")]
#[tokio::test]
async fn a_file_whose_upload_was_killed_before_its_row_is_swept() {
    let installation = Installation::new(Backends::Embedded).await;
    let mut program = installation.start(&[("QUAESTOR_FAIL_AT", "upload.before_accept=kill")]);
    let collection = program.make_collection("reports").await;
    let broken = program.upload(&collection, "halden.md", long_report(3)).await;
    assert!(broken.is_err() && program.wait_for_death());
    drop(program);
    let left = files(&installation);
    assert_eq!(left.len(), 1, "the file is there, and no row names it");

    // Young ones stay: an upload may be under way.
    let program = installation.start(&[]);
    metric(&program, r#"quaestor_sweep_rows_total{sweep="unnamed_files"} 0"#).await;
    let upload = program.upload(&collection, "halden.md", long_report(4)).await.unwrap();
    let item = &upload["items"][0];
    program.wait_for_job(item["job_id"].as_str().unwrap()).await;
    drop(program);
    assert_eq!(files(&installation).len(), 2);
    for file in files(&installation) {
        age(&file, Duration::from_secs(25 * 3_600));
    }
    let other = installation.folder().join("objects/objects/exports-of-another-kind");
    std::fs::write(&other, "x").unwrap();
    age(&other, Duration::from_secs(90 * 24 * 3_600));
    let program = installation.start(&[]);
    metric(&program, r#"quaestor_sweep_rows_total{sweep="unnamed_files"} 1"#).await;
    let kept = files(&installation);
    assert!(!kept.contains(&left[0]) && kept.contains(&other) && kept.len() == 2, "{kept:?}");
    let document = item["document_id"].as_str().unwrap();
    let path = format!("/api/documents/{document}/content");
    assert_eq!(program.send(reqwest::Method::GET, &path, None).await.unwrap().status(), 200);
    metric(&program, "quaestor_missing_files 0").await;
}

#[tokio::test]
async fn a_file_that_is_gone_is_told_of() {
    let installation = Installation::new(Backends::Embedded).await;
    let program = installation.start(&[]);
    let collection = program.make_collection("reports").await;
    let upload = program.upload(&collection, "halden.md", long_report(3)).await.unwrap();
    let item = &upload["items"][0];
    program.wait_for_job(item["job_id"].as_str().unwrap()).await;
    drop(program);
    std::fs::remove_file(&files(&installation)[0]).unwrap();
    let program = installation.start(&[]);
    metric(&program, "quaestor_missing_files 1").await;
    let document = item["document_id"].as_str().unwrap();
    assert!(program.log().contains(document), "{}", program.log());
    let output = installation.command(&["doctor", "--server", &program.address]).output().unwrap();
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(told.contains("1 of 1 are gone") && told.contains(document), "{told}");
    // A backup is made all the same, and says so.
    let to = format!("file:{}", installation.folder().join("bundles").display());
    let output = installation.command(&["backup", "--unencrypted", "--to", &to]).output().unwrap();
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(!output.status.success() && told.contains(document), "{told}");
}
