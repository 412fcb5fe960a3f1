//! Where is what the program keeps, and which backends keep it?

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// The `[data]` section.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Data {
    /// The folder of everything embedded (`QUAESTOR_DATA_DIR`).
    pub dir: PathBuf,
    /// The store (`QUAESTOR_DATABASE_URL`); a file in `dir` where none is named.
    pub database_url: Option<String>,
    /// The queue (`QUAESTOR_QUEUE_URL`).
    pub queue_url: String,
    /// The event log, limits and tickets (`QUAESTOR_EVENTS_URL`).
    pub events_url: String,
    /// The files (`QUAESTOR_OBJECTS_URL`); a folder in `dir` where none is named.
    pub objects_url: Option<String>,
}

impl Default for Data {
    fn default() -> Self {
        Self {
            dir: PathBuf::from("./quaestor-data"),
            database_url: None,
            queue_url: "memory:".to_owned(),
            events_url: "memory:".to_owned(),
            objects_url: None,
        }
    }
}

/// The store that was chosen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DatabaseChoice {
    /// SQLite in this file.
    Sqlite(PathBuf),
}

/// The queue that was chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QueueChoice {
    /// In process.
    Memory,
}

/// The event log that was chosen; limits and tickets follow it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventsChoice {
    /// In process.
    Memory,
}

/// The object store that was chosen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ObjectsChoice {
    /// This folder.
    Local(PathBuf),
}

impl Data {
    /// The store, or a sentence about the URL.
    pub fn database(&self) -> Result<DatabaseChoice, String> {
        let Some(url) = &self.database_url else {
            return Ok(DatabaseChoice::Sqlite(self.dir.join("quaestor.db")));
        };
        if scheme_is(url, &["postgres", "postgresql"]) {
            return Err("`postgres:` comes with the distributed backends, not in this build; \
                        use `sqlite:<file>`"
                .to_owned());
        }
        path_of(url, "sqlite").map(DatabaseChoice::Sqlite).ok_or_else(|| {
            "a store is `sqlite:<file>`, such as `sqlite:/srv/quaestor/quaestor.db`".to_owned()
        })
    }

    /// The queue, or a sentence about the URL.
    pub fn queue(&self) -> Result<QueueChoice, String> {
        if scheme_is(&self.queue_url, &["amqp", "amqps"]) {
            return Err("`amqp:` comes with the distributed backends, not in this build; \
                        use `memory:`"
                .to_owned());
        }
        if self.queue_url == "memory:" {
            Ok(QueueChoice::Memory)
        } else {
            Err(only_memory("queue"))
        }
    }

    /// The event log, or a sentence about the URL.
    pub fn events(&self) -> Result<EventsChoice, String> {
        if scheme_is(&self.events_url, &["redis", "rediss"]) {
            return Err("`redis:` comes with the distributed backends, not in this build; \
                        use `memory:`"
                .to_owned());
        }
        if self.events_url == "memory:" {
            Ok(EventsChoice::Memory)
        } else {
            Err(only_memory("event log"))
        }
    }

    /// The object store, or a sentence about the URL.
    pub fn objects(&self) -> Result<ObjectsChoice, String> {
        let Some(url) = &self.objects_url else {
            return Ok(ObjectsChoice::Local(self.dir.join("objects")));
        };
        if scheme_is(url, &["s3"]) {
            return Err("`s3:` comes with the distributed backends, not in this build; \
                        use `file:<folder>`"
                .to_owned());
        }
        path_of(url, "file").map(ObjectsChoice::Local).ok_or_else(|| {
            "an object store is `file:<folder>`, such as `file:/srv/quaestor/objects`".to_owned()
        })
    }
}

fn only_memory(what: &str) -> String {
    format!("the {what} of this build is `memory:`")
}

fn scheme_is(url: &str, schemes: &[&str]) -> bool {
    url.split_once(':').is_some_and(|(scheme, _)| schemes.contains(&scheme))
}

/// The path of `scheme:path` or `scheme://path`.
fn path_of(url: &str, scheme: &str) -> Option<PathBuf> {
    let rest = url.strip_prefix(scheme)?.strip_prefix(':')?;
    let path = rest.strip_prefix("//").unwrap_or(rest);
    (!path.is_empty()).then(|| Path::new(path).to_path_buf())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn embedded_backends_live_in_the_data_folder_unless_named() {
        let mut data = Data { dir: "d".into(), ..Data::default() };
        assert_eq!(data.database(), Ok(DatabaseChoice::Sqlite("d/quaestor.db".into())));
        assert_eq!(data.objects(), Ok(ObjectsChoice::Local("d/objects".into())));
        data.database_url = Some("sqlite:///srv/q.db".to_owned());
        assert_eq!(data.database(), Ok(DatabaseChoice::Sqlite("/srv/q.db".into())));
        data.objects_url = Some("file:o".to_owned());
        assert_eq!(data.objects(), Ok(ObjectsChoice::Local("o".into())));
    }

    #[test]
    fn a_backend_of_another_build_gets_a_sentence() {
        let data = Data {
            database_url: Some("postgres://user:pw@db/q".to_owned()),
            queue_url: "amqp://mq".to_owned(),
            events_url: "rediss://r".to_owned(),
            objects_url: Some("s3://bucket".to_owned()),
            ..Data::default()
        };
        for sentence in [
            data.database().unwrap_err(),
            data.queue().unwrap_err(),
            data.events().unwrap_err(),
            data.objects().unwrap_err(),
        ] {
            assert!(sentence.contains("comes with the distributed backends"), "{sentence}");
            assert!(!sentence.contains("pw"), "{sentence}");
        }
        let data = Data { queue_url: "mem".to_owned(), ..Data::default() };
        assert!(data.queue().unwrap_err().contains("`memory:`"));
    }
}
