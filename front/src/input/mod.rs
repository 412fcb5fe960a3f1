//! What comes in: bodies, parameters and ids, read strictly and with names for errors.

mod body;
mod fields;
mod json;
mod params;
mod path;

pub(crate) use body::{json_body, told_traceparent, traceparent};
pub(crate) use fields::{Fields, parse_id};
pub(crate) use json::parse as parse_json;
pub(crate) use params::Params;
pub(crate) use path::PathId;
