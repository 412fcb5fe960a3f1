//! How well are answers grounded? The configured chat model is asked as a user asks it:
//! over HTTP, by the server's own steps.

use anyhow::Context as _;
use quaestor_core::model::{Citation, Conversation, FigureStatus, Message, MessageState};
use serde::Serialize;
use serde_json::json;

use super::dataset::{Dataset, Judged, JudgedSet, Unit};
use super::load::Loaded;
use crate::cli::{Client, ask_once};

/// What came of asking a set's questions.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct Grounding {
    /// Questions that were asked.
    pub(super) asked: u32,
    /// Those that were answered.
    pub(super) answered: u32,
    /// Those whose answer cites something.
    pub(super) cited: u32,
    /// Of an answer's citations, the share that points at what is judged right: the mean
    /// over the answers that cite.
    pub(super) citation_precision: f64,
    /// Of what is judged right, the share that the answer cites: the mean over all
    /// questions.
    pub(super) citation_recall: f64,
    /// Figures in all answers.
    pub(super) figures: u32,
    /// Those that stand in a cited passage, or follow from what stands there.
    pub(super) figures_supported: u32,
    /// Who answered.
    pub(super) model: Option<String>,
    #[serde(skip)]
    precisions: f64,
    #[serde(skip)]
    recalls: f64,
}

impl Grounding {
    fn add(&mut self, message: &Message, cited: &[u32], right: &[(u32, u32)]) {
        self.asked += 1;
        if message.state != MessageState::Done {
            return;
        }
        self.answered += 1;
        self.model.clone_from(&message.model);
        let is_right = |at: &&u32| right.iter().any(|(known, _)| known == *at);
        if !cited.is_empty() {
            self.cited += 1;
            self.precisions += cited.iter().filter(is_right).count() as f64 / cited.len() as f64;
        }
        let found = right.iter().filter(|(known, _)| cited.contains(known)).count();
        self.recalls += found as f64 / right.len().max(1) as f64;
        for figure in &message.figures {
            self.figures += 1;
            self.figures_supported += u32::from(figure.status != FigureStatus::Unsupported);
        }
    }

    fn mean(mut self) -> Self {
        self.citation_precision = self.precisions / f64::from(self.cited.max(1));
        self.citation_recall = self.recalls / f64::from(self.asked.max(1));
        self
    }
}

/// Asks the chosen questions of a set; `tell` hears how many are answered.
pub(super) async fn ask(
    client: &Client,
    dataset: &Dataset,
    loaded: &Loaded,
    set: &JudgedSet,
    chosen: &[usize],
    tell: &(dyn Fn(u64) + Sync),
) -> anyhow::Result<Grounding> {
    let mut grounding = Grounding::default();
    for (done, at) in (1..).zip(chosen) {
        let Judged { query, right } = &set.queries[*at];
        let query = &dataset.queries[*query as usize];
        // A conversation each: no question leans on the one before.
        let body = json!({ "collection_ids": [loaded.collection] });
        let conversation: Conversation =
            client.post_once("/api/conversations", &body, "beginning a conversation").await?;
        let answered = ask_once(client, conversation.id, &query.text, None)
            .await
            .with_context(|| format!("asking the question {}", query.id))?;
        let cited = answered.message.citations.iter();
        let cited: Vec<u32> =
            cited.filter_map(|citation| cited_place(citation, dataset, loaded, set.unit)).collect();
        grounding.add(&answered.message, &cited, right);
        tell(done);
    }
    Ok(grounding.mean())
}

/// The entry or document that a citation points at.
fn cited_place(citation: &Citation, dataset: &Dataset, loaded: &Loaded, unit: Unit) -> Option<u32> {
    let page = citation.page?.checked_sub(1)?;
    let (document, entry) = loaded.entry_of(dataset, citation.document_id, page)?;
    Some(match unit {
        Unit::Passages => entry,
        Unit::Documents => document,
    })
}
