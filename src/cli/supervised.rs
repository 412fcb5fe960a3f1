//! A worker that `quaestor scaler` has started: it says how much it does, and leaves when
//! whoever started it is gone.

use std::sync::Arc;
use std::time::Duration;

use quaestor_core::clock::Clock;
use quaestor_workers::Work;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::app::Status;

/// How often it is said.
const EVERY: Duration = Duration::from_millis(500);

/// Says every half a second on standard output how much is done, as long as anybody reads it.
pub(super) async fn tell(work: Work, address: String, clock: Arc<dyn Clock>) {
    let mut out = tokio::io::stdout();
    loop {
        let status = Status { running: work.busy(), address: address.clone() };
        let Ok(mut line) = serde_json::to_vec(&status) else { return };
        line.push(b'\n');
        if out.write_all(&line).await.is_err() || out.flush().await.is_err() {
            return;
        }
        clock.sleep(EVERY).await;
    }
}

/// Returns when whoever started this process is gone: standard input has ended. What comes
/// there before is passed over.
pub(super) async fn abandoned() {
    let mut input = tokio::io::stdin();
    let mut buffer = [0_u8; 64];
    while matches!(input.read(&mut buffer).await, Ok(read) if read > 0) {}
}
