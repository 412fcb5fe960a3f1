//! Vectors and scores that follow from the words of a text, so that like texts are alike.

/// A vector of unit length: each word adds to the places that its letters choose.
pub(crate) fn vector(text: &str, dimensions: usize) -> Vec<f32> {
    let mut vector = vec![0.0_f32; dimensions.max(1)];
    // A text without words still has a direction.
    vector[0] = 0.1;
    for word in words(text) {
        let hash = fnv(&word);
        let place = usize::try_from(hash % vector.len() as u64).unwrap_or(0);
        vector[place] += if hash & (1 << 40) == 0 { 1.0 } else { -1.0 };
    }
    let length = vector.iter().map(|x| x * x).sum::<f32>().sqrt();
    if length > 0.0 {
        vector.iter_mut().for_each(|x| *x /= length);
    } else {
        vector[0] = 1.0;
    }
    vector
}

/// The share of the query's words that the passage has.
pub(crate) fn score(query: &str, passage: &str) -> f32 {
    let passage: Vec<String> = words(passage).collect();
    let (mut found, mut all) = (0_u16, 0_u16);
    for word in words(query) {
        all = all.saturating_add(1);
        found = found.saturating_add(u16::from(passage.contains(&word)));
    }
    if all == 0 { 0.0 } else { f32::from(found) / f32::from(all) }
}

fn words(text: &str) -> impl Iterator<Item = String> {
    text.split(|c: char| !c.is_alphanumeric())
        .filter(|word| !word.is_empty())
        .map(str::to_lowercase)
}

fn fnv(word: &str) -> u64 {
    word.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}
