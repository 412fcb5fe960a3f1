//! What every reranker must do.

use quaestor_core::ports::reranker::Reranker;

use crate::call_scope;

/// Makes one test of each case. The factory is an async function that gives a reranker.
#[macro_export]
macro_rules! reranker_contract {
    ($($factory:tt)+) => {
        $crate::contract_cases!(
            reranker,
            {$($factory)+},
            [
                each_passage_gets_a_score_in_the_order_of_the_passages,
                no_passages_get_no_scores,
                odd_texts_are_scored_too,
            ]
        );
    };
}

/// A passage scores as it does alone, wherever it stands among others.
pub async fn each_passage_gets_a_score_in_the_order_of_the_passages(reranker: &impl Reranker) {
    let passages: Vec<String> = (0..40)
        .map(|i| format!("Revenue of share {i} {}", "rose by 12 % ".repeat((i * 7) % 40)))
        .collect();
    let all = reranker.rerank("what was total revenue", &passages, &call_scope()).await.unwrap();
    assert_eq!(all.len(), passages.len());
    for at in [0, 7, 39] {
        let alone = std::slice::from_ref(&passages[at]);
        let alone = reranker.rerank("what was total revenue", alone, &call_scope()).await.unwrap();
        assert!(
            (alone[0] - all[at]).abs() < 1e-4,
            "{at}: {} alone, {} among all",
            alone[0],
            all[at]
        );
    }
}

/// Nothing is asked where there is nothing to score.
pub async fn no_passages_get_no_scores(reranker: &impl Reranker) {
    assert!(reranker.rerank("what", &[], &call_scope()).await.unwrap().is_empty());
}

/// Empty, huge and foreign texts.
pub async fn odd_texts_are_scored_too(reranker: &impl Reranker) {
    let odd = ["", " ", "\u{0}", "🙂🙂", "株式会社", &"word ".repeat(20_000)].map(str::to_owned);
    for query in ["", "what", &"what ".repeat(5_000)] {
        let scores = reranker.rerank(query, &odd, &call_scope()).await.unwrap();
        assert_eq!(scores.len(), odd.len());
        assert!(scores.iter().all(|score| score.is_finite()), "{scores:?}");
    }
}
