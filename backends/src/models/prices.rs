//! What does a request to a model cost? Asked in one place, where it is written down.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use quaestor_core::model::Usage;

/// The price of a model's tokens, in millionths of the currency per million tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Price {
    /// Of what is sent.
    pub input: u64,
    /// Of what is sent and the provider had kept; as `input` where there is no such price.
    pub cached_input: Option<u64>,
    /// Of what is written.
    pub output: u64,
}

/// The prices of models by their names, `provider:model`. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Prices {
    by_model: Arc<BTreeMap<String, Price>>,
    /// Models that were asked for and have no price.
    unknown: Arc<Mutex<BTreeSet<String>>>,
}

/// Models without a price that are remembered as told.
const MOST_TOLD: usize = 1_000;

impl Prices {
    /// Prices by model.
    #[must_use]
    pub fn new(by_model: BTreeMap<String, Price>) -> Self {
        Self { by_model: Arc::new(by_model), unknown: Arc::default() }
    }

    /// The price of a model, where it has one.
    #[must_use]
    pub fn of(&self, model: &str) -> Option<Price> {
        self.by_model.get(model).copied()
    }

    /// What a request cost, in millionths of the currency. Parts of a millionth count as a
    /// whole one: a budget lets through no more than it says. A model without a price costs
    /// 0, which is logged once.
    #[must_use]
    pub fn cost(&self, model: &str, usage: &Usage) -> u64 {
        if let Some(price) = self.by_model.get(model) {
            return price.cost(usage);
        }
        if usage.input_tokens + usage.output_tokens > 0 && self.is_news(model) {
            tracing::warn!(
                model,
                "{model} has no price and is counted as free: set models.prices.\"{model}\""
            );
        }
        0
    }

    fn is_news(&self, model: &str) -> bool {
        // What computes here costs nothing that a price could say.
        if self.by_model.is_empty() || model.starts_with("offline") {
            return false;
        }
        let mut told = self.unknown.lock().unwrap_or_else(PoisonError::into_inner);
        told.len() < MOST_TOLD && told.insert(model.to_owned())
    }
}

impl Price {
    fn cost(&self, usage: &Usage) -> u64 {
        let price = |tokens: u64, price: u64| u128::from(tokens) * u128::from(price);
        // A provider that says more was kept than was sent is not believed.
        let kept = usage.cached_tokens.min(usage.input_tokens);
        let sum = price(usage.input_tokens - kept, self.input)
            + price(kept, self.cached_input.unwrap_or(self.input))
            + price(usage.output_tokens, self.output);
        u64::try_from(sum.div_ceil(1_000_000)).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prices() -> Prices {
        let price = Price { input: 250_000, cached_input: Some(25_000), output: 2_000_000 };
        Prices::new(BTreeMap::from([("openai:m".to_owned(), price)]))
    }

    fn usage(input_tokens: u64, output_tokens: u64) -> Usage {
        Usage { input_tokens, output_tokens, ..Usage::default() }
    }

    #[test]
    fn tokens_are_counted_by_the_million() {
        let cost = |input, output| prices().cost("openai:m", &usage(input, output));
        assert_eq!(cost(1_000_000, 0), 250_000);
        assert_eq!(cost(0, 1_000_000), 2_000_000);
        assert_eq!(cost(1_200, 300), 300 + 600);
        let kept = Usage { cached_tokens: 1_000, ..usage(1_200, 0) };
        assert_eq!(prices().cost("openai:m", &kept), 50 + 25);
        // A part of a millionth is a whole one.
        assert_eq!(cost(1, 0), 1);
        assert_eq!(cost(0, 0), 0);
        assert_eq!(cost(u64::MAX, u64::MAX), u64::MAX);
    }

    #[test]
    fn a_model_without_a_price_costs_nothing_that_was_invented() {
        assert_eq!(prices().cost("openai:other", &usage(1_000, 1_000)), 0);
        assert_eq!(Prices::default().cost("openai:m", &usage(1_000, 1_000)), 0);
    }
}
