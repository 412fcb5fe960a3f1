//! The small cross-encoder that `make_golden.py` makes: its weights follow from their names.

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
pub(crate) fn weights(labels: usize) -> Vec<(String, Vec<usize>)> {
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
pub(crate) fn folder(weights: &[(String, Vec<usize>)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("config.json"), include_str!("config.json")).unwrap();
    std::fs::write(folder.path().join("tokenizer.json"), include_str!("tokenizer.json")).unwrap();
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
