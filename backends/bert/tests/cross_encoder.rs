//! A cross-encoder's scores are those of the reference implementation
//! (`cross_encoder/make_golden.py` says which, and how the numbers are made again).

#![expect(clippy::unwrap_used, reason = "a test's helpers fail the test by it")]

#[path = "cross_encoder/model.rs"]
mod model;

use model::{folder, weights};
use quaestor_bert::{CrossEncoder, Folder};
use serde::Deserialize;

#[derive(Deserialize)]
struct Golden {
    query: String,
    passage: String,
    score: f32,
}

#[test]
fn scores_are_those_of_the_reference() {
    let golden = include_str!("cross_encoder/golden.json");
    let golden: Vec<Golden> = serde_json::from_str(golden).unwrap();
    let folder = folder(&weights(1));
    let opened = Folder::open_cross_encoder(folder.path()).unwrap();
    // The reference cuts pairs to 41 pieces.
    let model = CrossEncoder::load(&opened, 41).unwrap();
    for Golden { query, passage, score } in &golden {
        let scored = model.score(query, &[passage]).unwrap();
        assert!((scored[0] - score).abs() < 2e-5, "{query:?} {passage:?}: {scored:?}, not {score}");
    }
    // Packed together, each pair scores as it does alone.
    let query = &golden[0].query;
    let all: Vec<&str> = golden.iter().map(|one| one.passage.as_str()).collect();
    let many: Vec<&str> = all.iter().copied().cycle().take(all.len() * 9).collect();
    let packed = model.score(query, &many).unwrap();
    assert_eq!(packed.len(), many.len());
    for (passage, score) in many.iter().zip(packed) {
        let alone = model.score(query, &[passage]).unwrap()[0];
        assert!((alone - score).abs() < 1e-5, "{passage:?}: {alone} alone, {score} packed");
    }
    assert!(model.score(query, &[] as &[&str]).unwrap().is_empty());
}

#[test]
fn a_folder_without_a_head_or_with_several_labels_is_refused() {
    let mut without = weights(1);
    without.retain(|(name, _)| !name.contains("pooler"));
    for (weights, named) in
        [(without, "bert.pooler.dense.weight"), (weights(3), "its weight classifier.weight")]
    {
        let folder = folder(&weights);
        let error = Folder::open_cross_encoder(folder.path()).unwrap_err().to_string();
        assert!(error.contains(named), "{error}");
        // As an embedding model it would do.
        Folder::open(folder.path()).unwrap();
    }
}
