//! The embedding models of an installation, by their names.
//!
//! One is the first: new collections get its vectors. Others stand ready for collections
//! that hold vectors of theirs, and to reindex a collection with.

use std::sync::Arc;

use crate::model::Generation;
use crate::ports::embedder::Embedder;

/// The embedding models that this process can ask. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Embedders(Arc<[Arc<dyn Embedder>]>);

impl Embedders {
    /// These models, of which the first makes the vectors of new collections. Of two with one
    /// name and one length the first counts.
    #[must_use]
    pub fn new(models: Vec<Arc<dyn Embedder>>) -> Self {
        Self(models.into())
    }

    /// The model of new collections; none where search is by words alone.
    #[must_use]
    pub fn first(&self) -> Option<&Arc<dyn Embedder>> {
        self.0.first()
    }

    /// All of them, the first first.
    pub fn all(&self) -> impl Iterator<Item = &Arc<dyn Embedder>> {
        self.0.iter()
    }

    /// The model of this name.
    #[must_use]
    pub fn named(&self, model: &str) -> Option<&Arc<dyn Embedder>> {
        self.0.iter().find(|embedder| embedder.model() == model)
    }

    /// The model that a generation's vectors are of. A model whose vectors have another length
    /// by now is another one.
    #[must_use]
    pub fn of(&self, generation: &Generation) -> Option<&Arc<dyn Embedder>> {
        self.0.iter().find(|embedder| {
            embedder.model() == generation.model && embedder.dimensions() == generation.dimensions
        })
    }

    /// Their names, parted by commas; `none` where there are none.
    #[must_use]
    pub fn names(&self) -> String {
        let names: Vec<&str> = self.0.iter().map(|embedder| embedder.model()).collect();
        if names.is_empty() { "none".to_owned() } else { names.join(", ") }
    }
}

impl From<Option<Arc<dyn Embedder>>> for Embedders {
    fn from(only: Option<Arc<dyn Embedder>>) -> Self {
        Self::new(only.into_iter().collect())
    }
}
