//! Does the command line read what it is given, and fail in one sentence?

use std::io::Write;
use std::sync::{Arc, Mutex};

use super::*;

/// What a command has printed.
#[derive(Clone, Default)]
pub(crate) struct Page(Arc<Mutex<Vec<u8>>>);

impl Page {
    pub(crate) fn terminal() -> (Terminal, Self) {
        let page = Self::default();
        (Terminal::into_pipes(page.clone(), page.clone()), page)
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl Write for Page {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// An address on which nobody listens any more.
fn closed_server() -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    format!("http://{}", listener.local_addr().unwrap())
}

fn parsed(line: &str) -> Command {
    Arguments::try_parse_from(line.split(' ')).unwrap_or_else(|e| panic!("{e}")).command
}

fn run_line(line: &str) -> Result<Ended, String> {
    let (terminal, _) = Page::terminal();
    run(parsed(line), &terminal).map_err(|error| sentence(&error))
}

#[test]
fn every_command_is_read_as_it_is_documented() {
    use clap::CommandFactory;
    Arguments::command().debug_assert();
    for line in [
        "quaestor serve --listen 127.0.0.1:0 --data-dir d --set workers.lease_s=60",
        "quaestor move --to distributed --dry-run --data-dir d",
        "quaestor move --to embedded --replace --json --embedded-objects file:/srv/o",
        "quaestor move --to distributed --undo --target-is-gone",
        "quaestor ingest a b --collection Funds --no-wait --server http://h:1 --key k",
        "quaestor ask why? --collection A --collection B --json",
        "quaestor ask why? --conversation 018f0000-0000-7000-8000-000000000001",
        "quaestor jobs list --state failed --kind documents --limit 5",
        "quaestor jobs show 018f0000-0000-7000-8000-000000000001",
        "quaestor jobs cancel 018f0000-0000-7000-8000-000000000001",
        "quaestor jobs watch 018f0000-0000-7000-8000-000000000001",
        "quaestor key create robot --role viewer",
        "quaestor key list",
        "quaestor key revoke 018f0000-0000-7000-8000-000000000001",
        "quaestor config --json --config q.toml",
        "quaestor doctor",
        "quaestor demo --keep d",
        "quaestor parse-child --any thing",
        "quaestor render-child --any thing",
        "quaestor export --conversation 018f0000-0000-7000-8000-000000000001 --format pdf --out a.pdf",
        "quaestor export --documents 018f0000-0000-7000-8000-000000000001,018f0000-0000-7000-8000-000000000002 --format csv",
    ] {
        parsed(line);
    }
    for (line, part) in [
        ("quaestor ingest", "PATH"),
        ("quaestor jobs show 1", "'1'"),
        ("quaestor jobs list --state lost", "no job state is named"),
        ("quaestor key create robot --role king", "viewer"),
        (
            "quaestor ask q --conversation 018f0000-0000-7000-8000-000000000001 --collection A",
            "--collection",
        ),
    ] {
        let error = Arguments::try_parse_from(line.split(' ')).unwrap_err().to_string();
        assert!(error.contains(part), "{line}: {error}");
    }
}

#[test]
fn a_key_on_the_command_line_stays_out_of_debug_output() {
    let shown = format!("{:?}", parsed("quaestor key --key canary-key list"));
    assert!(!shown.contains("canary"), "{shown}");
}

#[test]
fn a_server_that_is_not_there_is_one_sentence() {
    let server = closed_server();
    let file = tempfile::NamedTempFile::new().unwrap();
    let id = "018f0000-0000-7000-8000-000000000001";
    for command in [
        "ask why?".to_owned(),
        format!("ingest {}", file.path().display()),
        "jobs list".to_owned(),
        format!("jobs show {id}"),
    ] {
        let error = run_line(&format!("quaestor {command} --server {server} --key k")).unwrap_err();
        assert!(error.contains("no server answers at"), "{command}: {error}");
        assert!(error.contains(&server) && error.contains("quaestor serve"), "{command}: {error}");
        assert!(!error.contains('\n'), "{command}: {error}");
    }
}

#[test]
fn a_missing_file_and_a_bad_address_are_one_sentence() {
    let error = run_line("quaestor ingest /no/such/file.pdf --key k").unwrap_err();
    assert!(error.contains("/no/such/file.pdf"), "{error}");
    let error = run_line("quaestor ask why? --server ftp://h --key k").unwrap_err();
    assert!(error.contains("is no server address"), "{error}");
    let empty = tempfile::tempdir().unwrap();
    let error =
        run_line(&format!("quaestor ingest {} --key k", empty.path().display())).unwrap_err();
    assert!(error.contains("no file to upload"), "{error}");
}

#[test]
fn a_wrong_setting_is_one_sentence() {
    let error = run_line("quaestor config --set workers.leese_s=3").unwrap_err();
    assert!(error.contains("workers.leese_s") && error.contains("`workers.lease_s`"), "{error}");
    let error = run_line("quaestor config --set nonsense").unwrap_err();
    assert!(error.contains("KEY=VALUE"), "{error}");
    let error = run_line("quaestor config --config /no/such.toml").unwrap_err();
    assert!(error.contains("/no/such.toml"), "{error}");
}

#[test]
fn the_key_comes_from_the_flag_or_the_environment() {
    use secrecy::ExposeSecret;
    let Command::Doctor { mut connection, .. } = parsed("quaestor doctor") else { panic!() };
    let key = |connection: &Connection, pairs: &[(&str, &str)]| {
        let key = key_of(connection, &Environment::of(pairs)).unwrap();
        key.map(|key| key.expose_secret().to_owned())
    };
    assert_eq!(key(&connection, &[]), None);
    assert_eq!(key(&connection, &[("QUAESTOR_ADMIN_KEY", "a")]).as_deref(), Some("a"));
    let both = [("QUAESTOR_ADMIN_KEY", "a"), ("QUAESTOR_API_KEY", "b")];
    assert_eq!(key(&connection, &both).as_deref(), Some("b"));
    connection.key = Some("c".into());
    assert_eq!(key(&connection, &both).as_deref(), Some("c"));
}

#[test]
fn the_configuration_is_printed_with_its_sources_and_without_secrets() {
    let (terminal, page) = Page::terminal();
    let line = "quaestor config --set server.admin_key=canary-canary-canary-canary --set models.embed=none";
    run(parsed(line), &terminal).unwrap();
    let text = page.text();
    assert!(!text.contains("canary"), "{text}");
    assert!(text.contains("admin_key = \"(hidden)\"") && text.contains("the flag --set"), "{text}");
    let (terminal, page) = Page::terminal();
    run(parsed(&format!("{line} --json")), &terminal).unwrap();
    let json: serde_json::Value = serde_json::from_str(&page.text()).unwrap();
    assert_eq!(json["keys"][0]["key"], "server.listen");
    assert!(!page.text().contains("canary"));
}
