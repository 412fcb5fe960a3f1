//! The chain over a workspace's audit log: what a link is, and what shows that one was broken.
//!
//! Each entry that has been sealed has a number, counted from 1 in the order of the entries'
//! ids, and a hash: SHA-256 over the hash before it, the number and every field of the entry.
//! So an entry that was changed, taken out or put in later shows, by its place. Where the chain
//! ends is kept once more, so that a piece cut off its end shows too.
//!
//! Whoever can write to the database can also make the whole chain anew. What proves that
//! nobody did is a number and its hash that are kept elsewhere.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::ids::{AuditId, WorkspaceId};
use crate::ports::store::{AuditEntry, AuditLinks};

/// What the bytes under a hash begin with; another form of them has another name.
const FORM: &[u8] = b"quaestor.audit.1\0";

/// The hash of a link: 32 bytes, as text 64 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct SealHash(pub [u8; 32]);

impl fmt::Display for SealHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for SealHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A text that is no hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a hash is 64 hexadecimal digits")]
pub struct NoHash;

impl FromStr for SealHash {
    type Err = NoHash;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let digits = text.as_bytes();
        if digits.len() != 64 || !digits.iter().all(u8::is_ascii_hexdigit) {
            return Err(NoHash);
        }
        let mut bytes = [0; 32];
        for (byte, pair) in bytes.iter_mut().zip(0..) {
            let pair = text.get(2 * pair..2 * pair + 2).ok_or(NoHash)?;
            *byte = u8::from_str_radix(pair, 16).map_err(|_| NoHash)?;
        }
        Ok(Self(bytes))
    }
}

impl Serialize for SealHash {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for SealHash {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// A link of the chain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seal {
    /// Its place, from 1.
    pub number: u64,
    /// The entry.
    pub entry_id: AuditId,
    /// Its hash.
    pub hash: SealHash,
}

impl Seal {
    /// The link of an entry, after the one before it; none before the first.
    #[must_use]
    pub fn after(previous: Option<&Self>, workspace: WorkspaceId, entry: &AuditEntry) -> Self {
        let (number, before) = match previous {
            None => (1, SealHash::default()),
            Some(previous) => (previous.number.saturating_add(1), previous.hash),
        };
        Self { number, entry_id: entry.id, hash: hash(before, number, workspace, entry) }
    }
}

/// The hash of an entry at its place. Every field stands under it, those of no fixed length
/// with their length, so that no two entries are the same bytes.
fn hash(before: SealHash, number: u64, workspace: WorkspaceId, entry: &AuditEntry) -> SealHash {
    let mut sum = Sha256::new();
    sum.update(FORM);
    sum.update(before.0);
    sum.update(number.to_be_bytes());
    sum.update(workspace.uuid().as_bytes());
    sum.update(entry.id.uuid().as_bytes());
    sum.update(entry.principal_id.uuid().as_bytes());
    sum.update(entry.at.timestamp_micros().to_be_bytes());
    for text in [&entry.action, &entry.subject] {
        sum.update((text.len() as u64).to_be_bytes());
        sum.update(text.as_bytes());
    }
    SealHash(sum.finalize().into())
}

/// How a chain is broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BreakKind {
    /// The entry or its seal is not what was sealed.
    Changed,
    /// The entry is gone.
    Removed,
    /// An entry stands among sealed ones and was not there when they were sealed.
    Added,
    /// The seal is gone.
    SealRemoved,
    /// The entries are no longer in the order in which they were sealed.
    Reordered,
    /// The chain does not end where it is said to end.
    Cut,
}

impl BreakKind {
    /// What happened, for people.
    #[must_use]
    pub fn sentence(self) -> &'static str {
        match self {
            Self::Changed => "the entry, or its seal, was changed after it was sealed",
            Self::Removed => "the entry was removed",
            Self::Added => "the entry was added later, among entries that were sealed",
            Self::SealRemoved => "the seal was removed",
            Self::Reordered => "the entry does not follow on the one before",
            Self::Cut => "the chain does not end here: its end was cut off, or its head changed",
        }
    }
}

/// A place where a chain is broken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChainBreak {
    /// What happened.
    pub kind: BreakKind,
    /// The number in the chain; null where there is none.
    pub number: Option<u64>,
    /// The entry; null where it is not known.
    pub entry_id: Option<AuditId>,
}

/// Checks a piece of a chain, which begins after the link of this number. `limit` is how many
/// links were asked for: fewer are the last ones.
#[must_use]
pub fn check(
    workspace: WorkspaceId,
    after: u64,
    limit: u32,
    piece: &AuditLinks,
    head: Option<&Seal>,
) -> Vec<ChainBreak> {
    let mut breaks = Vec::new();
    let mut found = |kind, number, entry_id| breaks.push(ChainBreak { kind, number, entry_id });
    let mut previous = piece.previous.clone();
    let mut expected = after + 1;
    if after > 0 && previous.is_none() {
        found(BreakKind::SealRemoved, Some(after), None);
    }
    for link in &piece.links {
        let Seal { number, entry_id, .. } = link.seal;
        let gap = number != expected;
        if gap {
            found(BreakKind::SealRemoved, Some(expected), None);
        }
        if previous.as_ref().is_some_and(|before| before.entry_id >= entry_id) {
            found(BreakKind::Reordered, Some(number), Some(entry_id));
        }
        // Without the link before, a hash cannot be made again; what is missing was told.
        let known = !gap && (previous.is_some() || number == 1);
        match &link.entry {
            None => found(BreakKind::Removed, Some(number), Some(entry_id)),
            Some(entry) if known => {
                if Seal::after(previous.as_ref(), workspace, entry) != link.seal {
                    found(BreakKind::Changed, Some(number), Some(entry_id));
                }
            }
            Some(_) => {}
        }
        previous = Some(link.seal.clone());
        expected = number.saturating_add(1);
    }
    let sealed: BTreeSet<AuditId> = piece.links.iter().map(|link| link.seal.entry_id).collect();
    for entry in piece.entries.iter().filter(|entry| !sealed.contains(entry)) {
        found(BreakKind::Added, None, Some(*entry));
    }
    let last = piece.links.len() < limit as usize;
    if last && head != previous.as_ref() {
        let end = head.or(previous.as_ref());
        found(BreakKind::Cut, end.map(|end| end.number), end.map(|end| end.entry_id));
    }
    breaks
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::clock::Time;
    use crate::ids::PrincipalId;
    use crate::ports::store::AuditLink;

    const WORKSPACE: WorkspaceId = WorkspaceId(Uuid::from_u128(9));

    fn entry(number: u128) -> AuditEntry {
        AuditEntry {
            id: AuditId(Uuid::from_u128(number * 10)),
            principal_id: PrincipalId(Uuid::from_u128(7)),
            action: "key.create".to_owned(),
            subject: format!("it {number}"),
            at: Time::from_timestamp_micros(1_700_000_000_000_001).unwrap(),
        }
    }

    fn chain(entries: u128) -> AuditLinks {
        let mut links: Vec<AuditLink> = Vec::new();
        for number in 1..=entries {
            let previous = links.last().map(|link| link.seal.clone());
            let entry = entry(number);
            let seal = Seal::after(previous.as_ref(), WORKSPACE, &entry);
            links.push(AuditLink { seal, entry: Some(entry) });
        }
        let entries = links.iter().map(|link| link.seal.entry_id).collect();
        AuditLinks { previous: None, links, entries }
    }

    fn broken(piece: &AuditLinks, head: Option<&Seal>) -> Vec<(BreakKind, Option<u64>)> {
        let breaks = check(WORKSPACE, 0, 100, piece, head);
        breaks.into_iter().map(|one| (one.kind, one.number)).collect()
    }

    #[test]
    fn the_form_of_a_link_does_not_change() {
        let first = Seal::after(None, WORKSPACE, &entry(1));
        assert_eq!(first.number, 1);
        // Made by another program from the description above.
        let made = "e1ffafb60f7c2ea7d53c485cedee542a5059754224b433715fe3ebd1b5357f3d";
        assert_eq!(first.hash.to_string(), made);
        assert_eq!(first.hash.to_string().parse(), Ok(first.hash));
        assert_eq!("zz".parse::<SealHash>(), Err(NoHash));
        let other = Seal::after(None, WorkspaceId(Uuid::from_u128(8)), &entry(1));
        assert_ne!(first.hash, other.hash, "a chain is its workspace's");
    }

    #[test]
    fn a_whole_chain_has_no_break_and_every_change_has_its_own() {
        let whole = chain(5);
        let head = whole.links[4].seal.clone();
        assert_eq!(broken(&whole, Some(&head)), []);
        assert_eq!(broken(&chain(0), None), []);

        let mut changed = whole.clone();
        changed.links[2].entry.as_mut().unwrap().subject.push('x');
        assert_eq!(broken(&changed, Some(&head)), [(BreakKind::Changed, Some(3))]);

        let mut removed = whole.clone();
        removed.links[2].entry = None;
        assert_eq!(broken(&removed, Some(&head)), [(BreakKind::Removed, Some(3))]);

        let mut added = whole.clone();
        added.entries.push(AuditId(Uuid::from_u128(25)));
        assert_eq!(broken(&added, Some(&head)), [(BreakKind::Added, None)]);

        let mut unsealed = whole.clone();
        unsealed.links.remove(2);
        unsealed.entries.remove(2);
        assert_eq!(broken(&unsealed, Some(&head)), [(BreakKind::SealRemoved, Some(3))]);

        let mut swapped = whole.clone();
        let (a, b) = (swapped.links[1].entry.clone(), swapped.links[2].entry.clone());
        (swapped.links[1].entry, swapped.links[2].entry) = (b, a);
        let kinds = broken(&swapped, Some(&head));
        assert_eq!(kinds, [(BreakKind::Changed, Some(2)), (BreakKind::Changed, Some(3))]);

        let mut cut = whole.clone();
        cut.links.truncate(3);
        cut.entries.truncate(3);
        assert_eq!(broken(&cut, Some(&head)), [(BreakKind::Cut, Some(5))]);
        assert_eq!(broken(&whole, None), [(BreakKind::Cut, Some(5))]);
    }
}
