//! A Redis of a test's own, which may be killed, restarted and flushed.

use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use redis::{FromRedisValue, aio::MultiplexedConnection};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::time::timeout;

const PATIENCE: Duration = Duration::from_secs(20);

/// The program: named by the environment, else found by name.
fn program() -> PathBuf {
    if let Some(named) = std::env::var_os("QUAESTOR_TEST_REDIS_SERVER") {
        return named.into();
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).map(|folder| folder.join("redis-server"));
    let Some(found) = found.into_iter().find(|program| program.is_file()) else {
        panic!(
            "no redis-server is on PATH and QUAESTOR_TEST_REDIS_SERVER names none: this test \
             starts a Redis of its own; `make test` provides one"
        )
    };
    found
}

/// A port of which the one for a cluster's own traffic, 10,000 above, is free as well.
fn free_port() -> Option<u16> {
    let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = free.local_addr().unwrap().port();
    TcpListener::bind((Ipv4Addr::LOCALHOST, port.checked_add(10_000)?)).ok()?;
    Some(port)
}

/// A server that is killed when it is dropped.
pub(super) struct OwnServer {
    port: u16,
    folder: PathBuf,
    options: Vec<String>,
    child: Option<Child>,
}

impl OwnServer {
    /// Starts a server that keeps an append-only file.
    pub(super) async fn start(options: &[&str]) -> Self {
        let port = (0..100).find_map(|_| free_port()).expect("two free ports");
        // Seen alike by a server that runs in another root, under another user.
        let shared = Path::new("/dev/shm");
        let parent = if shared.is_dir() { shared.to_owned() } else { std::env::temp_dir() };
        let folder = parent.join(format!("quaestor-test-redis-{port}-{}", std::process::id()));
        std::fs::create_dir(&folder).unwrap();
        std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o777)).unwrap();
        let options = options.iter().map(|&option| option.to_owned()).collect();
        let mut server = Self { port, folder, options, child: None };
        server.start_again().await;
        server
    }

    /// Starts it on the same port, with what it has kept.
    pub(super) async fn start_again(&mut self) {
        let mut child = Command::new(program())
            .args(["--bind", "127.0.0.1", "--port", &self.port.to_string()])
            .args(["--appendonly", "yes", "--appendfsync", "everysec", "--save", ""])
            .args(["--daemonize", "no", "--logfile", "", "--dir"])
            .arg(&self.folder)
            .args(&self.options)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let ready = async {
            while let Some(line) = lines.next_line().await.unwrap() {
                if line.contains("Ready to accept connections") {
                    return;
                }
            }
            panic!("redis-server ended before it was ready");
        };
        timeout(PATIENCE, ready).await.expect("redis-server starts");
        // The pipe is closed with its reader; the server does not mind.
        self.child = Some(child);
    }

    /// Kills it as a crash would.
    pub(super) async fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().await.unwrap();
        }
    }

    pub(super) fn port(&self) -> u16 {
        self.port
    }

    pub(super) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}/0", self.port)
    }

    /// Runs a command as an administrator.
    pub(super) async fn admin<T: FromRedisValue>(&self, command: &str) -> T {
        let mut words = command.split(' ');
        let mut parsed = redis::cmd(words.next().unwrap());
        words.for_each(|word| {
            parsed.arg(word);
        });
        parsed.query_async(&mut self.connection().await).await.unwrap()
    }

    pub(super) async fn connection(&self) -> MultiplexedConnection {
        let client = redis::Client::open(self.url()).unwrap();
        client.get_multiplexed_async_connection().await.unwrap()
    }
}

impl Drop for OwnServer {
    fn drop(&mut self) {
        self.child = None;
        // The server may still be writing its last words there; the folder is in memory.
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}
