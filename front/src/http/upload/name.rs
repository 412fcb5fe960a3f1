//! The name of an uploaded file: for people alone. It never becomes a path.

/// What file systems hold at most.
const MAX_BYTES: usize = 255;

/// The last part of a name, without what would mislead a reader or a terminal. None
/// where nothing is left.
pub(super) fn display_name(sent: &str) -> Option<String> {
    let last = sent.rsplit(['/', '\\']).next().unwrap_or(sent);
    let clean: String = last.chars().filter(|c| !misleads(*c)).collect();
    let clean = clean.trim();
    if clean.is_empty() || clean == "." || clean == ".." {
        return None;
    }
    Some(bounded(clean))
}

/// Control characters, and those that turn or hide the text around them: with them
/// `invoice\u{202e}fdp.exe` reads as `invoiceexe.pdf`.
fn misleads(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{00ad}' | '\u{061c}' | '\u{180e}' | '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}'
            | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// Cuts a long name in its middle, so that the ending stays.
fn bounded(name: &str) -> String {
    /// Longer endings are no file types.
    const MAX_ENDING: usize = 16;
    if name.len() <= MAX_BYTES {
        return name.to_owned();
    }
    let ending =
        name.rfind('.').map_or("", |dot| &name[dot..]).chars().take(MAX_ENDING).collect::<String>();
    let mut cut = MAX_BYTES - ending.len().min(MAX_BYTES);
    while !name.is_char_boundary(cut) {
        cut -= 1;
    }
    format!("{}{ending}", &name[..cut])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_its_last_part_and_misleads_nobody() {
        for (sent, shown) in [
            ("report.pdf", Some("report.pdf")),
            ("../../etc/passwd", Some("passwd")),
            ("C:\\Users\\x\\q3.xlsx", Some("q3.xlsx")),
            ("/absolute/name.md", Some("name.md")),
            ("a\0b\r\nc.txt", Some("abc.txt")),
            ("invoice\u{202e}fdp.exe", Some("invoicefdp.exe")),
            ("%2e%2e%2fx.pdf", Some("%2e%2e%2fx.pdf")),
            ("Übersicht 2025.pdf", Some("Übersicht 2025.pdf")),
            ("con", Some("con")),
            ("..", None),
            ("a/", None),
            ("", None),
            (" \u{200b} ", None),
        ] {
            assert_eq!(display_name(sent).as_deref(), shown, "{sent:?}");
        }
    }

    #[test]
    fn a_long_name_keeps_its_ending() {
        let name = display_name(&format!("{}.pdf", "ü".repeat(4_000))).unwrap();
        assert!(name.len() <= MAX_BYTES);
        assert!(name.ends_with("ü.pdf"));
        let dots = display_name(&format!("a.{}", "b".repeat(4_000))).unwrap();
        assert!(dots.len() <= MAX_BYTES);
    }
}
