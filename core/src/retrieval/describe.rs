//! What is a document called, and of which day does it speak?
//!
//! A filing's file name and metadata seldom name the company that a question names. Its
//! cover does: "(Exact name of registrant as specified in its charter)".

use chrono::NaiveDate;

use super::period::Periods;

/// What a document's opening says of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Description {
    /// What to call it: `Apple Inc. (AAPL) 10-Q, period ended 2022-06-25`, or the title
    /// that the file gives.
    pub title: Option<String>,
    /// The end of its period, or the day of its report.
    pub date: Option<NaiveDate>,
}

/// How much of a document's beginning is worth reading here, in characters.
pub const OPENING_CHARS: usize = 12_000;

/// Describes a document by the title that its file gives and the beginning of its text.
#[must_use]
pub fn describe(title: Option<&str>, opening: &str) -> Description {
    let end = opening.char_indices().nth(OPENING_CHARS).map_or(opening.len(), |(at, _)| at);
    let opening = &opening[..end];
    let date = report_date(opening);
    let given = title.map(str::trim).filter(|title| !title.is_empty());
    let Some(name) = registrant(opening) else {
        return Description { title: given.map(str::to_owned), date };
    };
    let mut called = name.to_owned();
    if let Some(ticker) = ticker(opening) {
        called.push_str(&format!(" ({ticker})"));
    }
    if let Some(form) = form(opening) {
        called.push_str(&format!(" {form}"));
    }
    if let Some(date) = date {
        called.push_str(&format!(", period ended {date}"));
    }
    Description { title: Some(called), date }
}

/// Finds words regardless of case and of the spaces between them; the places before and
/// after them.
fn find_words(text: &str, words: &str) -> Option<(usize, usize)> {
    let words: Vec<&str> = words.split(' ').collect();
    let bytes = text.as_bytes();
    let matches_at = |start: usize| {
        let mut at = start;
        for (n, word) in words.iter().enumerate() {
            if n > 0 {
                let from = at;
                while bytes.get(at).is_some_and(u8::is_ascii_whitespace)
                    || bytes.get(at..).is_some_and(|rest| rest.starts_with("\u{a0}".as_bytes()))
                {
                    at += if bytes[at] == 0xc2 { 2 } else { 1 };
                }
                if at == from {
                    return None;
                }
            }
            let end = at + word.len();
            if !bytes.get(at..end)?.eq_ignore_ascii_case(word.as_bytes()) {
                return None;
            }
            at = end;
        }
        Some(at)
    };
    (0..bytes.len())
        .filter(|at| text.is_char_boundary(*at))
        .find_map(|at| matches_at(at).map(|end| (at, end)))
}

/// The name of the company that files.
fn registrant(text: &str) -> Option<&str> {
    if let Some((_, end)) = find_words(text, "entity registrant name") {
        let name = text[end..].lines().next()?.split('|').map(str::trim).find(|c| !c.is_empty())?;
        return plausible_name(name);
    }
    for mark in
        ["(exact name of registrant", "(name of registrant", "(exact name of small business"]
    {
        let Some((start, _)) = find_words(text, mark) else { continue };
        let above = text[..start]
            .lines()
            .rev()
            .map(|line| line.trim_matches(['|', ' ', '\u{a0}', '*', '#', '_']));
        let name = above.filter(|line| !line.is_empty()).find_map(plausible_name);
        if name.is_some() {
            return name;
        }
    }
    below_file_number(text)
}

/// The line below a filing's file number, where no mark says that it is the name.
fn below_file_number(text: &str) -> Option<&str> {
    form(text)?;
    let (_, end) = find_words(text, "commission file n")?;
    let below = text[end..].lines().skip(1).map(str::trim).find(|line| {
        line.chars().filter(|c| c.is_alphanumeric()).count() >= 2 && !line.starts_with('(')
    });
    let name = below.and_then(plausible_name)?;
    // A name stands alone: no sentence, no figures, no row of a table.
    let last = name.rsplit(' ').next().unwrap_or_default().to_lowercase();
    let short =
        matches!(last.as_str(), "inc." | "corp." | "co." | "ltd." | "n.v." | "s.a." | "plc.");
    let plain = !name.contains('|') && (short || !name.ends_with(['.', ':', ';']));
    let digits = name.chars().filter(char::is_ascii_digit).count();
    (plain && digits < 3 && name.split_whitespace().count() <= 8).then_some(name)
}

fn plausible_name(line: &str) -> Option<&str> {
    let line = line.trim();
    let letters = line.chars().filter(|c| c.is_alphabetic()).count();
    let fits = letters >= 2
        && line.chars().count() <= 90
        && !line.starts_with('(')
        && !line.to_lowercase().contains("commission file");
    fits.then_some(line)
}

/// The first symbol that stands before the name of an exchange.
fn ticker(text: &str) -> Option<&str> {
    let (_, end) = find_words(text, "trading symbol")?;
    let words: Vec<&str> = text[end..]
        .split(|c: char| c.is_whitespace() || matches!(c, '|' | ',' | '“' | '”' | '"'))
        .filter(|word| !word.is_empty())
        .take(120)
        .collect();
    let is_symbol = |word: &str| {
        (1..=5).contains(&word.len())
            && word.bytes().all(|b| b.is_ascii_uppercase() || b == b'.')
            && word.bytes().any(|b| b.is_ascii_uppercase())
    };
    let is_exchange = |word: &&&str| {
        matches!(word.to_ascii_lowercase().as_str(), "nasdaq" | "nyse" | "york" | "cboe")
    };
    let named = words.iter().enumerate().find(|(at, word)| {
        is_symbol(word)
            && !is_exchange(word)
            && words[at + 1..].iter().take(3).any(|next| is_exchange(&next))
    });
    let first = words.first().filter(|word| is_symbol(word));
    named.map(|(_, word)| *word).or(first.copied())
}

fn form(text: &str) -> Option<&'static str> {
    let at = |words: &str| find_words(text, words).map(|(at, _)| at);
    let forms = [
        ("form 10-q", "10-Q"),
        ("form 10-k", "10-K"),
        ("form 20-f", "20-F"),
        ("form 8-k", "8-K"),
        ("schedule 14a", "proxy statement (DEF 14A)"),
        ("document type | 10-q", "10-Q"),
        ("document type | 10-k", "10-K"),
    ];
    let found = forms.into_iter().filter_map(|(words, name)| Some((at(words)?, name)));
    found.min_by_key(|(at, _)| *at).map(|(_, name)| name)
}

/// The end of the period reported on, or the day of the report.
fn report_date(text: &str) -> Option<NaiveDate> {
    let marks = [
        "document period end date",
        "quarterly period ended",
        "fiscal year ended",
        "year ended",
        "date of earliest event reported",
        "date of report",
        "annual meeting of stockholders",
    ];
    marks.into_iter().find_map(|mark| {
        let (_, end) = find_words(text, mark)?;
        let near: String = text[end..].chars().take(120).collect();
        Periods::read(&near).dates.into_iter().next()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const COVER: &str = "FORM 10-Q\nFor the quarterly period ended June 25, 2022\nor\n\
        Apple Inc.\n(Exact name of Registrant as specified in its charter)\n\
        Title of each class | Trading symbol(s) | Name of each exchange\n\
        Common Stock, $0.00001 par value per share | AAPL | The Nasdaq Stock Market LLC\n\
        1.375% Notes due 2024 | — | The Nasdaq Stock Market LLC";

    #[test]
    fn a_filing_is_called_by_its_company_symbol_form_and_period() {
        let described = describe(Some("aapl-20220625"), COVER);
        assert_eq!(
            described.title.as_deref(),
            Some("Apple Inc. (AAPL) 10-Q, period ended 2022-06-25")
        );
        assert_eq!(described.date, NaiveDate::from_ymd_opt(2022, 6, 25));
    }

    #[test]
    fn a_name_below_the_file_number_needs_no_mark() {
        let cover = "FORM 10-Q\nFor the Quarterly Period Ended September 30, 2022\nOR\n\
            Commission File Number 001-37845\nMICROSOFT CORPORATION\n\
            WASHINGTON 91-1144442\n(STATE OF INCORPORATION) (I.R.S. ID)";
        assert_eq!(
            describe(None, cover).title.as_deref(),
            Some("MICROSOFT CORPORATION 10-Q, period ended 2022-09-30")
        );
        let letter = "Commission file number 1-2\nWe write about the report.";
        assert_eq!(describe(Some("A letter"), letter).title.as_deref(), Some("A letter"));
        let table = "FORM 10-K\nCommission File Number | 001-1\nNet sales | 12,345 | 11,111";
        assert_eq!(describe(None, table).title, None);
    }

    #[test]
    fn other_documents_keep_their_own_title() {
        let described = describe(Some("Trustee Handbook"), "Chapter 1\nWho is a trustee?");
        assert_eq!(described.title.as_deref(), Some("Trustee Handbook"));
        assert_eq!(describe(None, "a,b,c").title, None);
    }

    #[test]
    fn a_workbooks_entity_sheet_names_the_company() {
        let sheet = "Cover Page | 6 Months Ended\nDocument Type | 10-Q\n\
            Document Period End Date | Mar. 29, 2025\nEntity Registrant Name | Apple Inc.\n\
            Trading Symbol | AAPL";
        let described = describe(None, sheet);
        assert_eq!(
            described.title.as_deref(),
            Some("Apple Inc. (AAPL) 10-Q, period ended 2025-03-29")
        );
    }
}
