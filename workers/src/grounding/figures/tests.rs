//! The check of figures as a whole.
