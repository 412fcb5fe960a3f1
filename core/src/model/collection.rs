//! Collections and their index generations.

use serde::{Deserialize, Serialize};

use crate::clock::Time;
use crate::ids::{CollectionId, GenerationId};

/// A named set of documents that share an index.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Collection {
    /// Its id.
    pub id: CollectionId,
    /// Its name, for people.
    pub name: String,
    /// The model that made its current vectors; null where it is searched by words alone.
    pub embedding_model: Option<String>,
    /// How many documents it holds.
    pub documents: u64,
    /// When it was made.
    pub created_at: Time,
}

/// Whether a generation is being built, in use, or no longer in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GenerationState {
    /// Vectors are still being made; not searched.
    Building,
    /// The one that is searched.
    Current,
    /// The one that was searched before, kept to go back to.
    Former,
    /// No longer wanted: its vectors are being removed.
    Dropped,
}

impl GenerationState {
    /// The name in rows and JSON.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Building => "building",
            Self::Current => "current",
            Self::Former => "former",
            Self::Dropped => "dropped",
        }
    }
}

impl std::str::FromStr for GenerationState {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        [Self::Building, Self::Current, Self::Former, Self::Dropped]
            .into_iter()
            .find(|state| state.as_str() == name)
            .ok_or_else(|| format!("no state of a generation is named {name:?}"))
    }
}

/// The sizes that passages are cut by. They follow the structure of a page all the same: a
/// paragraph or a row is only cut where it is longer than a passage may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Chunking {
    /// The size that passages aim at, in characters.
    pub target_chars: u32,
    /// No passage is longer, in characters.
    pub max_chars: u32,
}

impl Chunking {
    /// The sizes that may be aimed at: a sentence, and what the longest models read.
    pub const TARGETS: std::ops::RangeInclusive<u32> = 200..=8_000;
    /// No passage may be longer than this.
    pub const MOST_CHARS: u32 = 12_000;

    /// Passages that aim at this size, and may be half as long again.
    #[must_use]
    pub fn aiming_at(target_chars: u32) -> Self {
        Self { target_chars, max_chars: target_chars.saturating_add(target_chars / 2) }
    }

    /// The size that is aimed at.
    #[must_use]
    pub fn target(self) -> usize {
        self.target_chars as usize
    }

    /// The longest that there is.
    #[must_use]
    pub fn max(self) -> usize {
        self.max_chars as usize
    }

    /// A passage shorter than this goes on into the next section.
    #[must_use]
    pub fn small(self) -> usize {
        self.target() * 3 / 10
    }

    /// Lines before a table that are shorter than this stand in the table's first passage.
    #[must_use]
    pub fn lead(self) -> usize {
        self.target() / 4
    }
}

impl Default for Chunking {
    /// What an embedding model of 256 tokens still reads, and enough for a paragraph or
    /// fifteen rows.
    fn default() -> Self {
        Self::aiming_at(1_000)
    }
}

/// All vectors of a collection made by one embedding model.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Generation {
    /// Its id.
    pub id: GenerationId,
    /// The collection.
    pub collection_id: CollectionId,
    /// The model's name.
    pub model: String,
    /// The length of its vectors.
    pub dimensions: u32,
    /// Whether it is searched.
    pub state: GenerationState,
    /// When it was begun.
    pub created_at: Time,
}
