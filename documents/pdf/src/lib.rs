//! PDF pages as text with structure and word boxes.
