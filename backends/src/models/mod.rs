//! What thinks: a file per provider of answers or vectors.

pub mod minilm;
mod pool;
