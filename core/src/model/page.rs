//! Lists in pages: a bounded number of items and a cursor to the next ones.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// The most items that one page holds.
pub const MAX_PAGE: u32 = 200;
/// How many a page holds where nothing was said.
pub const DEFAULT_PAGE: u32 = 50;

/// Where the next page begins: after this id, in the list's order. Ids are UUIDv7, so
/// their order is the order of making.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Cursor(pub Uuid);

/// Which part of a list is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PageRequest {
    /// At most this many items, 1 to [`MAX_PAGE`].
    pub limit: u32,
    /// After this item; from the start where none is given.
    pub after: Option<Cursor>,
}

impl Default for PageRequest {
    fn default() -> Self {
        Self { limit: DEFAULT_PAGE, after: None }
    }
}

/// A part of a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Page<T> {
    /// The items.
    pub items: Vec<T>,
    /// Give this as the cursor for the next part; null at the end.
    pub next: Option<Cursor>,
}

impl<T> Page<T> {
    /// A page from one item more than was asked for: the surplus item only says that
    /// there is a next page.
    pub fn from_surplus(mut items: Vec<T>, limit: u32, id: impl Fn(&T) -> Uuid) -> Self {
        let limit = limit as usize;
        let next = (items.len() > limit).then(|| {
            items.truncate(limit);
            items.last().map(|item| Cursor(id(item)))
        });
        Self { items, next: next.flatten() }
    }
}
