//! Walks through an answer's statements and decides on each of their figures.

use quaestor_core::model::{Figure, FigureReason};

use super::agree::{Agreement, Claimed, compare};
use super::belong::{Belonging, Belongs};
use super::context::{Asked, Context, Read};
use super::derive::{Derived, derive};
use super::facts::Evidence;
use super::number::{self, Number, Sign};
use super::period::{self, Mention};
use super::report::Report;
use super::statement::{Statement, statements};
use super::table::Range;
use super::units::Unit;
use super::words;

/// Citations that a statement does not name count where the line found is named at least
/// so well.
const NAMED_ELSEWHERE: f32 = 0.45;

/// The most facts with the right digits whose place is judged for one figure.
const MAX_JUDGED: usize = 64;

/// What was decided on a figure.
#[derive(Clone, Debug)]
pub(super) enum Verdict {
    /// A fact says it.
    Held(usize),
    /// A word-for-word quote holds it: the source and the bytes in its passage.
    Quoted(usize, Range),
    /// Facts give it.
    Derived(Derived),
    /// Nothing does.
    Unsupported(FigureReason),
}

/// Checks one answer.
pub(super) struct Checker<'a, 'p> {
    answer: &'a str,
    evidence: &'a Evidence<'p>,
    question: Asked,
    report: Report<'a, 'p>,
}

impl<'a, 'p> Checker<'a, 'p> {
    /// For an answer to a question.
    pub(super) fn new(answer: &'a str, question: &str, evidence: &'a Evidence<'p>) -> Self {
        Self {
            answer,
            evidence,
            question: Asked::read(question),
            report: Report::new(answer, evidence),
        }
    }

    /// Checks every figure.
    pub(super) fn run(mut self) -> Vec<Figure> {
        for statement in statements(self.answer) {
            self.statement(&statement);
            if self.report.is_more() {
                break;
            }
        }
        self.report.into_figures()
    }

    fn statement(&mut self, statement: &Statement) {
        let text = &self.answer[statement.at.0..statement.at.1];
        if !text.bytes().any(|b| b.is_ascii_digit()) {
            return;
        }
        let mentions = period::mentions(text);
        let mut numbers = number::numbers(text);
        numbers.extend(number::word_numbers(text).into_iter().filter(|n| n.scale.is_some()));
        let mut numbers = number::apart(numbers);
        numbers.retain(|number| {
            !mentions.iter().any(|m| m.start < number.end && number.start < m.end)
        });
        let own = self.sources_of(&statement.cites);
        let verdicts = self.numbers(statement, text, &mentions, &numbers, &own);
        let mut found: Vec<(Range, Verdict)> = numbers
            .iter()
            .zip(verdicts)
            .map(|(number, verdict)| ((number.start, number.end), verdict))
            .collect();
        for mention in &mentions {
            if let Some(written) = mention.written {
                found.push((written, self.date(mention, text, &own)));
            }
        }
        found.sort_by_key(|(range, _)| range.0);
        for ((start, end), verdict) in found {
            let range = (statement.at.0 + start, statement.at.0 + end);
            self.report.push(range, verdict, &statement.cites);
        }
    }

    /// The sources of citations, in their order.
    fn sources_of(&self, cites: &[u32]) -> Vec<usize> {
        let mut sources = Vec::new();
        for cite in cites {
            let holds = |source: &super::facts::Source<'_>| {
                source.ordinals.iter().any(|(ordinal, _)| ordinal == cite)
            };
            if let Some(at) = self.evidence.sources.iter().position(holds)
                && !sources.contains(&at)
            {
                sources.push(at);
            }
        }
        sources
    }

    fn numbers(
        &self,
        statement: &Statement,
        text: &str,
        mentions: &[Mention],
        numbers: &[Number],
        own: &[usize],
    ) -> Vec<Verdict> {
        if self.evidence.sources.is_empty() {
            return vec![Verdict::Unsupported(FigureReason::NothingCited); numbers.len()];
        }
        let others: Vec<usize> =
            (0..self.evidence.sources.len()).filter(|source| !own.contains(source)).collect();
        let quotes = self.quotes(text, own, &others);
        let read = Read::new(self.answer, statement, mentions.to_vec(), numbers, &self.question);
        let contexts: Vec<Context> =
            numbers.iter().enumerate().map(|(index, number)| read.around(index, number)).collect();
        let mut verdicts: Vec<Verdict> = Vec::with_capacity(numbers.len());
        for (number, context) in numbers.iter().zip(&contexts) {
            let quoted =
                quotes.iter().find(|quote| quote.0.0 <= number.start && number.end <= quote.0.1);
            verdicts.push(match quoted {
                Some((range, source, at)) => Verdict::Quoted(
                    *source,
                    (at + number.start - range.0, at + number.end - range.0),
                ),
                None => match self.in_name(text, number, own) {
                    Some((source, at)) => Verdict::Quoted(source, at),
                    None => self.direct(number, context, own),
                },
            });
        }
        // What is computed may be computed from the statement's other figures.
        for index in 0..numbers.len() {
            if !matches!(verdicts[index], Verdict::Unsupported(_)) {
                continue;
            }
            let stated: Vec<usize> = verdicts
                .iter()
                .filter_map(
                    |verdict| if let Verdict::Held(fact) = verdict { Some(*fact) } else { None },
                )
                .collect();
            let (number, context) = (&numbers[index], &contexts[index]);
            let claimed = Claimed { number: *number, negative: context.negative };
            let mut belonging = Belonging::new(self.evidence, context);
            let found = derive(self.evidence, context, &mut belonging, &claimed, &stated, own)
                .map(Verdict::Derived)
                .or_else(|| match self.elsewhere(number, context, &others) {
                    Verdict::Unsupported(_) => None,
                    held => Some(held),
                })
                .or_else(|| {
                    let all: Vec<usize> = own.iter().chain(&others).copied().collect();
                    derive(self.evidence, context, &mut belonging, &claimed, &stated, &all)
                        .map(Verdict::Derived)
                });
            if let Some(found) = found {
                verdicts[index] = found;
            } else if own.is_empty() {
                verdicts[index] = self.direct(number, context, &others);
                if !matches!(verdicts[index], Verdict::Unsupported(_)) {
                    // A statement without citations needs its line named.
                    verdicts[index] = self.elsewhere(number, context, &others);
                }
            }
        }
        verdicts
    }

    /// A bare number that stands in a passage after the same word, as in a label: "aged 65".
    fn in_name(&self, text: &str, number: &Number, own: &[usize]) -> Option<(usize, Range)> {
        let bare = number.unit == Unit::None && number.scale.is_none() && number.decimals == 0;
        if !bare || number.sign != Sign::Plain || number.value >= 1_000.0 {
            return None;
        }
        let word = words::words(&text[..number.start]).last().copied()?;
        if text[word.end..number.start] != *" " || word.end - word.start < 3 {
            return None;
        }
        let name = &text[word.start..number.end];
        own.iter().find_map(|source| {
            let held = &self.evidence.sources[*source].passage.text;
            let at = held.find(name)?;
            let goes_on = held[at + name.len()..]
                .starts_with(|c: char| c.is_alphanumeric() || matches!(c, ',' | '.' | '%'));
            (!goes_on).then_some((
                *source,
                (at + name.len() - (number.end - number.start), at + name.len()),
            ))
        })
    }

    /// Looks a figure up in the sources that its statement cites.
    fn direct(&self, number: &Number, context: &Context, sources: &[usize]) -> Verdict {
        self.look_up(number, context, sources, 0.0)
    }

    /// Looks a figure up in the other sources, where its line must be named.
    fn elsewhere(&self, number: &Number, context: &Context, sources: &[usize]) -> Verdict {
        self.look_up(number, context, sources, NAMED_ELSEWHERE)
    }

    fn look_up(
        &self,
        number: &Number,
        context: &Context,
        sources: &[usize],
        named: f32,
    ) -> Verdict {
        let claimed = Claimed { number: *number, negative: context.negative };
        let mut belonging = Belonging::new(self.evidence, context);
        let mut best: Option<(f32, usize)> = None;
        let mut nearest = Agreement::Different;
        let mut misplaced: Option<Belongs> = None;
        let mut computed = false;
        let mut judged = 0;
        for (index, fact) in self.evidence.facts.iter().enumerate() {
            if !sources.contains(&fact.source) {
                continue;
            }
            let agreement = compare(&claimed, &fact.held);
            if agreement != Agreement::Same {
                nearest = nearest.max(agreement);
                continue;
            }
            let (said, held) = (context.hints, fact.hints);
            let told_down = said.down
                && !said.up
                && (held.up && !held.down || in_change_column(self.evidence, fact));
            let told_up = said.up && !said.down && held.down && !held.up;
            if said.change && (told_up || told_down) && number.sign == Sign::Plain {
                nearest = nearest.max(Agreement::Sign);
                continue;
            }
            // "The total of 2018 and 2019" is neither of them.
            let of_both = said.sum && context.periods.len() >= 2;
            if of_both || said.is_computed() && !said.allows(held) {
                computed = true;
                continue;
            }
            judged += 1;
            if judged > MAX_JUDGED {
                break;
            }
            match belonging.judge(index) {
                Belongs::Yes => {
                    let certainty = belonging.certainty(index);
                    if certainty >= named && best.is_none_or(|(known, _)| certainty > known) {
                        best = Some((certainty, index));
                    }
                }
                other => misplaced = misplaced.max(Some(other)),
            }
        }
        if let Some((_, fact)) = best {
            return Verdict::Held(fact);
        }
        let computed = computed || context.hints.is_computed();
        Verdict::Unsupported(match (misplaced, nearest) {
            (Some(Belongs::OtherPeriod), _) => FigureReason::OtherPeriod,
            (Some(Belongs::OtherColumn), _) => FigureReason::OtherColumn,
            (Some(_), _) => FigureReason::OtherLine,
            (None, Agreement::Sign) => FigureReason::OtherSign,
            (None, Agreement::ScaleUnstated) => FigureReason::ScaleNotStated,
            (None, Agreement::Unit) => FigureReason::OtherUnit,
            (None, Agreement::Scale) => FigureReason::OtherScale,
            (None, _) if computed => FigureReason::WronglyDerived,
            (None, _) => FigureReason::NotFound,
        })
    }

    /// The pieces of a statement that stand word for word in a passage: between quotation
    /// marks, or the whole statement. Bytes of the statement, source, byte of the passage.
    fn quotes(&self, text: &str, own: &[usize], others: &[usize]) -> Vec<(Range, usize, usize)> {
        let mut pieces: Vec<Range> = Vec::new();
        let mut at = 0;
        while let Some(open) = text[at..].find('\u{201c}') {
            let start = at + open + '\u{201c}'.len_utf8();
            let Some(close) = text[start..].find('\u{201d}') else { break };
            pieces.push((start, start + close));
            at = start + close;
        }
        let bare = text.find('[').map_or(text, |at| &text[..at]).trim_end();
        let lead = bare.len() - bare.trim_start_matches(['-', '*', ' ', '\u{2022}']).len();
        if bare.len() - lead >= 16 {
            pieces.push((lead, bare.len()));
        }
        let mut found = Vec::new();
        for (start, end) in pieces {
            let piece = &text[start..end];
            if !piece.bytes().any(|b| b.is_ascii_digit()) || piece.trim().is_empty() {
                continue;
            }
            let place = own.iter().chain(others).find_map(|source| {
                Some((*source, self.evidence.sources[*source].passage.text.find(piece)?))
            });
            if let Some((source, at)) = place {
                found.push(((start, end), source, at));
            }
        }
        found
    }

    /// Looks up a day or a year.
    fn date(&self, mention: &Mention, _text: &str, own: &[usize]) -> Verdict {
        if self.evidence.sources.is_empty() {
            return Verdict::Unsupported(FigureReason::NothingCited);
        }
        let others = (0..self.evidence.sources.len()).filter(|source| !own.contains(source));
        for source in own.iter().copied().chain(others) {
            let times = &self.evidence.sources[source].times;
            let asked = &mention.period;
            let says = |held: &period::Period| {
                (asked.years.is_empty() || asked.years.iter().all(|year| held.years.contains(year)))
                    && (asked.month.is_none() || asked.month == held.month)
                    && (asked.day.is_none() || asked.day == held.day)
                    && (asked.quarter.is_none()
                        || asked.quarter == held.quarter
                        || asked.quarter == held.month.map(|month| month.div_ceil(3)))
            };
            // A table parts `December 31,` from the years below it.
            let parted =
                asked.month.is_some() && asked.quarter.is_none() && !asked.years.is_empty();
            let day = |held: &period::Period| {
                held.month == asked.month && (asked.day.is_none() || held.day == asked.day)
            };
            let year =
                |held: &period::Period| asked.years.iter().all(|year| held.years.contains(year));
            let whole = times.iter().find(|held| says(&held.0.period)).or_else(|| {
                // "2017-2019": each of them.
                let each = asked.years.len() > 1
                    && asked.month.is_none()
                    && asked
                        .years
                        .iter()
                        .all(|year| times.iter().any(|held| held.0.period.years.contains(year)));
                times.iter().find(|held| each && held.0.period.years.contains(&asked.years[0]))
            });
            let found = whole.or_else(|| {
                let has_day = times.iter().any(|held| day(&held.0.period));
                times.iter().find(|held| parted && has_day && year(&held.0.period))
            });
            if let Some(held) = found {
                let range = if held.1 { (held.0.start, held.0.end) } else { (0, 0) };
                return Verdict::Quoted(source, range);
            }
        }
        Verdict::Unsupported(FigureReason::NotFound)
    }
}

/// Whether a figure stands, without a minus, in a column or line of changes that names no
/// direction: then it went up.
fn in_change_column(evidence: &Evidence<'_>, fact: &super::facts::Fact) -> bool {
    let Some((_, row)) = evidence.row(fact) else { return false };
    let column = evidence.column(fact).map_or("", |column| column.name.as_str());
    let label = format!("{} {column}", row.label).to_ascii_lowercase();
    let falls = ["decrease", "decline", "reduction", "drop", "loss"]
        .iter()
        .any(|word| label.contains(word));
    let rises = label.contains("increase");
    fact.hints.change && fact.held.negative == Some(false) && (!falls || rises)
}
