//! The providers of models over HTTP, for admins: as the processes that call them see them.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use quaestor_core::ids::WorkerId;
use quaestor_core::model::{PROVIDERS_TOPIC, ProviderStatus};
use serde::Serialize;

use crate::app::App;
use crate::auth::Who;
use crate::problem::ApiError;

/// One process's view.
#[derive(Debug, Serialize)]
pub(super) struct Seen {
    process_id: WorkerId,
    #[serde(flatten)]
    status: ProviderStatus,
}

/// A model and operation, as all processes together see it.
#[derive(Debug, Serialize)]
pub(super) struct Provider {
    #[serde(flatten)]
    whole: ProviderStatus,
    /// What each process that calls it has seen.
    processes: Vec<Seen>,
}

/// All of them; a list without pages, as long as the chains in the configuration.
#[derive(Debug, Serialize)]
pub(super) struct Providers {
    items: Vec<Provider>,
    next: Option<()>,
}

pub(super) async fn list(State(app): State<App>, _: Who) -> Result<Json<Providers>, ApiError> {
    let notices = app.front.noticeboard.read(PROVIDERS_TOPIC).await?;
    let mut by_model: BTreeMap<(String, String), Vec<Seen>> = BTreeMap::new();
    for (process_id, notice) in notices {
        // A process of another version may tell what this one cannot read.
        let told: Vec<ProviderStatus> = serde_json::from_value(notice).unwrap_or_default();
        for status in told {
            let key = (status.model.clone(), status.operation.clone());
            by_model.entry(key).or_default().push(Seen { process_id, status });
        }
    }
    let items = by_model
        .into_values()
        .filter_map(|processes| {
            let statuses = processes.iter().map(|seen| seen.status.clone());
            let whole = statuses.reduce(ProviderStatus::together)?;
            Some(Provider { whole, processes })
        })
        .collect();
    Ok(Json(Providers { items, next: None }))
}
