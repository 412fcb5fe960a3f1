//! Rate limits: a file per technology, and those of the providers of models.

pub mod memory;
pub mod provider;
pub mod redis;
