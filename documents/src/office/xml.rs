//! How is a part of an office file read, event by event?

use quaestor_core::problem::Problem;
use quick_xml::Reader;
use quick_xml::escape::{resolve_predefined_entity, unescape};
use quick_xml::events::{BytesStart, Event};

use crate::charset;
use crate::refusal;

/// Elements nested deeper than this are an attack, not a document.
const MAX_DEPTH: usize = 10_000;

/// Something that happens while a part is read.
pub(crate) enum Node<'a> {
    /// An element begins.
    Start(&'a str, &'a BytesStart<'a>),
    /// An element ends; one that is empty begins and ends.
    End(&'a str),
    /// Text, entities decoded.
    Text(&'a str),
}

/// What a visit ended with.
pub(crate) enum Ended {
    /// The part was read to its end.
    Whole,
    /// The part broke off; what came before it was visited.
    Broken,
}

/// Visits a part from start to end. Only the five predefined entities and numbers are
/// decoded: entities that a file declares itself are dropped, so none expands.
///
/// # Errors
/// What the visitor says.
pub(crate) fn visit(
    bytes: &[u8],
    mut visitor: impl FnMut(Node<'_>) -> Result<(), Problem>,
) -> Result<Ended, Problem> {
    let text = charset::decode(bytes, charset::declared(bytes).as_deref());
    let mut reader = Reader::from_str(&text);
    reader.config_mut().check_end_names = false;
    reader.config_mut().allow_unmatched_ends = true;
    let mut depth = 0_usize;
    loop {
        match reader.read_event() {
            Ok(Event::Start(start)) => {
                depth += 1;
                if depth > MAX_DEPTH {
                    return Err(refusal::limit_reached("the file's parts are nested too deeply"));
                }
                visitor(Node::Start(start.local_name().as_ref(), &start))?;
            }
            Ok(Event::Empty(start)) => {
                visitor(Node::Start(start.local_name().as_ref(), &start))?;
                visitor(Node::End(start.local_name().as_ref()))?;
            }
            Ok(Event::End(end)) => {
                depth = depth.saturating_sub(1);
                visitor(Node::End(end.local_name().as_ref()))?;
            }
            Ok(Event::Text(text)) => visitor(Node::Text(&text))?,
            Ok(Event::CData(text)) => visitor(Node::Text(&text))?,
            Ok(Event::GeneralRef(entity)) => {
                if let Ok(Some(c)) = entity.resolve_char_ref() {
                    visitor(Node::Text(c.encode_utf8(&mut [0; 4])))?;
                } else if let Some(text) = resolve_predefined_entity(&entity) {
                    visitor(Node::Text(text))?;
                }
            }
            Ok(Event::Comment(_) | Event::Decl(_) | Event::PI(_) | Event::DocType(_)) => {}
            Ok(Event::Eof) => return Ok(Ended::Whole),
            Err(_) => return Ok(Ended::Broken),
        }
    }
}

/// An attribute by its name without prefix.
pub(crate) fn attribute(start: &BytesStart<'_>, name: &str) -> Option<String> {
    // Checks for duplicates are off: they take quadratic time.
    start
        .attributes()
        .with_checks(false)
        .flatten()
        .find(|attribute| attribute.key.local_name().as_ref() == name)
        .map(|attribute| match unescape(&attribute.value) {
            Ok(value) => value.into_owned(),
            Err(_) => attribute.value.into_owned(),
        })
}
