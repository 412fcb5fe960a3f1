//! What is supported and what is not, one rule at a time.

use quaestor_core::model::{DerivationKind, FigureReason};

use super::*;

const HEADER: &str = "Net sales by category (in millions):\n| 2022 | 2021";
const TABLE: &str = "Products | $63,355 | $63,948\nServices | 19,604 | 17,486\n\
                     Total net sales | $82,959 | $81,434\nNet loss on hedges | (1,211) | (987)\n\
                     Gross margin percentage | 43.3% | 42.2%";
const PROSE: &str = "Revenue in the Americas rose 12.4% to $37.5 million in 2022. In 2021 it was \
                     $33.4 million. The company had 154,000 employees on September 24, 2022.";

fn sales() -> Vec<Located> {
    cited(vec![passage(1, HEADER, TABLE), passage(2, "", PROSE)])
}

fn supported(answer: &str, figure: &str) {
    assert!(
        verdict(&check(answer, &sales()), figure).is_ok(),
        "{answer}: {:?}",
        check(answer, &sales())
    );
}

fn refused(answer: &str, figure: &str, reason: FigureReason) {
    assert_eq!(verdict(&check(answer, &sales()), figure), Err(reason), "{answer}");
}

#[test]
fn a_figure_must_be_of_its_line_and_period() {
    supported("Total net sales were $82,959 million in 2022 [1].", "$82,959 million");
    refused(
        "Total net sales were $81,434 million in 2022 [1].",
        "$81,434 million",
        FigureReason::OtherPeriod,
    );
    refused("Services sales were 63,355 in 2022 [1].", "63,355", FigureReason::OtherLine);
    refused(
        "Total net sales were $82,951 million in 2022 [1].",
        "$82,951 million",
        FigureReason::NotFound,
    );
    supported("Services were 19,604 in 2022, compared with 17,486 in 2021 [1].", "17,486");
    supported("Services were 19,604 and 17,486 in 2022 and 2021, respectively [1].", "17,486");
    refused(
        "Services were 17,486 and 19,604 in 2022 and 2021, respectively [1].",
        "19,604",
        FigureReason::OtherPeriod,
    );
}

#[test]
fn scale_unit_and_sign_must_agree() {
    refused(
        "Total net sales were $82,959 billion in 2022 [1].",
        "$82,959 billion",
        FigureReason::OtherScale,
    );
    refused(
        "Total net sales were €82,959 million in 2022 [1].",
        "€82,959 million",
        FigureReason::OtherUnit,
    );
    refused("Total net sales were 82,959% in 2022 [1].", "82,959%", FigureReason::OtherUnit);
    refused(
        "Total net sales were $(82,959) million in 2022 [1].",
        "$(82,959) million",
        FigureReason::OtherSign,
    );
    supported("The net loss on hedges was $1,211 million in 2022 [1].", "$1,211 million");
    supported("Total net sales were $82,959,000,000 in 2022 [1].", "$82,959,000,000");
    supported("The gross margin percentage was 43.3% in 2022 [1].", "43.3%");
}

#[test]
fn as_many_digits_as_are_written_must_agree() {
    supported("Total net sales were $83.0 billion in 2022 [1].", "$83.0 billion");
    supported("Total net sales were about $82.9 billion in 2022 [1].", "$82.9 billion");
    refused(
        "Total net sales were $82.9 billion in 2022 [1].",
        "$82.9 billion",
        FigureReason::NotFound,
    );
    supported("Total net sales were over $82 billion in 2022 [1].", "$82 billion");
    refused(
        "Total net sales were over $83 billion in 2022 [1].",
        "$83 billion",
        FigureReason::NotFound,
    );
}

#[test]
fn what_is_computed_is_computed_again_and_shown() {
    let answer = "Total net sales increased by 1.9% from 2021 to 2022 [1].";
    let figures = check(answer, &sales());
    let growth = figures.iter().find(|figure| figure.text == "1.9%").unwrap();
    let derivation = growth.derivation.as_ref().unwrap();
    assert_eq!(derivation.kind, DerivationKind::Growth);
    let operands: Vec<&str> =
        derivation.operands.iter().map(|operand| operand.text.as_str()).collect();
    assert_eq!(operands, ["$82,959", "$81,434"]);
    assert_eq!(derivation.operands[0].row.as_deref(), Some("Total net sales"));
    refused(
        "Total net sales decreased by 1.9% from 2021 to 2022 [1].",
        "1.9%",
        FigureReason::WronglyDerived,
    );
    refused(
        "Total net sales increased by 1.8% from 2021 to 2022 [1].",
        "1.8%",
        FigureReason::WronglyDerived,
    );
    supported("Services rose by $2,118 million in 2022 compared with 2021 [1].", "$2,118 million");
    supported(
        "The average of total net sales for 2022 and 2021 was $82,196.5 million [1].",
        "$82,196.5 million",
    );
    supported("Products made up 76.4% of total net sales in 2022 [1].", "76.4%");
    supported(
        "The gross margin percentage rose by 1.1 percentage points in 2022 from 2021 [1].",
        "1.1 percentage points",
    );
}

#[test]
fn running_text_is_read_too() {
    supported("Revenue in the Americas was $37.5 million in 2022 [2].", "$37.5 million");
    refused(
        "Revenue in the Americas was $33.4 million in 2022 [2].",
        "$33.4 million",
        FigureReason::OtherPeriod,
    );
    supported("It had 154,000 employees on September 24, 2022 [2].", "September 24, 2022");
    refused(
        "It had 154,000 employees on September 24, 2023 [2].",
        "September 24, 2023",
        FigureReason::NotFound,
    );
}

#[test]
fn a_sentence_is_held_to_its_own_citations_first() {
    let figures = check("Total net sales were $82,959 million in 2022 [2].", &sales());
    assert_eq!(verdict(&figures, "$82,959 million"), Ok(1));
    assert_eq!(verdict(&check("It was 5 in 2022.", &[]), "5"), Err(FigureReason::NothingCited));
}

#[test]
fn the_place_of_a_figure_is_exact() {
    let figures = check("Services were 19,604 in 2022 [1].", &sales());
    let figure = figures.iter().find(|figure| figure.text == "19,604").unwrap();
    assert_eq!((figure.char_start, figure.char_end), (Some(14), Some(20)));
    let support = figure.support.as_ref().unwrap();
    let at = u32::try_from(TABLE.find("19,604").unwrap()).unwrap();
    assert_eq!((support.char_start, support.char_end), (100 + at, 100 + at + 6));
    assert_eq!(
        (support.row.as_deref(), support.column.as_deref()),
        (Some("Services"), Some("2022"))
    );
}

#[test]
fn tables_lists_and_quotes_of_an_answer_are_read() {
    let table = "| | 2021 | 2022 |\n|---|---|---|\n| Services [1] | 17,486 | 19,604 |";
    supported(table, "19,604");
    let swapped = "| | 2021 | 2022 |\n|---|---|---|\n| Services [1] | 19,604 | 17,486 |";
    refused(swapped, "17,486", FigureReason::OtherPeriod);
    supported("For 2022 [1]:\n- Products: $63,355 million\n- Services: 19,604", "19,604");
    refused("For 2021 [1]:\n- Services: 19,604", "19,604", FigureReason::OtherPeriod);
    supported("It says \u{201c}Services | 19,604 | 17,486\u{201d} [1].", "17,486");
}

#[test]
fn markers_and_names_are_no_figures() {
    let answer = "1. See Note 5, Section 3.2 and the 10-Q for Q3 [1][2].\n2) B7 holds it.";
    let texts: Vec<String> =
        check(answer, &sales()).into_iter().map(|figure| figure.text).collect();
    assert_eq!(texts, ["Q3"]);
}

#[test]
fn a_scale_that_is_stated_nowhere_is_not_taken_on_trust() {
    let bare = cited(vec![passage(1, "| 2022 | 2021", TABLE)]);
    let figures = check("Services were 19,604 million in 2022 [1].", &bare);
    assert_eq!(verdict(&figures, "19,604 million"), Err(FigureReason::ScaleNotStated));
    let around = HashMap::from([(
        ChunkId(Uuid::from_u128(1)),
        crate::grounding::Surroundings { above: "(In millions)".into(), below: String::new() },
    )]);
    let grounds = Grounds { question: "", located: &bare, around: &around };
    let figures = check_figures("Services were 19,604 million in 2022 [1].", &grounds);
    assert_eq!(verdict(&figures, "19,604 million"), Ok(1));
}
