//! Can the models that are named be reached with what is configured?

use reqwest::Url;
use secrecy::{ExposeSecret, SecretString};

use super::chain::{EmbedSetting, ModelAt, ProviderName};
use super::keys::nearest;
use super::models::{Models, documented};
use super::providers::OPENAI_BASE_URL;

/// A refusal by key. Servers have names of their own, and so have their keys.
type Refusal = (String, String);

/// Refuses a model that cannot be asked, with the key to set.
pub(super) fn check(models: &Models) -> Result<(), Refusal> {
    address("models.openai.base_url", &models.openai.base_url, OPENAI_BASE_URL)?;
    let example = "https://api.anthropic.com";
    address("models.anthropic.base_url", &models.anthropic.base_url, example)?;
    let example = "https://login.microsoftonline.com";
    address("models.azure.authority_host", &models.azure.authority_host, example)?;
    for (key, secret) in [
        ("models.openai.api_key", &models.openai.api_key),
        ("models.anthropic.api_key", &models.anthropic.api_key),
        ("models.azure.api_key", &models.azure.api_key),
        ("models.azure.ad_token", &models.azure.ad_token),
    ] {
        sendable(key, secret.as_ref())?;
    }
    for (name, server) in &models.servers {
        let path = format!("models.servers.{name}");
        if !ProviderName::may_be_server(name) {
            let sentence = format!(
                "a server's name is small letters, digits and `_`, and none of {}",
                ProviderName::TAKEN.join(", ")
            );
            return Err((path, sentence));
        }
        address(&format!("{path}.base_url"), &server.base_url, "http://127.0.0.1:8000/v1")?;
        sendable(&format!("{path}.api_key"), server.api_key.as_ref())?;
    }
    for model in models.chat.models() {
        reachable(models, model, "models.chat")?;
    }
    for model in models.chat_cheap.iter().flat_map(|chain| chain.models()) {
        reachable(models, model, "models.chat_cheap")?;
    }
    if let EmbedSetting::At(model) = &models.embed {
        reachable(models, model, "models.embed")?;
        vectors(models, model)?;
    }
    for also in &models.embed_also {
        if let EmbedSetting::At(model) = &also.model {
            reachable(models, model, "models.embed_also")?;
        }
    }
    Ok(())
}

pub(super) fn refused<T>(key: &str, sentence: String) -> Result<T, Refusal> {
    Err((key.to_owned(), sentence))
}

pub(super) fn address(key: &str, text: &str, example: &str) -> Result<(), Refusal> {
    let Some(address) = Url::parse(text).ok().filter(|a| matches!(a.scheme(), "http" | "https"))
    else {
        return refused(key, format!("it is no address, such as {example}"));
    };
    // It is printed, and a secret in it would be too.
    if !address.username().is_empty() || address.password().is_some() {
        let sentence = "it holds a name or a password: keep them in the provider's key";
        return refused(key, sentence.to_owned());
    }
    Ok(())
}

/// A key that no header can hold was copied wrongly, and is not shown.
pub(super) fn sendable(key: &str, secret: Option<&SecretString>) -> Result<(), Refusal> {
    let fits = |secret: &SecretString| {
        secret.expose_secret().bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ')
    };
    if secret.is_some_and(|secret| !fits(secret)) {
        let sentence = "it holds characters that no key has, such as a line's end: copy it anew";
        return refused(key, sentence.to_owned());
    }
    Ok(())
}

fn reachable(models: &Models, model: &ModelAt, user: &str) -> Result<(), Refusal> {
    match &model.provider {
        ProviderName::OpenAi => {
            // Another server behind the address may well ask for no key.
            let openai = &models.openai;
            if openai.api_key.is_none() && openai.base_url == OPENAI_BASE_URL {
                let sentence = format!(
                    "`{user}` names `openai`, which needs a key: set OPENAI_API_KEY, or \
                     OPENAI_BASE_URL to a server of yours"
                );
                return refused("models.openai.api_key", sentence);
            }
        }
        ProviderName::Anthropic => {
            if models.anthropic.api_key.is_none() {
                let sentence =
                    format!("`{user}` names `anthropic`, which needs a key: set ANTHROPIC_API_KEY");
                return refused("models.anthropic.api_key", sentence);
            }
        }
        ProviderName::Azure => azure(models, model, user)?,
        ProviderName::Server(name) => {
            if !models.servers.contains_key(name) {
                let known = ["offline", "openai", "azure", "anthropic"];
                let all = models.servers.keys().map(String::as_str).chain(known);
                let meant = nearest(name, all)
                    .map(|near| format!(": did you mean `{near}`?"))
                    .unwrap_or_else(|| {
                        format!(": make a section [models.servers.{name}] with its base_url")
                    });
                return refused(user, format!("there is no provider `{name}`{meant}"));
            }
        }
    }
    Ok(())
}

fn azure(models: &Models, model: &ModelAt, user: &str) -> Result<(), Refusal> {
    let azure = &models.azure;
    let Some(endpoint) = &azure.endpoint else {
        let sentence = format!(
            "`{user}` names `azure`, which needs the address of the resource: set \
             AZURE_OPENAI_ENDPOINT"
        );
        return refused("models.azure.endpoint", sentence);
    };
    address("models.azure.endpoint", endpoint, "https://example.openai.azure.com")?;
    let named = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if !model.model.chars().all(named) {
        let sentence = format!(
            "`{}` is no name of a deployment: letters, digits, `-`, `_` and `.`",
            model.model
        );
        return refused(user, sentence);
    }
    let version = azure.api_version.as_str();
    let dated = version.len() >= 10
        && version.is_char_boundary(10)
        && version.split_at(10).0.split('-').map(str::len).eq([4, 2, 2])
        && version.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    if version != "v1" && !dated {
        let sentence = format!("`{version}` is no version: `v1`, or a date such as 2024-10-21");
        return refused("models.azure.api_version", sentence);
    }
    if azure.api_key.is_some() || azure.ad_token.is_some() {
        return Ok(());
    }
    let parts = [
        ("models.azure.tenant_id", "AZURE_TENANT_ID", azure.tenant_id.is_some()),
        ("models.azure.client_id", "AZURE_CLIENT_ID", azure.client_id.is_some()),
        ("models.azure.client_secret", "AZURE_CLIENT_SECRET", azure.client_secret.is_some()),
    ];
    if parts.iter().all(|(_, _, given)| !given) {
        let sentence = format!(
            "`{user}` names `azure`, which needs a key: set AZURE_OPENAI_API_KEY, or \
             AZURE_TENANT_ID, AZURE_CLIENT_ID and AZURE_CLIENT_SECRET"
        );
        return refused("models.azure.api_key", sentence);
    }
    match parts.iter().find(|(_, _, given)| !given) {
        Some((key, variable, _)) => {
            refused(key, format!("an application of Entra needs it too: set {variable}"))
        }
        None => Ok(()),
    }
}

/// The length of the vectors must be known before the first is stored, and be one that the
/// model has.
fn vectors(models: &Models, model: &ModelAt) -> Result<(), Refusal> {
    let key = "models.embed_dimensions";
    let Some(wanted) = models.embed_dimensions() else {
        let sentence = format!(
            "the length of the vectors of `{model}` is not known here: set it to the model's"
        );
        return refused(key, sentence);
    };
    match documented(&model.model) {
        Some((length, true)) if wanted > length => refused(
            key,
            format!("it is {wanted}, and the vectors of `{model}` have {length} numbers at most"),
        ),
        Some((length, false)) if wanted != length => refused(
            key,
            format!("it is {wanted}, and the vectors of `{model}` have {length} numbers"),
        ),
        _ => Ok(()),
    }
}
