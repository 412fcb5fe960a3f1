//! A cross-encoder's scores are those of the reference implementation
//! (`cross_encoder/make_golden.py` says which, and how the numbers are made again).

use std::path::{Path, PathBuf};

use quaestor_bert::{CrossEncoder, Folder};
use serde::Deserialize;

#[derive(Deserialize)]
struct Golden {
    query: String,
    passage: String,
    score: f32,
}

fn data() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cross_encoder")
}

/// The weights of a name, as the script makes them: a hash of name and place.
fn numbers(name: &str, count: usize) -> Vec<f32> {
    let hashed = name
        .bytes()
        .fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    (0..count as u32)
        .map(|place| {
            let mut x = hashed ^ place.wrapping_mul(0x9e37_79b1);
            x ^= x >> 16;
            x = x.wrapping_mul(0x85eb_ca6b);
            x ^= x >> 13;
            let value = (f64::from(x) / 4_294_967_296.0 - 0.5) as f32;
            if name.ends_with("LayerNorm.weight") { value * 0.2 + 1.0 } else { value }
        })
        .collect()
}

/// Every weight of the small model with its shape.
fn weights(labels: usize) -> Vec<(String, Vec<usize>)> {
    let (hidden, inner) = (32, 48);
    let mut all = vec![
        ("bert.embeddings.word_embeddings.weight".to_owned(), vec![62, hidden]),
        ("bert.embeddings.position_embeddings.weight".to_owned(), vec![64, hidden]),
        ("bert.embeddings.token_type_embeddings.weight".to_owned(), vec![2, hidden]),
    ];
    let dense = |all: &mut Vec<_>, name: String, inputs: usize, outputs: usize| {
        all.push((format!("{name}.weight"), vec![outputs, inputs]));
        all.push((format!("{name}.bias"), vec![outputs]));
    };
    let norm = |all: &mut Vec<_>, name: String| {
        all.push((format!("{name}.weight"), vec![hidden]));
        all.push((format!("{name}.bias"), vec![hidden]));
    };
    norm(&mut all, "bert.embeddings.LayerNorm".to_owned());
    for layer in 0..3 {
        let at = format!("bert.encoder.layer.{layer}");
        for part in ["attention.self.query", "attention.self.key", "attention.self.value"] {
            dense(&mut all, format!("{at}.{part}"), hidden, hidden);
        }
        dense(&mut all, format!("{at}.attention.output.dense"), hidden, hidden);
        norm(&mut all, format!("{at}.attention.output.LayerNorm"));
        dense(&mut all, format!("{at}.intermediate.dense"), hidden, inner);
        dense(&mut all, format!("{at}.output.dense"), inner, hidden);
        norm(&mut all, format!("{at}.output.LayerNorm"));
    }
    dense(&mut all, "bert.pooler.dense".to_owned(), hidden, hidden);
    dense(&mut all, "classifier".to_owned(), hidden, labels);
    all
}

/// A model folder of these weights.
fn folder(weights: &[(String, Vec<usize>)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for file in ["config.json", "tokenizer.json"] {
        std::fs::copy(data().join(file), folder.path().join(file)).unwrap();
    }
    let (mut table, mut bytes) = (serde_json::Map::new(), Vec::<u8>::new());
    for (name, shape) in weights {
        let begin = bytes.len();
        let values = numbers(name, shape.iter().product());
        values.iter().for_each(|value| bytes.extend(value.to_le_bytes()));
        let entry = serde_json::json!({
            "dtype": "F32", "shape": shape, "data_offsets": [begin, bytes.len()]
        });
        table.insert(name.clone(), entry);
    }
    let table = serde_json::to_vec(&table).unwrap();
    let mut file = (table.len() as u64).to_le_bytes().to_vec();
    file.extend(table);
    file.extend(bytes);
    std::fs::write(folder.path().join("model.safetensors"), file).unwrap();
    folder
}

#[test]
fn scores_are_those_of_the_reference() {
    let golden = std::fs::read_to_string(data().join("golden.json")).unwrap();
    let golden: Vec<Golden> = serde_json::from_str(&golden).unwrap();
    let folder = folder(&weights(1));
    let opened = Folder::open_cross_encoder(folder.path()).unwrap();
    // The reference cuts pairs to 40 pieces.
    let model = CrossEncoder::load(&opened, 40).unwrap();
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
