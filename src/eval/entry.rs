//! How is an entry of a corpus read, so that it can be stored as a page of a document?

use quaestor_core::parsed::ParsedPage;
use quaestor_core::problem::Problem;
use quaestor_documents::{Kind, Limits, Sink, Source, parse};

/// What a document is called: as its title says. One without a title gets a name that is
/// no word, since a collection knows its documents by their names.
pub(super) fn file_name(title: Option<&str>, place: usize) -> String {
    let mut letters = String::from("zq");
    let mut rest = place;
    loop {
        letters.push(char::from(b'a' + u8::try_from(rest % 26).unwrap_or(0)));
        rest /= 26;
        if rest == 0 {
            break;
        }
    }
    match title {
        Some(title) => format!("{title} {letters}"),
        None => letters,
    }
}

/// An entry as the product would read it from a file: as Markdown where it draws tables
/// with pipes, else as plain text. Always one page.
pub(super) fn page(text: &str, ordinal: u32) -> Result<ParsedPage, Problem> {
    #[derive(Default)]
    struct Pages(Vec<ParsedPage>);

    impl Sink for Pages {
        fn title(&mut self, _title: &str) -> Result<(), Problem> {
            Ok(())
        }

        fn page(&mut self, page: ParsedPage) -> Result<(), Problem> {
            self.0.push(page);
            Ok(())
        }

        fn warn(&mut self, _warning: String) {}
    }

    let has_pipes = text.lines().any(|line| line.trim_start().starts_with('|'));
    let kind = if has_pipes { Kind::Markdown } else { Kind::Text };
    // A form feed begins a page, and an entry is one.
    let text = text.replace('\u{c}', "\n");
    let mut pages = Pages::default();
    let source = Source { name: "entry", bytes: text.as_bytes().into() };
    parse(source, kind, &Limits::default(), &mut pages)?;
    let read = pages.0.into_iter().next();
    let mut page = read.ok_or_else(|| {
        Problem::new("damaged", "An entry gave no page", "the text of an entry gave no page")
    })?;
    page.ordinal = ordinal;
    page.number = Some(ordinal + 1);
    Ok(page)
}

#[cfg(test)]
mod tests {
    use quaestor_documents::chunk::Chunker;

    use super::*;

    #[test]
    fn names_are_told_apart_and_are_no_words() {
        assert_eq!(file_name(None, 0), "zqa");
        assert_eq!(file_name(Some("2022 Q3 AAPL"), 27), "2022 Q3 AAPL zqbb");
    }

    #[test]
    fn an_entry_is_one_page_whatever_it_holds() {
        let table = page("|  | 2019 | 2018 |\n| Sales | 4 | 3 |", 4).unwrap();
        assert_eq!((table.ordinal, table.number), (4, Some(5)));
        let chunks = Chunker::new().page(&table);
        assert!(chunks[0].is_table && chunks[0].header.contains("2019"), "{chunks:?}");
        assert!(page("one\u{c}two", 0).unwrap().text.contains("two"));
        assert_eq!(page("", 0).unwrap().text, "");
    }
}
