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

/// Whether a generation is being built or in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GenerationState {
    /// Vectors are still being made; not searched.
    Building,
    /// The one that is searched.
    Current,
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
