//! Starts the program as a process of its own on a scratch folder, and talks to it.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use reqwest::{Client, Method, Response};
use serde_json::{Value, json};

use crate::installation::KEY;

/// Nothing here takes longer, on a machine with other work.
const PATIENCE: Duration = Duration::from_secs(120);

/// A running process. It is killed when dropped.
pub(crate) struct Process {
    child: Child,
    log: Arc<Mutex<String>>,
    /// Where it listens.
    pub(crate) address: String,
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Process {
    /// Starts a command, with its flags, with these environment variables and no others.
    pub(crate) fn start(command: &str, environment: &[(String, String)], folder: &Path) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_quaestor"))
            .args(command.split(' '))
            .env_clear()
            .envs(environment.iter().cloned())
            .current_dir(folder)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let mut said = String::new();
        let address = loop {
            let Some(Ok(line)) = lines.next() else {
                panic!("`quaestor {command}` ended before it served: {said}");
            };
            if let Some((_, address)) = line.split_once("serves on ") {
                break address.trim().to_owned();
            }
            said.push_str(&line);
            said.push('\n');
        };
        // Whatever it says later must not fill the pipe.
        let log = Arc::new(Mutex::new(said));
        let kept = Arc::clone(&log);
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                let mut kept = kept.lock().unwrap();
                kept.push_str(&line);
                kept.push('\n');
            }
        });
        Self { child, log, address }
    }

    /// What it has said so far.
    pub(crate) fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    /// Its number.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Tells it to stop.
    pub(crate) fn terminate(&self) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    }

    /// Waits until it says on `/ready` that it is not, and gives what it says.
    pub(crate) async fn unready(&self) -> String {
        let until = Instant::now() + PATIENCE;
        loop {
            let said = reqwest::get(format!("{}/ready", self.address)).await.unwrap();
            if said.status() == 503 {
                return said.text().await.unwrap();
            }
            assert!(Instant::now() < until, "{} stays ready", self.address);
        }
    }

    /// Waits until it has ended by itself, and gives its exit code.
    pub(crate) async fn ended(&mut self) -> Option<i32> {
        let until = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code();
            }
            assert!(Instant::now() < until, "{} does not end", self.address);
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

/// The running processes of an installation, the first of which takes requests.
pub(crate) struct Program {
    processes: Vec<Process>,
    pub(crate) address: String,
    client: Client,
}

/// The folder of the embedding model, where `make model` has put it.
pub(crate) fn model_folder() -> Option<PathBuf> {
    let cache = std::env::var_os("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache")))?;
    let folder = cache.join("quaestor/models/all-MiniLM-L6-v2");
    folder.join("model.safetensors").is_file().then_some(folder)
}

impl Program {
    /// The processes as one program.
    pub(crate) fn of(processes: Vec<Process>) -> Self {
        let address = processes[0].address.clone();
        let client = Client::builder().timeout(PATIENCE).build().unwrap();
        Self { processes, address, client }
    }

    /// The number of the process that takes requests.
    pub(crate) fn pid(&self) -> u32 {
        self.processes[0].pid()
    }

    /// Where it takes requests.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// Tells its processes to stop, and waits until they have.
    pub(crate) async fn stop(&mut self) {
        for process in &mut self.processes {
            process.terminate();
            assert_eq!(process.ended().await, Some(0));
        }
    }

    /// What its processes have said so far.
    pub(crate) fn log(&self) -> String {
        self.processes.iter().map(Process::log).collect()
    }

    /// Waits until a process has died, as a named point makes it.
    pub(crate) fn wait_for_death(&mut self) -> bool {
        let until = Instant::now() + PATIENCE;
        while Instant::now() < until {
            if self.processes.iter_mut().any(Process::has_ended) {
                return true;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        false
    }

    /// The same, while what runs in the test goes on: a server that the process asks.
    pub(crate) async fn death(&mut self) -> bool {
        let until = Instant::now() + PATIENCE;
        while Instant::now() < until {
            if self.processes.iter_mut().any(Process::has_ended) {
                return true;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        false
    }

    /// Sends a request; an error is the connection's, as a killed process leaves it.
    pub(crate) async fn send(
        &self,
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> reqwest::Result<Response> {
        let mut request =
            self.client.request(method, format!("{}{path}", self.address)).bearer_auth(KEY);
        if let Some(body) = body {
            request = request.json(&body);
        }
        request.send().await
    }

    pub(crate) async fn get(&self, path: &str) -> Value {
        let response = self.send(Method::GET, path, None).await.unwrap();
        let status = response.status();
        let text = response.text().await.unwrap();
        assert!(status.is_success(), "GET {path}: {status} {text}");
        serde_json::from_str(&text).unwrap()
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> Value {
        let response = self.send(Method::POST, path, Some(body)).await.unwrap();
        let status = response.status();
        let text = response.text().await.unwrap();
        assert!(status.is_success(), "POST {path}: {status} {text}");
        serde_json::from_str(&text).unwrap()
    }

    /// Uploads one file; an error is the connection's.
    pub(crate) async fn upload(
        &self,
        collection: &str,
        filename: &str,
        bytes: impl Into<Vec<u8>>,
    ) -> reqwest::Result<Value> {
        let part = reqwest::multipart::Part::bytes(bytes.into()).file_name(filename.to_owned());
        let form = reqwest::multipart::Form::new()
            .text("collection_id", collection.to_owned())
            .part("file", part);
        let response = self
            .client
            .post(format!("{}/api/documents", self.address))
            .bearer_auth(KEY)
            .multipart(form)
            .send()
            .await?;
        let status = response.status();
        let text = response.text().await?;
        assert_eq!(status, 202, "{text}");
        Ok(serde_json::from_str(&text).unwrap())
    }

    /// Uploads files to a batch in one request; an error is the connection's.
    pub(crate) async fn send_to(
        &self,
        batch: &str,
        collection: &str,
        files: Vec<(&str, Vec<u8>)>,
    ) -> reqwest::Result<Response> {
        let mut form = reqwest::multipart::Form::new()
            .text("collection_id", collection.to_owned())
            .text("batch_id", batch.to_owned());
        for (name, bytes) in files {
            let part = reqwest::multipart::Part::bytes(bytes).file_name(name.to_owned());
            form = form.part("file", part);
        }
        let address = format!("{}/api/documents", self.address);
        self.client.post(address).bearer_auth(KEY).multipart(form).send().await
    }

    /// The same, which is accepted.
    pub(crate) async fn upload_to(
        &self,
        batch: &str,
        collection: &str,
        files: Vec<(&str, Vec<u8>)>,
    ) -> Value {
        let response = self.send_to(batch, collection, files).await.unwrap();
        let status = response.status();
        let text = response.text().await.unwrap();
        assert_eq!(status, 202, "{text}");
        serde_json::from_str(&text).unwrap()
    }

    pub(crate) async fn make_collection(&self, name: &str) -> String {
        let made = self.post("/api/collections", json!({ "name": name })).await;
        made["id"].as_str().unwrap().to_owned()
    }

    pub(crate) async fn make_conversation(&self) -> String {
        let made = self.post("/api/conversations", json!({})).await;
        made["id"].as_str().unwrap().to_owned()
    }

    /// Waits until a job has ended; its last state.
    pub(crate) async fn wait_for_job(&self, job: &str) -> Value {
        let until = Instant::now() + PATIENCE;
        loop {
            let seen = self.get(&format!("/api/jobs/{job}")).await;
            let state = seen["state"].as_str().unwrap();
            if ["done", "failed", "cancelled", "dead"].contains(&state) {
                return seen;
            }
            assert!(Instant::now() < until, "job {job} does not end: {seen}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// An answer of a conversation, on whichever page of its messages.
    pub(crate) async fn answer(&self, conversation: &str, answer: &str) -> Value {
        let path = format!("/api/conversations/{conversation}/messages?limit=200");
        let mut page = self.get(&path).await;
        loop {
            let items = page["items"].as_array().unwrap();
            if let Some(found) = items.iter().find(|message| message["id"] == answer) {
                return found.clone();
            }
            let next = page["next"].as_str().expect("the answer is on one of the pages");
            page = self.get(&format!("{path}&cursor={next}")).await;
        }
    }

    /// The texts of a document's passages.
    pub(crate) async fn chunks(&self, document: &str) -> Vec<Value> {
        let listed = self.get(&format!("/api/documents/{document}/chunks?limit=200")).await;
        listed["items"].as_array().unwrap().clone()
    }
}

/// A PDF of many pages, each with a heading and lines of its own.
pub(crate) fn long_pdf(pages: usize) -> Vec<u8> {
    let mut objects = vec![
        "<< /Type /Catalog /Pages 2 0 R >>".to_owned(),
        String::new(),
        "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>".to_owned(),
    ];
    let mut kids = String::new();
    for page in 1..=pages {
        let mut text = format!("BT /F1 18 Tf 72 750 Td (Holding {page} of the fund) Tj ET\n");
        for line in 0..30 {
            let y = 710 - line * 20;
            let words = format!("Line {line} of page {page} tells of bond {}.", page * 31 + line);
            text.push_str(&format!("BT /F1 10 Tf 72 {y} Td ({words}) Tj ET\n"));
        }
        let contents = objects.len() + 2;
        kids.push_str(&format!("{} 0 R ", objects.len() + 1));
        objects.push(format!(
            "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents {contents} 0 R \
             /Resources << /Font << /F1 3 0 R >> >> >>"
        ));
        objects.push(format!("<< /Length {} >>\nstream\n{text}endstream", text.len()));
    }
    objects[1] = format!("<< /Type /Pages /Count {pages} /Kids [{kids}] >>");
    let mut file = b"%PDF-1.4\n".to_vec();
    let mut table = format!("xref\n0 {}\n0000000000 65535 f \n", objects.len() + 1);
    for (at, object) in objects.iter().enumerate() {
        table.push_str(&format!("{:010} 00000 n \n", file.len()));
        file.extend(format!("{} 0 obj\n{object}\nendobj\n", at + 1).bytes());
    }
    let (at, size) = (file.len(), objects.len() + 1);
    file.extend(table.bytes());
    let trailer = format!("trailer << /Size {size} /Root 1 0 R >>\nstartxref\n{at}\n%%EOF\n");
    file.extend(trailer.bytes());
    file
}

/// A document that takes several batches to store: a report with a table on each page.
pub(crate) fn long_report(sections: usize) -> String {
    let mut report = String::from("# Halden Bond Fund, annual report 2025\n\n");
    for n in 1..=sections {
        report.push_str(&format!(
            "## Holding {n}\n\nThe fund holds bond number {n} of the Halden series. Its coupon is \
             paid each March, and its rating was confirmed in the year under review. The position \
             was built over several quarters and is reviewed by the committee each month.\n\n\
             | Item | 2025 | 2024 |\n| --- | --- | --- |\n| Nominal of bond {n} | {} | {} |\n\
             | Market value of bond {n} | {} | {} |\n\n",
            n * 1_000,
            n * 900,
            n * 1_013,
            n * 911,
        ));
    }
    report
}
