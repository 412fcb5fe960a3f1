//! Why was a configuration refused?

use std::path::PathBuf;

/// A configuration that the program does not start with. Never holds a secret.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// No key has this name.
    #[error("there is no key `{name}` (from {origin}){}", meant(.nearest))]
    UnknownKey {
        /// The name.
        name: String,
        /// Where it stands.
        origin: String,
        /// The key that may have been meant.
        nearest: Option<String>,
    },
    /// A key of this name there was.
    #[error("`{name}` (from {origin}) is no key any more: {instead}")]
    GoneKey {
        /// The name.
        name: String,
        /// Where it stands.
        origin: String,
        /// What is said in its place.
        instead: &'static str,
    },
    /// A key has a value that is not one.
    #[error("`{key}` (from {origin}) must be {expected}: {found}")]
    WrongValue {
        /// The key's full name.
        key: String,
        /// Where the value comes from.
        origin: String,
        /// What a value must be.
        expected: String,
        /// What is wrong with this one.
        found: String,
    },
    /// Values that do not go together, or that this build cannot serve.
    #[error("`{key}` (from {origin}): {reason}")]
    Refused {
        /// The key's full name.
        key: String,
        /// Where its value comes from.
        origin: String,
        /// What is wrong and what mends it.
        reason: String,
    },
    /// A file could not be read.
    #[error("reading {what} from {}", path.display())]
    Unreadable {
        /// The configuration, or the variable that named the file.
        what: String,
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A file of secrets holds none, or more than one.
    #[error("{variable} names {}, which {reason}", path.display())]
    SecretFile {
        /// The variable that named the file.
        variable: String,
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The configuration file is no TOML.
    #[error("{} is not TOML", path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// Where and why.
        #[source]
        source: Box<toml::de::Error>,
    },
    /// A secret is given both as a value and as a file.
    #[error("{0} and {0}_FILE are both set: keep one of them")]
    GivenTwice(String),
    /// The layers could not be laid over one another.
    #[error("laying the configuration's sources over one another")]
    Layers(#[source] Box<figment::Error>),
    /// A server that others could reach, and that would ask nobody for a key.
    #[error(
        "`server.listen` is {listen}, which others can reach, but there is no key to ask for: \
         set QUAESTOR_ADMIN_KEY, or make a key with `quaestor serve` on 127.0.0.1 first"
    )]
    Exposed {
        /// The address.
        listen: std::net::SocketAddr,
    },
}

fn meant(nearest: &Option<String>) -> String {
    nearest.as_ref().map(|name| format!(": did you mean `{name}`?")).unwrap_or_default()
}
