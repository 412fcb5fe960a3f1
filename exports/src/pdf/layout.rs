//! Lays a document out as often as its page numbers need it, and keeps one layout at a time.
//!
//! Typst lays a document out until nothing that it asks of itself (on which page of how many a
//! footer stands) changes any more: twice, for most templates. It keeps every layout until the
//! last, and all parts of them for the next compilation, although only the page numbers of the
//! one before are looked at and no other compilation follows that has anything in common.

use std::cell::RefCell;
use std::fmt;
use std::sync::Arc;

use typst::World;
use typst::comemo;
use typst::diag::{SourceDiagnostic, SourceResult};
use typst::ecow::EcoVec;
use typst::engine::Engine;
use typst::foundations::{Content, Output, StyleChain, Target};
use typst::introspection::{Introspector, Locator};
use typst_layout::{PagedDocument, PagedIntrospector, layout_document_for_bundle};

/// What [`Output::create`] is to know and leave behind. It has no place of its own for either,
/// and what it returns lives too long.
#[derive(Default)]
struct Now {
    part: u64,
    last: Option<PagedDocument>,
}

thread_local! {
    static NOW: RefCell<Now> = RefCell::default();
}

/// Lays `world`'s document out. It is the `part`th of a document that is put together: no
/// element of a part has the identity of one in another.
///
/// # Errors
///
/// What is wrong with the template or the data.
pub(super) fn lay_out(
    world: &dyn World,
    part: u64,
) -> Result<PagedDocument, EcoVec<SourceDiagnostic>> {
    NOW.set(Now { part, last: None });
    let compiled = typst::compile::<Layout>(world).output;
    let document = NOW.take().last;
    comemo::evict(0);
    compiled?;
    // There is one: a compilation without errors has made a layout.
    document.ok_or_else(EcoVec::new)
}

/// What Typst looks at of a layout once it is made.
struct Layout {
    introspector: Arc<PagedIntrospector>,
}

impl fmt::Debug for Layout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Layout").finish_non_exhaustive()
    }
}

impl Output for Layout {
    fn target() -> Target {
        Target::Paged
    }

    fn create(
        engine: &mut Engine<'_>,
        content: &Content,
        styles: StyleChain<'_>,
    ) -> SourceResult<Self> {
        let part = NOW.with_borrow_mut(|now| {
            now.last = None;
            now.part
        });
        comemo::evict(0);
        let locator = Locator::root().split().next(&part);
        let document = layout_document_for_bundle(engine, content, locator, styles)?;
        let introspector = Arc::clone(document.introspector());
        NOW.with_borrow_mut(|now| now.last = Some(document));
        Ok(Self { introspector })
    }

    fn introspector(&self) -> &dyn Introspector {
        self.introspector.as_ref()
    }
}
