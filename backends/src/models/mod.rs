//! What thinks: a file per provider of answers or vectors.

pub mod chain;
pub mod minilm;
pub mod offline;
pub mod openai;
mod pool;
