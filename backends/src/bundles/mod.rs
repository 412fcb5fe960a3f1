//! Where backups are kept, and what seals them.

pub mod age;
pub mod bucket;
pub mod folder;
