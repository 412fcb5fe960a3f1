//! What kind of file is this, judged by its content?

use quaestor_core::problem::Problem;

use crate::archive::Archive;
use crate::charset;
use crate::delimited;
use crate::limits::Limits;
use crate::refusal;

/// How much of a text is looked at.
const LOOK_BYTES: usize = 64 * 1024;

/// The kinds of file that can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Portable Document Format.
    Pdf,
    /// Word, since 2007.
    Docx,
    /// PowerPoint, since 2007.
    Pptx,
    /// OpenDocument text.
    Odt,
    /// A workbook of cells.
    Workbook(Workbook),
    /// Comma, semicolon or tab separated values.
    Csv,
    /// HTML, with or without inline XBRL.
    Html,
    /// Markdown.
    Markdown,
    /// Plain text.
    Text,
    /// A mail with its attachments.
    Mail,
}

/// The kinds of workbook.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Workbook {
    /// Excel, since 2007.
    Xlsx,
    /// Excel's binary form, since 2007.
    Xlsb,
    /// Excel, before 2007.
    Xls,
    /// OpenDocument spreadsheet.
    Ods,
}

impl Kind {
    /// The media type, as stored and shown.
    #[must_use]
    pub fn media_type(self) -> &'static str {
        match self {
            Self::Pdf => "application/pdf",
            Self::Docx => "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
            Self::Pptx => {
                "application/vnd.openxmlformats-officedocument.presentationml.presentation"
            }
            Self::Odt => "application/vnd.oasis.opendocument.text",
            Self::Workbook(Workbook::Xlsx) => {
                "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
            }
            Self::Workbook(Workbook::Xlsb) => {
                "application/vnd.ms-excel.sheet.binary.macroEnabled.12"
            }
            Self::Workbook(Workbook::Xls) => "application/vnd.ms-excel",
            Self::Workbook(Workbook::Ods) => "application/vnd.oasis.opendocument.spreadsheet",
            Self::Csv => "text/csv",
            Self::Html => "text/html",
            Self::Markdown => "text/markdown",
            Self::Text => "text/plain",
            Self::Mail => "message/rfc822",
        }
    }
}

/// The kind of a file. The name only decides between kinds of text.
///
/// # Errors
/// `empty_file`, `encrypted`, `unsupported_type`, and for archives what
/// speaks against opening them.
pub fn detect(name: &str, bytes: &[u8], limits: &Limits) -> Result<Kind, Problem> {
    if bytes.iter().all(u8::is_ascii_whitespace) {
        return Err(refusal::empty_file());
    }
    let start = &bytes[..bytes.len().min(LOOK_BYTES)];
    if start[..start.len().min(1_024)].windows(5).any(|window| window == b"%PDF-") {
        return Ok(Kind::Pdf);
    }
    if start.starts_with(b"PK\x03\x04") || start.starts_with(b"PK\x05\x06") {
        return archive_kind(bytes, limits);
    }
    if start.starts_with(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1") {
        return compound_kind(bytes);
    }
    if start.starts_with(b"{\\rtf") {
        return Err(refusal::unsupported("the file is RTF; save it as DOCX"));
    }
    let decoded = charset::decode(start, charset::declared(start).as_deref());
    if is_binary(&decoded) {
        return Err(match infer::get(start) {
            Some(kind) => refusal::unsupported(&format!("the file is {}", kind.mime_type())),
            None => refusal::unsupported("the file is binary data of an unknown type"),
        });
    }
    text_kind(name, &decoded)
}

fn archive_kind(bytes: &[u8], limits: &Limits) -> Result<Kind, Problem> {
    let mut archive = Archive::open(bytes, limits)?;
    let names: Vec<String> =
        archive.names().iter().map(|name| name.to_lowercase().replace('\\', "/")).collect();
    let has = |start: &str| names.iter().any(|name| name.starts_with(start));
    if has("xl/workbook.bin") {
        return Ok(Kind::Workbook(Workbook::Xlsb));
    }
    for (start, kind) in
        [("word/", Kind::Docx), ("xl/", Kind::Workbook(Workbook::Xlsx)), ("ppt/", Kind::Pptx)]
    {
        if has(start) {
            return Ok(kind);
        }
    }
    let mime = match archive.part("mimetype")? {
        Some(bytes) => String::from_utf8_lossy(&bytes[..bytes.len().min(200)]).trim().to_owned(),
        None => String::new(),
    };
    let mime = mime.strip_prefix("application/vnd.oasis.opendocument.").unwrap_or("");
    match mime {
        "text" | "text-template" | "text-master" => Ok(Kind::Odt),
        "spreadsheet" | "spreadsheet-template" => Ok(Kind::Workbook(Workbook::Ods)),
        "presentation" => Err(refusal::unsupported(
            "the file is an OpenDocument presentation; save it as PPTX or PDF",
        )),
        _ if has("content.xml") => Ok(Kind::Odt),
        _ => Err(refusal::unsupported(
            "the file is a ZIP archive; unpack it and upload the files in it",
        )),
    }
}

/// The kind of an OLE compound file, by the names of its streams.
fn compound_kind(bytes: &[u8]) -> Result<Kind, Problem> {
    let names = stream_names(bytes);
    let has = |name: &str| names.iter().any(|other| other.eq_ignore_ascii_case(name));
    if has("EncryptedPackage") || has("EncryptionInfo") {
        return Err(refusal::encrypted());
    }
    if has("Workbook") || has("Book") {
        return Ok(Kind::Workbook(Workbook::Xls));
    }
    if has("WordDocument") {
        return Err(refusal::unsupported(
            "the file is a Word document from before 2007 (DOC); save it as DOCX or PDF",
        ));
    }
    if names.iter().any(|name| {
        name.starts_with("PowerPoint Document") || name == "PP40" || name == "PP97_DUALSTORAGE"
    }) {
        return Err(refusal::unsupported(
            "the file is a PowerPoint presentation from before 2007 (PPT); save it as PPTX or PDF",
        ));
    }
    if names.iter().any(|name| name.starts_with("__substg1.0")) {
        return Err(refusal::unsupported("the file is an Outlook message (MSG); save it as EML"));
    }
    if names.is_empty() {
        return Err(refusal::damaged("the file's directory cannot be read"));
    }
    Err(refusal::unsupported("the file is an OLE compound file of another program"))
}

/// The names of the streams: directory entries are 128 bytes long and aligned, whatever
/// the rest of the file looks like.
fn stream_names(bytes: &[u8]) -> Vec<String> {
    bytes
        .chunks_exact(128)
        .skip(4)
        .filter_map(|entry| {
            let n = usize::from(u16::from_le_bytes([entry[64], entry[65]]));
            let is_entry = (4..=64).contains(&n) && n % 2 == 0 && matches!(entry[66], 1 | 2 | 5);
            if !is_entry || entry[n - 2..n] != [0, 0] {
                return None;
            }
            let units: Vec<u16> = entry[..n - 2]
                .chunks_exact(2)
                .map(|pair| u16::from_le_bytes([pair[0], pair[1]]))
                .collect();
            String::from_utf16(&units).ok()
        })
        .take(10_000)
        .collect()
}

/// Text has next to no control characters and few bytes that decode to nothing.
fn is_binary(text: &str) -> bool {
    let (mut n, mut odd) = (0_usize, 0_usize);
    for c in text.chars().take(16_384) {
        n += 1;
        let control = c.is_control() && !c.is_whitespace() && c != '\u{1a}';
        odd += usize::from(control || c == '\u{fffd}');
    }
    // A single stray byte in a short text is no reason to refuse it.
    odd > 2 + n / 50
}

fn text_kind(name: &str, text: &str) -> Result<Kind, Problem> {
    let extension = name.rsplit_once('.').map_or("", |(_, extension)| extension);
    let extension = extension.to_ascii_lowercase();
    let text = text.trim_start_matches('\u{feff}').trim_start();
    let head: String = text.chars().take(8_192).collect::<String>().to_ascii_lowercase();
    if is_mail(text) {
        return Ok(Kind::Mail);
    }
    if head.starts_with("<?xml") || head.starts_with('<') {
        if head.contains("urn:schemas-microsoft-com:office:spreadsheet") {
            return Err(refusal::unsupported(
                "the file is an Excel 2003 XML workbook; save it as XLSX",
            ));
        }
        if head.contains("schemas.microsoft.com/office/word/2003") {
            return Err(refusal::unsupported(
                "the file is a Word 2003 XML document; save it as DOCX",
            ));
        }
    }
    if is_html(&head) {
        return Ok(
            if matches!(extension.as_str(), "md" | "markdown")
                && !head.starts_with("<!doctype")
                && !head.starts_with("<html")
            {
                Kind::Markdown
            } else {
                Kind::Html
            },
        );
    }
    match extension.as_str() {
        "md" | "markdown" => return Ok(Kind::Markdown),
        "csv" | "tsv" => return Ok(Kind::Csv),
        "xml" | "xhtml" if head.starts_with('<') => return Ok(Kind::Html),
        _ => {}
    }
    if markdown_signs(text) >= 2 {
        return Ok(Kind::Markdown);
    }
    if !matches!(extension.as_str(), "txt" | "text" | "log" | "json")
        && text.lines().take(50).filter(|line| !line.trim().is_empty()).count() >= 3
        && delimited::sniff(&text.lines().take(50).collect::<Vec<_>>().join("\n")).is_some()
        && !text.lines().take(50).any(|line| line.ends_with('.') && line.contains(", "))
    {
        return Ok(Kind::Csv);
    }
    Ok(Kind::Text)
}

fn is_html(head: &str) -> bool {
    if [
        "<!doctype html",
        "<html",
        "<sec-document",
        "<document>",
        "<body",
        "<table",
        "<div",
        "<head",
    ]
    .iter()
    .any(|start| head.starts_with(start))
    {
        return true;
    }
    let marks = [
        "<html", "<body", "<p>", "<p ", "<div", "<table", "<br", "<td", "</p>", "<title>", "<font",
    ];
    marks.iter().filter(|mark| head.contains(*mark)).count() >= 3
}

/// Headers of a mail begin the file.
fn is_mail(text: &str) -> bool {
    const NAMES: [&str; 14] = [
        "from",
        "to",
        "subject",
        "date",
        "received",
        "return-path",
        "message-id",
        "mime-version",
        "delivered-to",
        "x-sender",
        "reply-to",
        "content-type",
        "x-mailer",
        "dkim-signature",
    ];
    let mut found = 0;
    for line in text.lines().take(100) {
        if line.is_empty() {
            break;
        }
        if line.starts_with([' ', '\t']) || line.starts_with("From ") {
            continue;
        }
        let Some((name, _)) = line.split_once(':') else { break };
        if !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-') {
            break;
        }
        found += usize::from(NAMES.contains(&name.to_ascii_lowercase().as_str()));
    }
    found >= 3
}

fn markdown_signs(text: &str) -> usize {
    let line = |test: fn(&str) -> bool| text.lines().take(400).any(test);
    [
        line(|line| line.starts_with("# ") || line.starts_with("## ") || line.starts_with("### ")),
        line(|line| line.starts_with("```")),
        line(|line| line.starts_with('|') && line.contains("---")),
        line(|line| line.contains("](http") || line.contains("](#")),
        line(|line| line.matches("**").count() >= 2),
    ]
    .into_iter()
    .filter(|&found| found)
    .count()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(name: &str, bytes: &[u8]) -> Result<Kind, String> {
        detect(name, bytes, &Limits::default()).map_err(|problem| problem.code)
    }

    #[test]
    fn the_content_decides_and_the_name_only_breaks_ties() {
        assert_eq!(kind("a.docx", b"%PDF-1.7\n"), Ok(Kind::Pdf));
        assert_eq!(kind("a.txt", b"<!DOCTYPE html><p>x"), Ok(Kind::Html));
        assert_eq!(kind("x", b"From: a@b.c\r\nTo: d@e.f\r\nSubject: s\r\n\r\nHi"), Ok(Kind::Mail));
        assert_eq!(kind("x", b"a;b;c\n1;2;3\n4;5;6\n"), Ok(Kind::Csv));
        assert_eq!(kind("x", b"# Title\n\nSee [here](http://x)\n"), Ok(Kind::Markdown));
        assert_eq!(kind("x", b"Just a sentence, and another.\n"), Ok(Kind::Text));
        assert_eq!(kind("a.pdf", b""), Err("empty_file".to_owned()));
        assert_eq!(
            kind("a.pdf", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x01\0\0\0\x01\x08\x06\0"),
            Err("unsupported_type".to_owned())
        );
    }
}
