//! How does a mail become pages: its text first, then its attachments?

use mail_parser::{Address, MessageParser, MimeHeaders, PartType};
use quaestor_core::parsed::ParsedPage;
use quaestor_core::problem::Problem;

use crate::html;
use crate::inline::clean;
use crate::limits::Limits;
use crate::paper::Paper;
use crate::parse::{Source, parse_nested};
use crate::refusal;
use crate::sink::Sink;
use crate::text::write_plain;

/// Reads a mail. Attachments of a known type are read too, down to the limit on nesting;
/// the others are named.
pub(crate) fn parse(
    bytes: &[u8],
    limits: &Limits,
    depth: u32,
    sink: &mut dyn Sink,
) -> Result<(), Problem> {
    let message = MessageParser::default()
        .parse(bytes)
        .ok_or_else(|| refusal::damaged("the mail has no headers that can be read"))?;
    let mut paper = Paper::new(limits.text_bytes);
    let subject = message.subject().map(clean).filter(|subject| !subject.is_empty());
    if let Some(subject) = &subject {
        sink.title(subject)?;
        paper.heading(1, subject);
    }
    let mut lines = Vec::new();
    for (name, address) in [("From", message.from()), ("To", message.to()), ("Cc", message.cc())] {
        if let Some(text) = address.map(addresses).filter(|text| !text.is_empty()) {
            lines.push(format!("{name}: {text}"));
        }
    }
    if let Some(date) = message.date() {
        lines.push(format!("Date: {}", date.to_rfc3339()));
    }
    let names: Vec<String> = message
        .attachments()
        .filter_map(|part| part.attachment_name().map(clean))
        .filter(|name| !name.is_empty())
        .collect();
    if !names.is_empty() {
        lines.push(format!("Attachments: {}", names.join(", ")));
    }
    paper.paragraph(&lines.join("\n"));
    // Where both exist, the page has the tables that the plain text lost.
    let has_html = message.html_bodies().any(|part| matches!(part.body, PartType::Html(_)));
    if has_html {
        for part in message.html_bodies() {
            match &part.body {
                PartType::Html(text) => html::read(text).write(&mut paper),
                PartType::Text(text) => write_plain(&mut paper, text),
                _ => {}
            }
        }
    } else {
        for part in message.text_bodies() {
            if let PartType::Text(text) = &part.body {
                write_plain(&mut paper, text);
            }
        }
    }
    sink.page(paper.finish(None, None)?)?;
    for (index, part) in message.attachments().enumerate() {
        let name = part
            .attachment_name()
            .map(clean)
            .unwrap_or_else(|| format!("attachment {}", index + 1));
        let contents = match &part.body {
            PartType::Message(inner) => inner.raw_message(),
            _ => part.contents(),
        };
        if depth >= limits.nesting {
            sink.warn(format!("{name} is nested too deeply and was not read"));
            continue;
        }
        let mut inner = Attached { name: &name, sink };
        if let Err(problem) = parse_nested(
            Source { name: &name, bytes: contents.into() },
            limits,
            depth + 1,
            &mut inner,
        ) {
            // One limit for the mail and all in it: what would pass it fails the mail.
            if problem.code == refusal::LIMIT_REACHED {
                return Err(problem);
            }
            sink.warn(format!("{name} was not read: {}", problem.title));
        }
    }
    Ok(())
}

/// Passes an attachment's pages on, each labelled with the attachment's name.
struct Attached<'a> {
    name: &'a str,
    sink: &'a mut dyn Sink,
}

impl Sink for Attached<'_> {
    fn title(&mut self, _title: &str) -> Result<(), Problem> {
        Ok(())
    }

    fn page(&mut self, mut page: ParsedPage) -> Result<(), Problem> {
        page.label = Some(match page.label {
            Some(label) => format!("{} > {label}", self.name),
            None => self.name.to_owned(),
        });
        // Numbers count the pages of the mail, which has none.
        page.number = None;
        self.sink.page(page)
    }

    fn warn(&mut self, warning: String) {
        self.sink.warn(format!("{}: {warning}", self.name));
    }
}

fn addresses(address: &Address<'_>) -> String {
    let all: Vec<String> = address
        .iter()
        .take(50)
        .map(|one| match (one.name(), one.address()) {
            (Some(name), Some(address)) => format!("{} <{address}>", clean(name)),
            (name, address) => clean(name.or(address).unwrap_or("")),
        })
        .collect();
    all.join(", ")
}
