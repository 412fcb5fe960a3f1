//! Tokens of Microsoft Entra for an application, by its secret.
//!
//! <https://learn.microsoft.com/entra/identity-platform/v2-oauth2-client-creds-grant-flow>

use std::time::Duration;

use quaestor_core::clock::Time;
use quaestor_core::ports::model_error::ModelError;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use tokio::sync::Mutex;

use super::Application;
use crate::models::wire::Remote;

/// What a token for Azure's models is asked for.
const SCOPE: &str = "https://cognitiveservices.azure.com/.default";

/// A token is renewed this long before its end, or at the half of its time if that is less.
const MARGIN: Duration = Duration::from_secs(300);

/// A token that is kept until shortly before its end.
pub(super) struct Tokens {
    application: Application,
    remote: Remote,
    /// Held while a token is got, so that many requests get one.
    kept: Mutex<Option<Kept>>,
}

struct Kept {
    token: SecretString,
    until: Time,
}

#[derive(Deserialize)]
struct Granted {
    access_token: SecretString,
    #[serde(default)]
    expires_in: u64,
}

impl Tokens {
    pub(super) fn new(application: Application, remote: Remote) -> Self {
        Self { application, remote, kept: Mutex::default() }
    }

    /// A token that is good now.
    pub(super) async fn token(&self) -> Result<SecretString, ModelError> {
        let mut kept = self.kept.lock().await;
        let now = self.remote.clock().now();
        if let Some(kept) = kept.as_ref().filter(|kept| now < kept.until) {
            return Ok(kept.token.clone());
        }
        let granted = self.granted().await.map_err(|error| {
            let reason = format!("getting a token from the authority: {}", error.reason);
            error.because(reason)
        })?;
        let life = Duration::from_secs(granted.expires_in);
        let until = now + life.saturating_sub(MARGIN).max(life / 2);
        *kept = Some(Kept { token: granted.access_token.clone(), until });
        Ok(granted.access_token)
    }

    /// The next request gets a new token.
    pub(super) async fn forget(&self) {
        *self.kept.lock().await = None;
    }

    async fn granted(&self) -> Result<Granted, ModelError> {
        let application = &self.application;
        let url = format!(
            "{}/{}/oauth2/v2.0/token",
            application.authority.trim_end_matches('/'),
            application.tenant
        );
        let fields = [
            ("grant_type", "client_credentials"),
            ("client_id", application.client.as_str()),
            ("client_secret", application.secret.expose_secret()),
            ("scope", SCOPE),
        ];
        self.remote.post_form(&url, &fields).await?.json().await
    }
}
