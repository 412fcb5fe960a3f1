//! What does each source say: the file, the environment, the flags?

use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};

use figment::value::{Dict, Map, Value};
use figment::{Metadata, Profile, Provider};

use super::ConfigError;
use super::keys::{self, KEYS, Key, OTHER_VARIABLES, ValueKind, nearest};

/// A secret's file is one line; what is longer is another file.
const MAX_SECRET_FILE: u64 = 64 << 10;

/// The variables that are set, and nothing else of the process.
#[derive(Clone, Debug, Default)]
pub struct Environment(BTreeMap<String, String>);

impl Environment {
    /// The variables of this process. One that is not Unicode, or empty, counts as unset.
    #[must_use]
    pub fn of_process() -> Self {
        let pairs = std::env::vars_os();
        Self(
            pairs
                .filter_map(|(n, v)| Some((n.into_string().ok()?, v.into_string().ok()?)))
                .collect(),
        )
    }

    /// An environment of these variables.
    #[must_use]
    pub fn of(pairs: &[(&str, &str)]) -> Self {
        Self(pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect())
    }

    /// The value of a variable that is set and not empty.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// The value of a secret's variable, or the contents of the file that `…_FILE` names,
    /// with the name it came under.
    pub fn secret(&self, name: &str) -> Result<Option<(String, String)>, ConfigError> {
        let by_file = format!("{name}_FILE");
        match (self.get(name), self.get(&by_file)) {
            (Some(_), Some(_)) => Err(ConfigError::GivenTwice(name.to_owned())),
            (Some(value), None) => Ok(Some((value.to_owned(), name.to_owned()))),
            (None, Some(path)) => {
                read_secret(Path::new(path), &by_file).map(|value| Some((value, by_file)))
            }
            (None, None) => Ok(None),
        }
    }
}

/// The secret in a file: its one line, without the line's end.
fn read_secret(path: &Path, variable: &str) -> Result<String, ConfigError> {
    let mut text = String::new();
    std::fs::File::open(path)
        .and_then(|file| file.take(MAX_SECRET_FILE).read_to_string(&mut text))
        .map_err(|source| ConfigError::Unreadable {
            what: variable.to_owned(),
            path: path.to_path_buf(),
            source,
        })?;
    let refused = |reason| ConfigError::SecretFile {
        variable: variable.to_owned(),
        path: path.to_path_buf(),
        reason,
    };
    match text.trim_end_matches(['\r', '\n']) {
        "" => Err(refused("is empty")),
        line if line.contains('\n') => Err(refused("has more than one line")),
        line => Ok(line.to_owned()),
    }
}

/// The values of one source, with its name.
#[derive(Clone, Debug)]
pub(super) struct Layer {
    pub(super) origin: String,
    pub(super) values: Dict,
}

impl Provider for Layer {
    fn metadata(&self) -> Metadata {
        Metadata::named(self.origin.clone())
    }

    fn data(&self) -> Result<Map<Profile, Dict>, figment::Error> {
        Ok(Map::from([(Profile::Default, self.values.clone())]))
    }
}

/// The layer of a configuration file.
pub(super) fn of_file(path: &Path) -> Result<Layer, ConfigError> {
    let text = std::fs::read_to_string(path).map_err(|source| ConfigError::Unreadable {
        what: "the configuration".to_owned(),
        path: path.to_path_buf(),
        source,
    })?;
    let table: toml::Table = text.parse().map_err(|source| ConfigError::Syntax {
        path: path.to_path_buf(),
        source: Box::new(source),
    })?;
    let origin = path.display().to_string();
    refuse_unknown(&table, "", &origin)?;
    let values = Value::serialize(&table).map_err(|e| ConfigError::Layers(Box::new(e)))?;
    Ok(Layer { origin, values: values.into_dict().unwrap_or_default() })
}

/// Every leaf must be a key, and every table the beginning of one.
fn refuse_unknown(table: &toml::Table, above: &str, origin: &str) -> Result<(), ConfigError> {
    for (name, value) in table {
        let path = if above.is_empty() { name.clone() } else { format!("{above}.{name}") };
        let is_section = keys::find(&path).is_none() && KEYS.iter().any(|key| key.begins(&path));
        match value {
            toml::Value::Table(section) if is_section => refuse_unknown(section, &path, origin)?,
            _ if keys::find(&path).is_some() => {}
            _ if is_section => {
                return Err(ConfigError::WrongValue {
                    key: path,
                    origin: origin.to_owned(),
                    expected: "a section".to_owned(),
                    found: "it is a value".to_owned(),
                });
            }
            _ => return Err(unknown(&path, origin)),
        }
    }
    Ok(())
}

/// The refusal of a key that is none, with the one that may have been meant.
pub(super) fn unknown(path: &str, origin: &str) -> ConfigError {
    if let Some((_, instead)) = keys::GONE.iter().find(|(gone, _)| *gone == path) {
        return ConfigError::GoneKey { name: path.to_owned(), origin: origin.to_owned(), instead };
    }
    let last = path.rsplit('.').next().unwrap_or(path);
    let known = || KEYS.iter().map(|key| key.path);
    let near = nearest(path, known())
        // The right name in the wrong section, or in none.
        .or_else(|| known().find(|known| known.rsplit('.').next() == Some(last)))
        .map(str::to_owned)
        .or_else(|| nearest_section(path));
    ConfigError::UnknownKey { name: path.to_owned(), origin: origin.to_owned(), nearest: near }
}

/// `[sever]` is a misspelt section rather than a misspelt key.
fn nearest_section(path: &str) -> Option<String> {
    let sections =
        KEYS.iter().filter_map(|key| key.path.rsplit_once('.').map(|(section, _)| section));
    nearest(path, sections).map(str::to_owned)
}

/// The layers of the environment: one per variable, so that each value knows its name.
/// Second are the warnings about variables that look like ours and are not.
pub(super) fn of_environment(
    environment: &Environment,
) -> Result<(Vec<Layer>, Vec<String>), ConfigError> {
    let mut layers = Vec::new();
    for key in KEYS {
        let long = key.variable();
        for name in key.standard.into_iter().chain(key.short).chain([long.as_str()]) {
            let found = if key.secret {
                environment.secret(name)?
            } else {
                environment.get(name).map(|value| (value.to_owned(), name.to_owned()))
            };
            if let Some((value, name)) = found {
                layers.push(of_text(key, key.path, &value, format!("the variable {name}"))?);
            }
        }
    }
    layers.extend(of_chosen_names(environment)?);
    Ok((layers, strangers(environment)?))
}

/// The layers of variables whose names are chosen, such as a server's.
fn of_chosen_names(environment: &Environment) -> Result<Vec<Layer>, ConfigError> {
    let mut layers = Vec::new();
    for key in KEYS.iter().filter(|key| key.path.contains('*')) {
        let named = environment.0.keys().filter_map(|name| {
            let name = match name.strip_suffix("_FILE") {
                Some(shorter) if key.secret => shorter,
                _ => name,
            };
            Some((name, key.chosen(name)?))
        });
        // A secret that is given twice has two names and one meaning, which is refused.
        for (name, path) in named {
            let found = if key.secret {
                environment.secret(name)?
            } else {
                environment.get(name).map(|value| (value.to_owned(), name.to_owned()))
            };
            if let Some((value, name)) = found {
                layers.push(of_text(key, &path, &value, format!("the variable {name}"))?);
            }
        }
    }
    Ok(layers)
}

/// Variables that begin as ours do. With `__` they can only be meant for us and are
/// refused, as are likely misspellings; the rest gets a warning, since orchestrators
/// also make names after a service (`QUAESTOR_PORT`).
fn strangers(environment: &Environment) -> Result<Vec<String>, ConfigError> {
    let mut known: Vec<String> = OTHER_VARIABLES.iter().map(|&name| name.to_owned()).collect();
    for key in KEYS {
        for name in key.short.map(str::to_owned).into_iter().chain([key.variable()]) {
            if key.secret {
                known.push(format!("{name}_FILE"));
            }
            known.push(name);
        }
    }
    let mut warnings = Vec::new();
    for name in environment.0.keys().filter(|name| name.starts_with("QUAESTOR_")) {
        let by_orchestrator =
            name.starts_with("QUAESTOR_SERVICE_") || name.starts_with("QUAESTOR_PORT");
        let chosen = KEYS.iter().any(|key| {
            let plain = if key.secret { name.strip_suffix("_FILE").unwrap_or(name) } else { name };
            key.chosen(plain).is_some()
        });
        if known.contains(name) || by_orchestrator || chosen {
            continue;
        }
        let gone = keys::GONE.iter().find(|(gone, _)| keys::variable(gone) == *name);
        if let Some((_, instead)) = gone {
            let (name, origin) = (name.clone(), "the environment".to_owned());
            return Err(ConfigError::GoneKey { name, origin, instead });
        }
        let near = nearest(name, known.iter().map(String::as_str));
        if near.is_some() || name.contains("__") {
            return Err(ConfigError::UnknownKey {
                name: name.clone(),
                origin: "the environment".to_owned(),
                nearest: near.map(str::to_owned),
            });
        }
        warnings.push(format!("the variable {name} means nothing to this program"));
    }
    Ok(warnings)
}

/// The layer of one key, of this full name, whose value came as text.
pub(super) fn of_text(
    key: &Key,
    path: &str,
    text: &str,
    origin: String,
) -> Result<Layer, ConfigError> {
    let value = match key.kind {
        ValueKind::Number => match text.trim().parse::<u64>() {
            Ok(number) => Value::from(number),
            Err(_) => return Err(wrong(key, path, text, origin)),
        },
        ValueKind::Fraction => match text.trim().parse::<f64>() {
            Ok(number) => Value::from(number),
            Err(_) => return Err(wrong(key, path, text, origin)),
        },
        ValueKind::Flag => match text.trim().parse::<bool>() {
            Ok(flag) => Value::from(flag),
            Err(_) => return Err(wrong(key, path, text, origin)),
        },
        ValueKind::List => {
            let items: Vec<&str> =
                text.split(',').map(str::trim).filter(|item| !item.is_empty()).collect();
            Value::from(items)
        }
        ValueKind::Table => {
            let read = format!("value = {text}").parse::<toml::Table>().ok();
            let value = read.as_ref().and_then(|table| table.get("value"));
            match value.map(Value::serialize) {
                Some(Ok(value)) => value,
                Some(Err(_)) | None => {
                    return Err(ConfigError::WrongValue {
                        key: key.path.to_owned(),
                        origin,
                        expected: key.expected.to_owned(),
                        found: format!("it is {text:?}"),
                    });
                }
            }
        }
        ValueKind::Text => Value::from(text),
    };
    let nested = path
        .rsplit('.')
        .fold(value, |inner, name| Value::from(Dict::from([(name.to_owned(), inner)])));
    Ok(Layer { origin, values: nested.into_dict().unwrap_or_default() })
}

/// The refusal of a text that is no value of the key.
fn wrong(key: &Key, path: &str, text: &str, origin: String) -> ConfigError {
    ConfigError::WrongValue {
        key: path.to_owned(),
        origin,
        expected: key.expected.to_owned(),
        found: format!("it is {text:?}"),
    }
}

/// The configuration file: the one that was named, else `quaestor.toml` where there is one.
pub(super) fn file_path(named: Option<&Path>, environment: &Environment) -> Option<PathBuf> {
    let named = named.map(Path::to_path_buf);
    named.or_else(|| environment.get("QUAESTOR_CONFIG").map(PathBuf::from)).or_else(|| {
        let here = PathBuf::from("quaestor.toml");
        here.is_file().then_some(here)
    })
}
