//! How is each provider of models reached?

use secrecy::SecretString;
use serde::{Deserialize, Serialize};

use super::secret::hidden;

/// Where `OPENAI_BASE_URL` points unless it is set.
pub(super) const OPENAI_BASE_URL: &str = "https://api.openai.com/v1";

/// The `[models.openai]` section; any compatible server will do.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct OpenAi {
    /// The key (`OPENAI_API_KEY`).
    #[serde(serialize_with = "hidden")]
    pub api_key: Option<SecretString>,
    /// The address up to and with `/v1` (`OPENAI_BASE_URL`).
    pub base_url: String,
}

impl Default for OpenAi {
    fn default() -> Self {
        Self { api_key: None, base_url: OPENAI_BASE_URL.to_owned() }
    }
}

/// The `[models.azure]` section: one resource of Azure OpenAI. Of the credentials the
/// first in this order counts: key, token, application.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Azure {
    /// The resource's address (`AZURE_OPENAI_ENDPOINT`).
    pub endpoint: Option<String>,
    /// A key of the resource (`AZURE_OPENAI_API_KEY`).
    #[serde(serialize_with = "hidden")]
    pub api_key: Option<SecretString>,
    /// `v1`, or the date of an older interface (`AZURE_OPENAI_API_VERSION`).
    pub api_version: String,
    /// A token of Entra that somebody else renews (`AZURE_OPENAI_AD_TOKEN`).
    #[serde(serialize_with = "hidden")]
    pub ad_token: Option<SecretString>,
    /// The directory of an application (`AZURE_TENANT_ID`).
    pub tenant_id: Option<String>,
    /// The application's id (`AZURE_CLIENT_ID`).
    pub client_id: Option<String>,
    /// The application's secret (`AZURE_CLIENT_SECRET`).
    #[serde(serialize_with = "hidden")]
    pub client_secret: Option<SecretString>,
    /// The service that gives the application its tokens (`AZURE_AUTHORITY_HOST`).
    pub authority_host: String,
}

impl Default for Azure {
    fn default() -> Self {
        Self {
            endpoint: None,
            api_key: None,
            api_version: "v1".to_owned(),
            ad_token: None,
            tenant_id: None,
            client_id: None,
            client_secret: None,
            authority_host: "https://login.microsoftonline.com".to_owned(),
        }
    }
}

/// The `[models.anthropic]` section.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Anthropic {
    /// The key (`ANTHROPIC_API_KEY`).
    #[serde(serialize_with = "hidden")]
    pub api_key: Option<SecretString>,
    /// The address without the version (`ANTHROPIC_BASE_URL`).
    pub base_url: String,
}

impl Default for Anthropic {
    fn default() -> Self {
        Self { api_key: None, base_url: "https://api.anthropic.com".to_owned() }
    }
}

/// A `[models.servers.<name>]` section: a server that speaks OpenAI's protocol.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CompatibleServer {
    /// The address up to and with `/v1`.
    pub base_url: String,
    /// The key, where the server asks for one.
    #[serde(serialize_with = "hidden")]
    pub api_key: Option<SecretString>,
}
