//! What thinks: a folder per provider of answers or vectors, and what stands before them.

pub mod anthropic;
pub mod azure;
pub mod limits;
pub mod minilm;
pub mod offline;
pub mod openai;
mod pool;
pub mod prices;
pub mod provider;
pub mod resilience;
mod wire;
