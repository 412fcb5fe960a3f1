//! What counts how much?
//!
//! Tuned on the retrieval sets and questions that `benches/retrieval` reads, never on a
//! single question; that package prints the scores for any change.

/// The weights of the parts of a score.
#[derive(Clone, Debug, PartialEq)]
pub struct Weights {
    /// BM25: how soon repetition stops counting.
    pub k1: f32,
    /// BM25: the fields' weights (document, section, header, text).
    pub fields: [f32; 4],
    /// BM25: how much a field's length counts, by field.
    pub field_b: [f32; 4],
    /// What terms that only say a time count, beside others: the periods are compared
    /// as such too.
    pub time_terms: f32,
    /// What a pair of neighbours of the question adds, in parts of the rarer one's IDF.
    pub neighbours: f32,
    /// What is lost where none of the question's terms are covered.
    pub coverage: f32,
    /// The share of similarity in meaning; the rest is words.
    pub meaning: f32,
    /// The same where a figure is asked for: embeddings tell little of tables.
    pub meaning_of_figures: f32,
    /// What is added where the document is the one that the question names.
    pub named_document: f32,
    /// What is added where the document's name says the quarter that the question says.
    pub document_period: f32,
    /// What is added where the latest is asked for, and the document is.
    pub latest_document: f32,
    /// What is added or taken where the passage's period fits or contradicts.
    pub period: f32,
    /// What is added to rows of tables where a figure is asked for.
    pub table: f32,
    /// Where a figure is asked for, one in so many places is kept for rows of tables; none
    /// where it is 0.
    pub table_share: usize,
}

impl Weights {
    /// Meaning and nothing else, for measurements.
    #[must_use]
    pub fn meaning_alone() -> Self {
        Self {
            meaning: 1.0,
            meaning_of_figures: 1.0,
            named_document: 0.0,
            document_period: 0.0,
            latest_document: 0.0,
            period: 0.0,
            table: 0.0,
            table_share: 0,
            ..Self::default()
        }
    }
}

impl Default for Weights {
    fn default() -> Self {
        Self {
            k1: 0.9,
            fields: [0.6, 0.5, 0.8, 1.0],
            field_b: [0.0, 0.2, 0.3, 0.5],
            time_terms: 0.7,
            neighbours: 0.6,
            coverage: 0.3,
            meaning: 0.5,
            meaning_of_figures: 0.25,
            named_document: 0.25,
            document_period: 0.25,
            latest_document: 0.25,
            period: 0.25,
            table: 0.2,
            table_share: 3,
        }
    }
}
