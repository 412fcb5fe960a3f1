//! What a table comes to: how many records, and a number that any difference changes.
//!
//! A record's SHA-256 is taken over a form that both databases give alike. The sum of all
//! of them does not depend on the order in which a database lists its rows, and counts a
//! row that is there twice.

use std::fmt;

use sha2::{Digest as _, Sha256};

use crate::ports::store::{Record, Value};

/// The sum of the SHA-256 of records, lane by lane.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Digest([u64; 4]);

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|lane| write!(f, "{lane:016x}"))
    }
}

/// Records, counted and summed up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// How many.
    pub records: u64,
    /// Their sum.
    pub digest: Digest,
}

impl Tally {
    /// Adds a record. Returns its own digest.
    pub fn add(&mut self, record: &Record) -> Digest {
        let one = digest(record);
        self.records += 1;
        for (sum, lane) in self.digest.0.iter_mut().zip(one.0) {
            *sum = sum.wrapping_add(lane);
        }
        one
    }
}

fn digest(record: &Record) -> Digest {
    let mut hash = Sha256::new();
    hash.update(record.table.name());
    for value in &record.values {
        add(&mut hash, value);
    }
    let bytes = hash.finalize();
    let mut lanes = [0; 4];
    for (lane, bytes) in lanes.iter_mut().zip(bytes.as_chunks::<8>().0) {
        *lane = u64::from_le_bytes(*bytes);
    }
    Digest(lanes)
}

/// Each value with its kind and its length, so that no two lists of values are the same
/// bytes.
fn add(hash: &mut Sha256, value: &Value) {
    let mut put = |kind: u8, bytes: &[u8]| {
        hash.update([kind]);
        hash.update((bytes.len() as u64).to_le_bytes());
        hash.update(bytes);
    };
    match value {
        Value::Null => put(0, &[]),
        Value::Id(id) => put(1, id.as_bytes()),
        // PostgreSQL keeps no NUL: the same text there has this in its place.
        Value::Text(text) if text.contains('\0') => {
            put(2, text.replace('\0', "\u{fffd}").as_bytes());
        }
        Value::Text(text) => put(2, text.as_bytes()),
        Value::Integer(number) => put(3, &number.to_le_bytes()),
        Value::Boolean(truth) => put(4, &[u8::from(*truth)]),
        Value::Bytes(bytes) => put(5, bytes),
        Value::Day(day) => put(6, day.to_string().as_bytes()),
        Value::Floats(floats) => {
            let bytes: Vec<u8> = floats.iter().flat_map(|value| value.to_le_bytes()).collect();
            put(7, &bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ports::store::Table;

    fn tally(records: &[Vec<Value>]) -> Tally {
        let mut tally = Tally::default();
        for values in records {
            tally.add(&Record { table: Table::Vectors, values: values.clone() });
        }
        tally
    }

    fn text(text: &str) -> Value {
        Value::Text(text.to_owned())
    }

    #[test]
    fn the_order_of_rows_does_not_count_and_their_number_does() {
        let (a, b) = (vec![text("a")], vec![text("b")]);
        assert_eq!(tally(&[a.clone(), b.clone()]), tally(&[b.clone(), a.clone()]));
        assert_ne!(tally(&[a.clone(), a.clone()]), tally(&[b.clone(), b.clone()]));
        assert_ne!(tally(&[a.clone(), a.clone()]).digest, tally(&[]).digest);
        assert_ne!(tally(&[a]), tally(&[b]));
    }

    #[test]
    fn values_do_not_run_into_one_another() {
        assert_ne!(tally(&[vec![text("ab"), text("c")]]), tally(&[vec![text("a"), text("bc")]]));
        assert_ne!(tally(&[vec![text("")]]), tally(&[vec![Value::Null]]));
        assert_ne!(tally(&[vec![Value::Boolean(true)]]), tally(&[vec![Value::Integer(1)]]));
    }

    #[test]
    fn a_float_counts_bit_for_bit_and_a_nul_as_what_takes_its_place() {
        let floats = |value| vec![Value::Floats(vec![value])];
        assert_ne!(tally(&[floats(0.0)]), tally(&[floats(-0.0)]));
        assert_ne!(tally(&[floats(0.1)]), tally(&[floats(f32::from_bits(0.1_f32.to_bits() + 1))]));
        assert_eq!(tally(&[vec![text("a\0b")]]), tally(&[vec![text("a\u{fffd}b")]]));
    }
}
