//! What thinks: a file per provider of answers or vectors.

pub mod minilm;
pub mod offline;
pub mod openai;
mod pool;
pub mod provider;
pub mod resilience;
