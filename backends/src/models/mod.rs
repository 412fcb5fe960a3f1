//! What thinks: a file per provider of answers or vectors.

pub mod minilm;
pub mod openai;
mod pool;
