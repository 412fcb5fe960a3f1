//! A model that is loaded when it is first needed, and then shared.

use std::sync::{Arc, Mutex, PoisonError};

/// The place of a model. Clones share it.
#[derive(Debug)]
pub(super) struct Loaded<T>(Arc<Mutex<Option<Arc<T>>>>);

impl<T> Clone for Loaded<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T> Default for Loaded<T> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

impl<T> Loaded<T> {
    /// The model; loads it the first time. A failure is not kept: what it is loaded from
    /// may be mended.
    pub(super) fn or_load<E>(&self, load: impl FnOnce() -> Result<T, E>) -> Result<Arc<T>, E> {
        let mut loaded = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(model) = &*loaded {
            return Ok(Arc::clone(model));
        }
        let model = Arc::new(load()?);
        *loaded = Some(Arc::clone(&model));
        Ok(model)
    }
}
