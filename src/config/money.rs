//! What do models cost, what do their providers allow, and what may be spent?

use std::collections::BTreeMap;

use quaestor_backends::models::prices;
use quaestor_core::budgets::DefaultBudgets;
use quaestor_core::model::Budget;
use quaestor_core::ports::provider_limits::ProviderQuota;
use serde::{Deserialize, Deserializer, Serialize};

/// Millionths in one.
const MICROS: f64 = 1_000_000.0;
/// Nothing costs this much per million tokens; a larger number is a mistake.
const DEAREST: f64 = 1_000_000.0;

/// The `[models.prices]` tables, by `provider:model`.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(transparent)]
pub struct Prices(Option<BTreeMap<String, Price>>);

/// What a model costs, in whole units of the currency per million tokens, as providers
/// publish it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Price {
    input: f64,
    #[serde(default)]
    cached_input: Option<f64>,
    #[serde(default)]
    output: f64,
}

impl<'de> Deserialize<'de> for Prices {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let prices = Option::<BTreeMap<String, Price>>::deserialize(deserializer)?;
        for (model, price) in prices.iter().flatten() {
            if !model.contains(':') {
                return Err(serde::de::Error::custom(format!(
                    "`{model}` is no model: prices are those of `<provider>:<model>`"
                )));
            }
            let all = [Some(price.input), price.cached_input, Some(price.output)];
            if let Some(wrong) =
                all.into_iter().flatten().find(|price| !(0.0..=DEAREST).contains(price))
            {
                return Err(serde::de::Error::custom(format!(
                    "`{wrong}` is no price of `{model}` per million tokens"
                )));
            }
        }
        Ok(Self(prices))
    }
}

impl Prices {
    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.as_ref().is_none_or(BTreeMap::is_empty)
    }

    /// Whether a model has a price.
    #[must_use]
    pub fn knows(&self, model: &str) -> bool {
        self.0.as_ref().is_some_and(|prices| prices.contains_key(model))
    }

    /// The prices as they are reckoned with.
    #[must_use]
    pub fn reckoned(&self) -> prices::Prices {
        let by_model = self.0.iter().flatten().map(|(model, price)| {
            let price = prices::Price {
                input: micros(price.input),
                cached_input: price.cached_input.map(micros),
                output: micros(price.output),
            };
            (model.clone(), price)
        });
        prices::Prices::new(by_model.collect())
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it was checked")]
fn micros(price: f64) -> u64 {
    (price * MICROS).round() as u64
}

/// The `[models.limits]` tables, by `provider` or `provider:model`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Limits(Option<BTreeMap<String, Limit>>);

/// What a provider allows a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Limit {
    #[serde(default)]
    requests_per_minute: Option<u32>,
    #[serde(default)]
    tokens_per_minute: Option<u32>,
}

impl Limits {
    /// What holds for a model: what is said of it, or of its provider, with the name under
    /// which it is counted. None where nothing is said.
    #[must_use]
    pub fn of(&self, model: &str) -> Option<(&str, ProviderQuota)> {
        let limits = self.0.as_ref()?;
        let provider = model.split(':').next().unwrap_or(model);
        let (name, limit) =
            limits.get_key_value(model).or_else(|| limits.get_key_value(provider))?;
        let quota = ProviderQuota {
            requests_per_minute: limit.requests_per_minute,
            tokens_per_minute: limit.tokens_per_minute,
        };
        quota.counts().then_some((name, quota))
    }
}

/// The `[budgets]` section: what holds where no budget was set over the API.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Budgets {
    /// Of each workspace.
    pub workspace: Budget,
    /// Of each principal.
    pub principal: Budget,
}

impl Budgets {
    /// The budgets as they are looked after.
    #[must_use]
    pub fn defaults(&self) -> DefaultBudgets {
        DefaultBudgets { workspace: self.workspace, principal: self.principal }
    }
}

#[cfg(test)]
mod tests {
    use quaestor_core::model::Usage;

    use super::*;

    #[test]
    fn a_price_is_what_providers_publish() {
        let text = "[\"openai:m\"]\ninput = 0.25\noutput = 2\n";
        let prices: Prices = toml::from_str(text).unwrap();
        let usage = Usage { input_tokens: 1_000_000, output_tokens: 500_000, ..Usage::default() };
        assert_eq!(prices.reckoned().cost("openai:m", &usage), 1_250_000);
        for wrong in [
            "[m]\ninput = 1",
            "[\"a:m\"]\ninput = -1",
            "[\"a:m\"]\ninput = 1e9",
            "[\"a:m\"]\ninptu = 1",
            "[\"a:m\"]\noutput = 1",
        ] {
            assert!(toml::from_str::<Prices>(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_models_own_limit_comes_before_its_providers() {
        let text = "[openai]\nrequests_per_minute = 5\n[\"openai:m\"]\ntokens_per_minute = 9\n";
        let limits: Limits = toml::from_str(text).unwrap();
        assert_eq!(limits.of("openai:m").unwrap().0, "openai:m");
        assert_eq!(limits.of("openai:n").unwrap().1.requests_per_minute, Some(5));
        assert_eq!(limits.of("anthropic:n"), None);
        assert_eq!(Limits::default().of("openai:m"), None);
    }
}
