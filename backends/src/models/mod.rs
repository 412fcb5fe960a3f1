//! What thinks: a folder per provider of answers, vectors or orders, and what stands before
//! them.

pub mod anthropic;
pub mod azure;
pub mod cohere;
pub mod cross_encoder;
pub mod in_time;
pub mod limits;
mod loaded;
pub mod minilm;
pub mod offline;
pub mod openai;
mod pool;
pub mod prices;
pub mod provider;
pub mod resilience;
mod wire;
