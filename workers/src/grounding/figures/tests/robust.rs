//! On any text: no panic, the same answer twice, places that are right, and time that
//! does not explode.

use proptest::prelude::*;

use super::*;

/// Pieces of which answers and passages are made, odd ones among them.
fn text() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        Just("Net sales | 1,234 | (5)%\n".to_owned()),
        Just("| 2022 | 2021\n".to_owned()),
        Just("| a | b |\n|---|---|\n| x | 5 |\n".to_owned()),
        Just("“1,2” [1] ".to_owned()),
        Just("rose by $5 million, or 12.4%, respectively [2]. ".to_owned()),
        Just("between 2018 and 2019 from €−119m to ($ (5 )) ".to_owned()),
        Just("[1, 2] 1. (3) 10-Q §7½ ５ ٣ 1\u{a0}234,5 1'2 .5 ..5 5. 3.2.1 ".to_owned()),
        Just("\r\n\t- **For Q3 FY19:**\n".to_owned()),
        "\\PC{0,12}",
        "[0-9.,%$()| -]{0,16}",
    ];
    prop::collection::vec(piece, 0..24).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn any_answer_over_any_passages_is_checked(
        answer in text(),
        first in text(),
        header in text(),
        second in text(),
    ) {
        let located = cited(vec![passage(1, &header, &first), passage(2, "", &second)]);
        let figures = check(&answer, &located);
        prop_assert_eq!(&figures, &check(&answer, &located));
        for figure in &figures {
            let (start, end) = (figure.char_start.unwrap(), figure.char_end.unwrap());
            let shown: String =
                answer.chars().skip(start as usize).take((end - start) as usize).collect();
            prop_assert_eq!(&shown, &figure.text);
            prop_assert_eq!(figure.status == FigureStatus::Supported, figure.reason.is_none());
            if let Some(support) = &figure.support {
                let passage = &located[support.ordinal as usize - 1].passage;
                let from = (support.char_start - passage.char_start) as usize;
                let length = (support.char_end - support.char_start) as usize;
                let held: String = passage.text.chars().skip(from).take(length).collect();
                prop_assert_eq!(&held, &support.text);
            }
        }
    }
}

#[test]
fn long_answers_and_passages_take_time_in_proportion() {
    let rows = "Net sales of region 7 | 1,234 | 5,678\n";
    let table = rows.repeat(200_000 / rows.len());
    let said =
        "Net sales rose by 12.4% to $1,234 million in 2022 [1] and fell to 5,678 in 2021 [2], ";
    for answer in [said.repeat(200_000 / said.len()), "1,234 ".repeat(33_000), "(".repeat(200_000)]
    {
        let located = cited(vec![
            passage(1, "| 2022 | 2021", &table),
            passage(2, "", &said.repeat(200_000 / said.len())),
        ]);
        let began = std::time::Instant::now();
        let figures = check(&answer, &located);
        assert!(figures.len() <= super::super::MAX_FIGURES + 1);
        // Seconds in a build that is not optimised; hours where it would be quadratic.
        assert!(began.elapsed().as_secs() < 60, "{:?}", began.elapsed());
    }
}
