//! The server goes away and comes back: the store says so, and recovers by itself.
