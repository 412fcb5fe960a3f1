//! How does a PDF's reader fit behind the other parsers?

use quaestor_core::problem::Problem;

use crate::limits::Limits;
use crate::refusal;
use crate::sink::Sink;

/// Reads a PDF page by page.
pub(crate) fn parse(_bytes: &[u8], _limits: &Limits, _sink: &mut dyn Sink) -> Result<(), Problem> {
    Err(refusal::unsupported("this build reads no PDF"))
}
