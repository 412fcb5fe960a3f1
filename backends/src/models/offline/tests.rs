//! Does the quoting model pick the right row, column and sentence, and quote it exactly?

use quaestor_core::retrieval::quotes;

use super::*;

fn passage(ordinal: u32, header: &str, text: &str) -> GroundingPassage {
    GroundingPassage {
        ordinal,
        filename: "ACME_10Q.pdf".to_owned(),
        title: Some("Acme Corp. (ACME) 10-Q".to_owned()),
        page: Some(4),
        section: "Statements of operations".to_owned(),
        header: header.to_owned(),
        text: text.to_owned(),
        is_table: !header.is_empty(),
        score: 1.0,
    }
}

fn request(question: &str, passages: Vec<GroundingPassage>) -> ChatRequest {
    ChatRequest {
        messages: Vec::new(),
        question: question.to_owned(),
        passages,
        max_output_tokens: 1_000,
        input_tokens: 0,
    }
}

const HEADER: &str = "(In millions)\n| Three Months Ended June 25, 2022 | Three Months Ended June 26, 2021 \
    | Nine Months Ended June 25, 2022 | Nine Months Ended June 26, 2021";
const ROWS: &str = "Net sales:\nProducts | $63,355 | $63,948 | $245,241 | $232,309\n\
    Services | 19,604 | 17,486 | 58,941 | 50,148\n\
    Total net sales | 82,959 | 81,434 | 304,182 | 282,457\nCost of sales: | | | |\nProducts | 41,485 | 40,899 | 155,084 | 149,476";

#[test]
fn the_row_and_the_column_of_the_period_are_told() {
    let ask = |question| OfflineModel::answer(&request(question, vec![passage(1, HEADER, ROWS)]));
    let three = ask("What were Acme's total net sales in the three months ended June 25, 2022?");
    assert!(
        three.contains("Total net sales — Three Months Ended June 25, 2022: 82,959 (in millions)"),
        "{three}"
    );
    let nine = ask("And total net sales for the nine months ended June 26, 2021?");
    assert!(nine.contains("Nine Months Ended June 26, 2021: 282,457"), "{nine}");
}

#[test]
fn every_quote_stands_word_for_word_in_its_passage() {
    let sentence = "We recorded estimated severance costs of $470 million in the quarter. Other costs were small.";
    let passages = vec![passage(1, HEADER, ROWS), passage(2, "", sentence)];
    let answer = OfflineModel::answer(&request(
        "How much were estimated severance costs?",
        passages.clone(),
    ));
    let found = quotes(&answer);
    assert!(!found.is_empty());
    for quote in &found {
        let of = passages.iter().find(|passage| quote.ordinals.contains(&passage.ordinal));
        assert!(of.is_some_and(|passage| passage.text.contains(&quote.text)), "{quote:?}");
    }
    assert_eq!(found[0].ordinals, [2]);
    assert!(found[0].text.contains("$470 million"));
}

#[test]
fn a_register_is_read_by_the_name_of_the_column() {
    let header = "CIK | Fund | Class | Ticker";
    let rows = "0001 | Big Bond 2027 ETF | Big Bond 2027 ETF | BBQ\n0001 | Big Bond 2028 ETF | Big Bond 2028 ETF | BBR";
    let answer = OfflineModel::answer(&request(
        "What is the ticker of the Big Bond 2028 ETF?",
        vec![passage(1, header, rows)],
    ));
    assert!(answer.contains("Ticker: BBR"), "{answer}");
}

#[test]
fn where_nothing_fits_it_says_so() {
    let nothing = OfflineModel::answer(&request(
        "How tall is the lighthouse of Alexandria?",
        vec![passage(1, "", "We lease offices in four cities.")],
    ));
    assert!(nothing.contains("none of the passages"));
    assert!(quotes(&nothing).is_empty());
    assert!(OfflineModel::answer(&request("Anything?", Vec::new())).contains("none"));
}

#[tokio::test]
async fn the_stream_is_the_answer_and_ends_as_finished() {
    let request = request("total net sales", vec![passage(1, HEADER, ROWS)]);
    let whole = OfflineModel::answer(&request);
    let mut text = String::new();
    let mut finished = false;
    let scope = quaestor_contracts::call_scope();
    let mut stream = OfflineModel::new().stream(request, &scope).await.expect("a stream").deltas;
    while let Some(delta) = stream.next().await {
        match delta.expect("no error") {
            ChatDelta::Text(piece) => text.push_str(&piece),
            ChatDelta::Finished { usage, .. } => {
                finished = true;
                assert_eq!(usage.map(|usage| usage.cost_micros), Some(0));
            }
        }
    }
    assert!(finished);
    assert_eq!(text, whole);
}
