//! The broker's management API over HTTP: what AMQP cannot ask or say.

use std::fmt;
use std::time::Duration;

use reqwest::{Method, StatusCode, Url};
use secrecy::{ExposeSecret, SecretString};
use serde::de::DeserializeOwned;
use serde_json::Value;

/// How long one answer may take.
const ANSWER: Duration = Duration::from_secs(10);
/// How long the connection may take.
const CONNECT: Duration = Duration::from_secs(5);
/// The most of an answer that an error repeats, in characters.
const SHOWN: usize = 200;

/// A client of the management API.
#[derive(Clone)]
pub struct Management {
    http: reqwest::Client,
    base: Url,
    user: String,
    password: SecretString,
}

/// What the management API could not do. It never holds the password.
#[derive(Debug, thiserror::Error)]
pub enum ManagementError {
    /// The address cannot be one.
    #[error("the management API's address is not `http://user:password@host:15672`")]
    Address,
    /// The client cannot be made.
    #[error("making the client of RabbitMQ's management API")]
    Client(#[source] reqwest::Error),
    /// Nothing answers, or not in time.
    #[error(
        "RabbitMQ's management API at {server} does not answer: switch it on with `rabbitmq-plugins enable \
         rabbitmq_management`, or correct QUAESTOR_QUEUE_MANAGEMENT_URL"
    )]
    Unreachable {
        /// Where.
        server: String,
        /// The cause.
        #[source]
        source: reqwest::Error,
    },
    /// TLS failed.
    #[error("TLS with RabbitMQ's management API at {server} fails: {trouble}")]
    Tls {
        /// Where.
        server: String,
        /// What is wrong, and what mends it.
        trouble: String,
    },
    /// User or password are wrong, or the user may not.
    #[error(
        "RabbitMQ's management API at {server} refuses user `{user}`: correct QUAESTOR_QUEUE_MANAGEMENT_URL, or give \
         the user the tag `administrator`"
    )]
    Refused {
        /// Where.
        server: String,
        /// Who.
        user: String,
    },
    /// It answered something else.
    #[error("RabbitMQ's management API at {server} answered {status} to {asked}: {answer}")]
    Answered {
        /// Where.
        server: String,
        /// Method and path.
        asked: String,
        /// The status.
        status: StatusCode,
        /// The beginning of the answer.
        answer: String,
    },
}

impl fmt::Debug for Management {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Management").field("server", &self.server()).finish_non_exhaustive()
    }
}

impl Management {
    /// A client for `http://user:password@host:15672`.
    pub fn new(address: &SecretString) -> Result<Self, ManagementError> {
        let mut base = Url::parse(address.expose_secret()).map_err(|_| ManagementError::Address)?;
        if !matches!(base.scheme(), "http" | "https") || base.host_str().is_none() {
            return Err(ManagementError::Address);
        }
        let user = unescaped(base.username());
        let password = SecretString::from(unescaped(base.password().unwrap_or_default()));
        // Cannot fail for an address with a host.
        if base.set_username("").is_err() || base.set_password(None).is_err() {
            return Err(ManagementError::Address);
        }
        let http = reqwest::Client::builder()
            .timeout(ANSWER)
            .connect_timeout(CONNECT)
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map_err(ManagementError::Client)?;
        Ok(Self { http, base, user, password })
    }

    /// Scheme, host and port.
    #[must_use]
    pub fn server(&self) -> String {
        self.base.as_str().trim_end_matches('/').to_owned()
    }

    /// What is at a path; None where nothing is.
    pub async fn get<T: DeserializeOwned>(
        &self,
        path: &[&str],
    ) -> Result<Option<T>, ManagementError> {
        let (status, answer) = self.ask(Method::GET, path, None).await?;
        if status == StatusCode::NOT_FOUND {
            return Ok(None);
        }
        match serde_json::from_str(&answer) {
            Ok(found) if status.is_success() => Ok(Some(found)),
            _ => Err(self.answered(&Method::GET, path, status, &answer)),
        }
    }

    /// Puts something at a path: made where it is missing.
    pub async fn put(&self, path: &[&str], body: &Value) -> Result<(), ManagementError> {
        self.change(Method::PUT, path, Some(body)).await
    }

    /// Adds something below a path.
    pub async fn post(&self, path: &[&str], body: &Value) -> Result<(), ManagementError> {
        self.change(Method::POST, path, Some(body)).await
    }

    /// What is answered to something posted.
    pub async fn ask_for<T: DeserializeOwned>(
        &self,
        path: &[&str],
        body: &Value,
    ) -> Result<T, ManagementError> {
        let (status, answer) = self.ask(Method::POST, path, Some(body)).await?;
        match serde_json::from_str(&answer) {
            Ok(found) if status.is_success() => Ok(found),
            _ => Err(self.answered(&Method::POST, path, status, &answer)),
        }
    }

    /// Removes what is at a path; fine where nothing is.
    pub async fn delete(&self, path: &[&str]) -> Result<(), ManagementError> {
        self.change(Method::DELETE, path, None).await
    }

    async fn change(
        &self,
        method: Method,
        path: &[&str],
        body: Option<&Value>,
    ) -> Result<(), ManagementError> {
        let gone = method == Method::DELETE;
        let (status, answer) = self.ask(method.clone(), path, body).await?;
        if status.is_success() || (gone && status == StatusCode::NOT_FOUND) {
            return Ok(());
        }
        Err(self.answered(&method, path, status, &answer))
    }

    async fn ask(
        &self,
        method: Method,
        path: &[&str],
        body: Option<&Value>,
    ) -> Result<(StatusCode, String), ManagementError> {
        let mut url = self.base.clone();
        match url.path_segments_mut() {
            // Each part is escaped: names of virtual hosts may hold a slash.
            Ok(mut segments) => segments.pop_if_empty().push("api").extend(path),
            Err(()) => return Err(ManagementError::Address),
        };
        let mut request = self
            .http
            .request(method, url)
            .basic_auth(&self.user, Some(self.password.expose_secret()));
        if let Some(body) = body {
            request = request.json(body);
        }
        let unreachable = |source: reqwest::Error| match crate::tls::trouble(&source) {
            Some(trouble) => ManagementError::Tls { server: self.server(), trouble },
            None => ManagementError::Unreachable { server: self.server(), source },
        };
        let answer = request.send().await.map_err(unreachable)?;
        let status = answer.status();
        if matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) {
            return Err(ManagementError::Refused {
                server: self.server(),
                user: self.user.clone(),
            });
        }
        Ok((status, answer.text().await.map_err(unreachable)?))
    }

    fn answered(
        &self,
        method: &Method,
        path: &[&str],
        status: StatusCode,
        answer: &str,
    ) -> ManagementError {
        ManagementError::Answered {
            server: self.server(),
            asked: format!("{method} {}", path.join("/")),
            status,
            answer: answer.chars().take(SHOWN).collect(),
        }
    }
}

/// A part of an address without its `%40`s.
fn unescaped(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let hex = |byte: u8| char::from(byte).to_digit(16).and_then(|d| u8::try_from(d).ok());
        if let (b'%', [high, low, after @ ..]) = (*first, tail)
            && let (Some(high), Some(low)) = (hex(*high), hex(*low))
        {
            bytes.push(high * 16 + low);
            rest = after;
        } else {
            bytes.push(*first);
            rest = tail;
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_password_is_never_shown() {
        let address = SecretString::from("http://desk:c4n%40ry@mq:15672/");
        let management = Management::new(&address).unwrap();
        assert_eq!(management.user, "desk");
        assert_eq!(management.password.expose_secret(), "c4n@ry");
        assert!(!format!("{management:?} {}", management.server()).contains("c4n"));
        assert_eq!(management.server(), "http://mq:15672");
        for wrong in ["amqp://u:c4n@mq", "mq:15672", "c4n"] {
            let error = Management::new(&SecretString::from(wrong)).unwrap_err();
            assert!(!error.to_string().contains("c4n"));
        }
    }
}
