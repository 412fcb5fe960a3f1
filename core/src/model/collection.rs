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
