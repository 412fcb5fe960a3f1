//! What every embedder must do.

use quaestor_core::ports::embedder::{EmbedKind, Embedder};

/// Makes one test of each case. The factory is an async function that gives an embedder.
#[macro_export]
macro_rules! embedder_contract {
    ($($factory:tt)+) => {
        $crate::contract_cases!(
            embedder,
            {$($factory)+},
            [
                each_text_gets_a_vector_of_unit_length,
                no_texts_get_no_vectors,
                vectors_stand_in_the_order_of_the_texts,
                odd_texts_are_embedded_too,
            ]
        );
    };
}

fn texts(count: usize) -> Vec<String> {
    (0..count)
        .map(|i| format!("Revenue of segment {i} {}", "grew again ".repeat((i * 7) % 40)))
        .collect()
}

fn cosine(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(x, y)| x * y).sum()
}

async fn embed(embedder: &dyn Embedder, texts: &[String]) -> Vec<Vec<f32>> {
    embedder.embed(EmbedKind::Passage, texts, &crate::call_scope()).await.unwrap()
}

/// Case.
pub async fn each_text_gets_a_vector_of_unit_length(embedder: &dyn Embedder) {
    let vectors = embed(embedder, &texts(9)).await;
    assert_eq!(vectors.len(), 9);
    for vector in vectors {
        assert_eq!(vector.len(), embedder.dimensions() as usize);
        assert!((cosine(&vector, &vector) - 1.0).abs() < 1e-3);
    }
}

/// Case.
pub async fn no_texts_get_no_vectors(embedder: &dyn Embedder) {
    assert!(embed(embedder, &[]).await.is_empty());
}

/// Case.
pub async fn vectors_stand_in_the_order_of_the_texts(embedder: &dyn Embedder) {
    let texts = texts(24);
    let together = embed(embedder, &texts).await;
    for place in [0, 5, 11, 23] {
        let alone = embed(embedder, &texts[place..=place]).await;
        assert!(cosine(&together[place], &alone[0]) > 0.999, "the vector at {place} is another's");
    }
}

/// Case.
pub async fn odd_texts_are_embedded_too(embedder: &dyn Embedder) {
    let texts =
        [String::new(), " \n\t".to_owned(), "€\u{0}\u{fffd}🙂".to_owned(), "x".repeat(200_000)];
    let vectors = embed(embedder, &texts).await;
    assert_eq!(vectors.len(), 4);
    assert!(vectors.iter().flatten().all(|x| x.is_finite()));
}
