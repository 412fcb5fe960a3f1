//! Messages that the queue gave up become dead letters in the store, where administrators see
//! them; and how many letters there are becomes a metric.

use std::collections::BTreeSet;

use quaestor_core::clock::Time;
use quaestor_core::ids::{JobId, WorkspaceId};
use quaestor_core::jobs::Envelope;
use quaestor_core::metrics;
use quaestor_core::ports::queue::DeadDelivery;
use quaestor_core::ports::store::{DeadMessage, KeptMessage, NewDeadMessage};
use sha2::{Digest, Sha256};
use tracing::{debug, error, warn};
use uuid::Uuid;

use crate::context::Context;

/// Messages that one sweep takes.
const AT_MOST: u32 = 50;
/// Messages that are kept in all; further ones stay with the broker, whose own queue for
/// them is bounded too.
const MOST_KEPT: u32 = 10_000;
/// Bytes that are kept of a body.
const MOST_BYTES: usize = 64 << 10;
/// Groups that are counted in the metric: kinds are few, and so are classes of errors.
const MOST_GROUPS: u32 = 50;
/// Every how manieth sweep the letters are counted.
const COUNT_EVERY: u32 = 6;

/// What one sweep tells the next.
#[derive(Debug, Default)]
pub(crate) struct DeadMessages {
    sweeps: u32,
    /// The groups that the metric shows: one that is empty by now is set to nought.
    shown: BTreeSet<(String, String)>,
}

impl DeadMessages {
    /// Keeps what the queue gave up, and counts now and then.
    pub(crate) async fn sweep(&mut self, context: &Context) {
        for _ in 0..AT_MOST {
            if !keep_one(context).await {
                break;
            }
        }
        if self.sweeps.is_multiple_of(COUNT_EVERY) {
            self.count(context).await;
        }
        self.sweeps = self.sweeps.wrapping_add(1);
    }

    async fn count(&mut self, context: &Context) {
        let counts = match context.store.dead_counts(MOST_GROUPS).await {
            Ok(counts) => counts,
            Err(error) => {
                warn!(error = &error as &dyn std::error::Error, "could not count dead letters");
                return;
            }
        };
        let mut shown = BTreeSet::new();
        for group in counts {
            show(&group.kind, &group.code, group.count);
            shown.insert((group.kind, group.code));
        }
        for (kind, code) in self.shown.difference(&shown) {
            show(kind, code, 0);
        }
        self.shown = shown;
    }
}

fn show(kind: &str, code: &str, count: u64) {
    #[expect(clippy::cast_precision_loss, reason = "a count for a gauge")]
    metrics::DEAD_LETTERS.of([kind.to_owned().into(), code.to_owned().into()]).set(count as f64);
}

/// Keeps one message. False where there is none, or none can be kept now.
async fn keep_one(context: &Context) -> bool {
    let delivery = match context.queue.take_dead().await {
        Ok(Some(delivery)) => delivery,
        Ok(None) => return false,
        Err(error) => {
            warn!(error = &error as &dyn std::error::Error, "could not look for dead messages");
            return false;
        }
    };
    let message = read(&delivery, context.clock.now());
    let (code, sha256) = (message.code, message.message.sha256.clone());
    let settled = match context.store.keep_dead_message(message, MOST_KEPT).await {
        Ok(KeptMessage::Kept) => {
            error!(
                error.code = code,
                message.sha256 = %sha256,
                message.size_bytes = delivery.body.len(),
                "a message of {} was kept as a dead letter: see `quaestor dead list`",
                delivery.queue
            );
            metrics::DEAD_MESSAGES.of([code.into()]).increment(1);
            delivery.settle.ack().await
        }
        Ok(KeptMessage::Full) => {
            warn!(
                "{MOST_KEPT} messages are kept as dead letters, and no more are: discard them with \
                 `quaestor dead discard --all --kind message`"
            );
            if let Err(error) = delivery.settle.give_back().await {
                // Its channel is gone, and the message is where it was.
                debug!(error = &error as &dyn std::error::Error, "a dead message was left");
            }
            return false;
        }
        Ok(KeptMessage::NoWorkspace) => return false,
        Err(error) => {
            warn!(error = &error as &dyn std::error::Error, "could not keep a dead message");
            return false;
        }
    };
    // Read once more it is the same letter.
    if let Err(error) = settled {
        warn!(error = &error as &dyn std::error::Error, "could not settle a dead message");
        return false;
    }
    true
}

/// What is kept of a message, and why it could not be read.
fn read(delivery: &DeadDelivery, now: Time) -> NewDeadMessage {
    let DeadDelivery { queue, step, reason, count, at, sent_at, headers, body, .. } = delivery;
    let (code, detail, names) = match Envelope::read(body) {
        Ok(envelope) => (
            "message_given_up",
            format!("the queue gave it up ({reason}) after {count} tries to deliver it"),
            Some((envelope.workspace_id, envelope.job_id)),
        ),
        Err(unreadable) => (unreadable.code(), unreadable.to_string(), named(body)),
    };
    let sha256 = Sha256::digest(body);
    let kept = &body[..body.len().min(MOST_BYTES)];
    let (text, encoding) = match text_of(kept) {
        Some(text) => (text.to_owned(), "utf8"),
        None => (base64(kept), "base64"),
    };
    NewDeadMessage {
        id: id_of(queue, headers.get("message_id"), &sha256, sent_at.or(*at)),
        code,
        detail,
        step: step.map(|step| step.as_str().to_owned()),
        names,
        message: DeadMessage {
            queue: queue.clone(),
            reason: reason.clone(),
            headers: headers.clone(),
            size_bytes: body.len() as u64,
            sha256: sha256.iter().map(|byte| format!("{byte:02x}")).collect(),
            body: Some(text),
            encoding: encoding.to_owned(),
        },
        attempts: *count,
        died_at: at.unwrap_or(now),
        traceparent: headers.get("traceparent").cloned(),
    }
}

/// The same for the same message: one that is read twice is one letter. It begins with the
/// time of the message, so that letters are listed by it.
fn id_of(queue: &str, message_id: Option<&String>, sha256: &[u8], at: Option<Time>) -> Uuid {
    let mut hash = Sha256::new();
    hash.update(b"quaestor.dead-message.v1");
    for part in [queue.as_bytes(), message_id.map_or(&[][..], |id| id.as_bytes()), sha256] {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    let digest = hash.finalize();
    let mut bytes = [0_u8; 16];
    bytes.copy_from_slice(&digest[..16]);
    let millis = at.map_or(0, |at| u64::try_from(at.timestamp_millis()).unwrap_or(0));
    bytes[..6].copy_from_slice(&millis.to_be_bytes()[2..]);
    // Version 8 is the one RFC 9562 leaves to the application.
    uuid::Builder::from_custom_bytes(bytes).into_uuid()
}

/// The text of a body that was cut at any byte.
fn text_of(kept: &[u8]) -> Option<&str> {
    match std::str::from_utf8(kept) {
        Ok(text) => Some(text),
        // The last character may have been cut in two.
        Err(error) if error.error_len().is_none() => {
            std::str::from_utf8(&kept[..error.valid_up_to()]).ok()
        }
        Err(_) => None,
    }
}

/// The ids that a body names, though it is no envelope, whatever stands around them. The
/// whole of it is looked through: what is kept may be another workspace's all the same.
fn named(body: &[u8]) -> Option<(WorkspaceId, JobId)> {
    Some((id_after(body, b"\"workspace_id\"")?, id_after(body, b"\"job_id\"")?))
}

fn id_after<T: From<Uuid>>(body: &[u8], field: &[u8]) -> Option<T> {
    /// The hyphenated form of a UUID.
    const LENGTH: usize = 36;
    let start = body.windows(field.len()).position(|window| window == field)? + field.len();
    let rest = body[start..].trim_ascii_start();
    let rest = rest.strip_prefix(b":").unwrap_or(rest).trim_ascii_start();
    let text = std::str::from_utf8(rest.strip_prefix(b"\"")?.get(..LENGTH)?).ok()?;
    Uuid::try_parse(text).ok().map(T::from)
}

fn base64(bytes: &[u8]) -> String {
    use base64::Engine;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const BODY: &str = r#"{"v":1,"workspace_id": "018f0000-0000-7000-8000-000000000003","job_id":"018f0000-0000-7000-8000-000000000002","step":"chat.sing""#;

    #[test]
    fn ids_are_found_in_what_cannot_be_read() {
        let (workspace, job) = named(BODY.as_bytes()).unwrap();
        assert_eq!(workspace.to_string(), "018f0000-0000-7000-8000-000000000003");
        assert_eq!(job.to_string(), "018f0000-0000-7000-8000-000000000002");
        for odd in ["", "{}", "\"workspace_id\":\"é\",\"job_id\":", "\"workspace_id\"\"job_id\""] {
            assert_eq!(named(odd.as_bytes()), None, "{odd}");
        }
    }

    #[test]
    fn a_body_is_text_where_it_is_and_may_be_cut_within_a_character() {
        assert_eq!(text_of("aé".as_bytes()), Some("aé"));
        assert_eq!(text_of(&"aé".as_bytes()[..2]), Some("a"));
        assert_eq!(text_of(&[0xff, 0xfe, b'a']), None);
    }

    #[test]
    fn the_same_message_is_the_same_letter() {
        let id = |queue: &str, message: &str, sha: &[u8]| {
            id_of(queue, Some(&message.to_owned()), sha, Some(Time::UNIX_EPOCH))
        };
        assert_eq!(id("q", "m", &[1; 32]), id("q", "m", &[1; 32]));
        let others = [id("r", "m", &[1; 32]), id("q", "n", &[1; 32]), id("q", "m", &[2; 32])];
        assert!(!others.contains(&id("q", "m", &[1; 32])));
    }
}
