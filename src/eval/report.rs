//! What is told of an evaluation, to people as a table and to programs as JSON.

use serde::Serialize;

use super::answers::Grounding;
use super::dataset::Unit;
use super::search::{Row, Scope, Way};
use crate::cli::{Style, Terminal, plain};

/// A whole evaluation.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    /// The folder, as it was named.
    pub(super) dataset: String,
    /// Entries of the corpus.
    pub(super) entries: usize,
    /// Documents that they belong to.
    pub(super) documents: usize,
    /// Passages that they were cut into.
    pub(super) passages: u64,
    /// Who made the vectors.
    pub(super) embedder: Option<String>,
    /// Who put passages in order.
    pub(super) reranker: Option<String>,
    /// Why nobody made vectors.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) without: Option<String>,
    /// One for each file of judgements.
    pub(super) sets: Vec<SetReport>,
}

/// What is told of one file of judgements.
#[derive(Debug, Serialize)]
pub(super) struct SetReport {
    /// Its name.
    pub(super) set: String,
    /// What it judges.
    pub(super) unit: Unit,
    /// Search, by scope and way.
    pub(super) rows: Vec<Row>,
    /// Answers, where any were asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) answers: Option<Grounding>,
}

impl Report {
    /// Prints the tables.
    pub(super) fn print(&self, terminal: &Terminal) -> std::io::Result<()> {
        terminal.line(&format!(
            "{}: {} entries of {} documents, {} passages",
            plain(&self.dataset),
            self.entries,
            self.documents,
            self.passages
        ))?;
        match (&self.embedder, &self.without) {
            (Some(model), _) => terminal.line(&format!("vectors by {}", plain(model)))?,
            (None, Some(why)) => terminal.line(&format!("no vectors: {}", plain(why)))?,
            (None, None) => {}
        }
        if let Some(model) = &self.reranker {
            terminal.line(&format!("reranked by {}", plain(model)))?;
        }
        for set in &self.sets {
            set.print(terminal)?;
        }
        Ok(())
    }
}

impl SetReport {
    fn print(&self, terminal: &Terminal) -> std::io::Result<()> {
        let unit = match self.unit {
            Unit::Passages => "passages are judged",
            Unit::Documents => "documents are judged",
        };
        terminal.line("")?;
        let name = terminal.paint(Style::Bold, &plain(&self.set));
        terminal.line(&format!("{name}, {unit}"))?;
        let heads = [
            "queries",
            "nDCG@10",
            "nDCG@5",
            "recall@10",
            "recall@5",
            "hit@10",
            "hit@5",
            "MRR@10",
            "MRR@5",
            "halves",
        ];
        let heads: Vec<String> = heads.iter().map(|head| format!("{head:>9}")).collect();
        let head = format!("{:<10} {:<8}{}", "scope", "by", heads.join(" "));
        terminal.line(&terminal.paint(Style::Dim, &head))?;
        for row in &self.rows {
            terminal.line(&line(row))?;
        }
        let left: u64 = self.rows.iter().map(|row| row.not_reranked).sum();
        if left > 0 {
            let told = format!("the reranker failed or was too slow in {left} searches");
            terminal.line(&terminal.paint(Style::Yellow, &told))?;
        }
        let Some(answers) = &self.answers else { return Ok(()) };
        let model = answers.model.as_deref().map_or(String::new(), |m| format!(" by {}", plain(m)));
        terminal.line(&format!(
            "answers{model}: {} asked, {} answered, {} cite; citation precision {:.3}, recall \
             {:.3}; figures {} of {} supported",
            answers.asked,
            answers.answered,
            answers.cited,
            answers.citation_precision,
            answers.citation_recall,
            answers.figures_supported,
            answers.figures
        ))
    }
}

fn line(row: &Row) -> String {
    let scope = match row.scope {
        Scope::Global => "global",
        Scope::Collection => "collection",
        Scope::Document => "document",
    };
    let way = match row.way {
        Way::Words => "words",
        Way::Meaning => "meaning",
        Way::Fused => "fused",
        Way::Reranked => "reranked",
    };
    let of = &row.scores;
    let cells = [
        of.ndcg_10,
        of.ndcg_5,
        of.recall_10,
        of.recall_5,
        of.hit_10,
        of.hit_5,
        of.mrr_10,
        of.mrr_5,
    ];
    let cells: Vec<String> = cells.iter().map(|cell| format!("{cell:>9.3}")).collect();
    let [one, other] = row.ndcg_10_halves;
    format!("{scope:<10} {way:<8}{:>9} {} {one:>5.3}/{other:.3}", row.queries, cells.join(" "))
}
