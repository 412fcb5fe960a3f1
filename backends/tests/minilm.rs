//! The embedder on this machine keeps its contract and agrees with the reference.
//!
//! The model is in the folder that `QUAESTOR_TEST_MODEL` names, or where `make model`
//! puts it, as `make test` does.

use std::path::PathBuf;

use quaestor_backends::models::minilm::MiniLm;
use quaestor_core::ports::embedder::{EmbedKind, Embedder};

fn folder() -> PathBuf {
    let named = std::env::var_os("QUAESTOR_TEST_MODEL").map(PathBuf::from);
    let cached = || {
        let cache = std::env::var_os("XDG_CACHE_HOME")
            .map(PathBuf::from)
            .or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache")))?;
        Some(cache.join("quaestor/models/all-MiniLM-L6-v2"))
    };
    let folder = named.or_else(cached).filter(|folder| folder.is_dir());
    folder.expect("`make model` fetches the model")
}

macro_rules! with_model {
    ($($case:ident),*) => {
        $(
            #[tokio::test]
            async fn $case() {
                let folder = folder();
                let embedder = MiniLm::open(&folder, 1).unwrap();
                quaestor_contracts::embedder::$case(&embedder).await;
            }
        )*
    };
}

with_model!(
    each_text_gets_a_vector_of_unit_length,
    no_texts_get_no_vectors,
    vectors_stand_in_the_order_of_the_texts,
    odd_texts_are_embedded_too
);

/// From sentence-transformers 6.2 with torch 2.15: the first numbers of each vector.
const REFERENCE: [(&str, [f32; 8]); 3] = [
    (
        "Revenue rose by 12% to $4.3 million in 2019.",
        [
            0.0826861, -0.0255054, -0.0536525, -0.0359088, -0.0598744, -0.0401116, 0.0079211,
            0.0602371,
        ],
    ),
    (
        "Der Umsatz der Gesellschaft betrug 2023 rund 1,2 Mrd. Euro.",
        [-0.0726976, 0.0290731, 0.0232494, -0.0440268, -0.0331892, 0.0040741, -0.0444857, 0.07112],
    ),
    (
        "What is the fund's management fee?",
        [0.1149171, -0.0297558, -0.1063941, 0.1063795, 0.0744446, -0.0390014, 0.079351, -0.0116949],
    ),
];

#[tokio::test]
async fn its_vectors_are_those_of_the_reference() {
    let folder = folder();
    let embedder = MiniLm::open(&folder, 2).unwrap();
    assert_eq!(embedder.dimensions(), 384);
    let texts: Vec<String> = REFERENCE.iter().map(|(text, _)| (*text).to_owned()).collect();
    for kind in [EmbedKind::Query, EmbedKind::Passage] {
        let vectors =
            embedder.embed(kind, &texts, &quaestor_contracts::call_scope()).await.unwrap();
        for (vector, (text, wanted)) in vectors.iter().zip(REFERENCE) {
            for (number, wanted) in vector.iter().zip(wanted) {
                assert!((number - wanted).abs() < 2e-5, "{text}: {number} instead of {wanted}");
            }
        }
    }
}

#[test]
fn a_folder_without_a_model_is_refused_with_what_is_missing() {
    let folder = tempfile::tempdir().unwrap();
    let error = MiniLm::open(folder.path(), 1).unwrap_err();
    assert!(error.to_string().contains("config.json"), "{error}");
    let config = r#"{"vocab_size":10,"hidden_size":8,"num_hidden_layers":1,
        "num_attention_heads":2,"intermediate_size":8,"max_position_embeddings":8,
        "type_vocab_size":1,"layer_norm_eps":1e-12,"hidden_act":"gelu","model_type":"roberta"}"#;
    std::fs::write(folder.path().join("config.json"), config).unwrap();
    let error = MiniLm::open(folder.path(), 1).unwrap_err();
    assert!(error.to_string().contains("roberta"), "{error}");
    std::fs::write(folder.path().join("config.json"), config.replace("roberta", "bert")).unwrap();
    std::fs::write(folder.path().join("tokenizer.json"), "{}").unwrap();
    std::fs::write(folder.path().join("model.safetensors"), [0_u8; 40]).unwrap();
    let error = MiniLm::open(folder.path(), 1).unwrap_err();
    assert!(error.to_string().contains("model.safetensors"), "{error}");
}
