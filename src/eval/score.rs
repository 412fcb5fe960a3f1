//! How good is a ranking? Measures as `trec_eval` defines them, for one query each.

use serde::Serialize;

/// The measures of one query, or their means over several.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub(super) struct Scores {
    /// Of what is right, the share among the first 5.
    pub(super) recall_5: f64,
    /// And among the first 10.
    pub(super) recall_10: f64,
    /// Whether anything right is among the first 5.
    pub(super) hit_5: f64,
    /// And among the first 10.
    pub(super) hit_10: f64,
    /// Discounted cumulative gain of the first 5 over the best possible one (Järvelin and
    /// Kekäläinen, 2002), the gain being the grade.
    pub(super) ndcg_5: f64,
    /// And of the first 10.
    pub(super) ndcg_10: f64,
    /// One over the place of the first that is right, among the first 5; else 0.
    pub(super) mrr_5: f64,
    /// And among the first 10.
    pub(super) mrr_10: f64,
}

impl Scores {
    /// The measures of a ranking without repetitions, best first; `right` holds each right
    /// one with its grade.
    pub(super) fn of(ranking: &[u32], right: &[(u32, u32)]) -> Self {
        let grades: Vec<u32> = ranking
            .iter()
            .take(10)
            .map(|at| right.iter().find(|(known, _)| known == at).map_or(0, |(_, grade)| *grade))
            .collect();
        let mut ideal: Vec<u32> = right.iter().map(|(_, grade)| *grade).collect();
        ideal.sort_unstable_by(|one, two| two.cmp(one));
        let found = |k: usize| grades.iter().take(k).filter(|grade| **grade > 0).count();
        let recall = |k| found(k) as f64 / right.len().max(1) as f64;
        let hit = |k| if found(k) > 0 { 1.0 } else { 0.0 };
        let ndcg = |k: usize| {
            let best = gain(&ideal[..ideal.len().min(k)]);
            if best > 0.0 { gain(&grades[..grades.len().min(k)]) / best } else { 0.0 }
        };
        let first = grades.iter().position(|grade| *grade > 0);
        let mrr = |k| first.filter(|at| *at < k).map_or(0.0, |at| 1.0 / (at + 1) as f64);
        Self {
            recall_5: recall(5),
            recall_10: recall(10),
            hit_5: hit(5),
            hit_10: hit(10),
            ndcg_5: ndcg(5),
            ndcg_10: ndcg(10),
            mrr_5: mrr(5),
            mrr_10: mrr(10),
        }
    }

    fn each(&mut self, other: &Self, with: impl Fn(&mut f64, f64)) {
        with(&mut self.recall_5, other.recall_5);
        with(&mut self.recall_10, other.recall_10);
        with(&mut self.hit_5, other.hit_5);
        with(&mut self.hit_10, other.hit_10);
        with(&mut self.ndcg_5, other.ndcg_5);
        with(&mut self.ndcg_10, other.ndcg_10);
        with(&mut self.mrr_5, other.mrr_5);
        with(&mut self.mrr_10, other.mrr_10);
    }
}

fn gain(grades: &[u32]) -> f64 {
    grades
        .iter()
        .enumerate()
        .map(|(place, grade)| f64::from(*grade) / (place as f64 + 2.0).log2())
        .sum()
}

/// Sums up scores.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Mean {
    sum: Scores,
    count: u32,
}

impl Mean {
    /// Takes in the scores of one query.
    pub(super) fn add(&mut self, scores: &Scores) {
        self.sum.each(scores, |sum, value| *sum += value);
        self.count += 1;
    }

    /// How many queries were taken in.
    pub(super) fn count(&self) -> u32 {
        self.count
    }

    /// The means; zeros where there was no query.
    pub(super) fn scores(&self) -> Scores {
        let count = f64::from(self.count.max(1));
        let mut mean = self.sum;
        mean.each(&Scores::default(), |sum, _| *sum /= count);
        mean
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_measures_are_those_of_trec_eval() {
        // Worked by hand: right at places 2 and 6, a third one is never found.
        let scores = Scores::of(&[9, 1, 8, 7, 6, 2, 5], &[(1, 1), (2, 1), (3, 1)]);
        let close = |one: f64, two: f64| assert!((one - two).abs() < 1e-4, "{one} {two}");
        close(scores.recall_5, 1.0 / 3.0);
        close(scores.recall_10, 2.0 / 3.0);
        close(scores.mrr_5, 0.5);
        close(scores.hit_5, 1.0);
        // (0.63093 + 0.35621) / (1 + 0.63093 + 0.5)
        close(scores.ndcg_10, 0.46325);
        close(scores.ndcg_5, 0.29609);
        let graded = Scores::of(&[1, 2], &[(1, 1), (2, 3)]);
        // (1 + 3 * 0.63093) / (3 + 0.63093)
        close(graded.ndcg_10, 0.79671);
        assert_eq!(Scores::of(&[4], &[(1, 1)]), Scores::default());
        assert_eq!(Scores::of(&[9, 8, 7, 6, 5, 1], &[(1, 1)]).mrr_5, 0.0);
    }

    #[test]
    fn a_mean_is_over_all_queries() {
        let mut mean = Mean::default();
        mean.add(&Scores::of(&[1], &[(1, 1)]));
        mean.add(&Scores::default());
        assert_eq!((mean.count(), mean.scores().ndcg_10), (2, 0.5));
    }
}
