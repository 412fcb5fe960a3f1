//! Where is what the program keeps, and which backends keep it?

use std::path::{Path, PathBuf};

use quaestor_backends::objects::s3::S3Place;
use serde::{Deserialize, Serialize};

use super::ServiceUrl;

/// The `[data]` section.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Data {
    /// The folder of everything embedded (`QUAESTOR_DATA_DIR`).
    pub dir: PathBuf,
    /// The store (`QUAESTOR_DATABASE_URL`); a file in `dir` where none is named.
    pub database_url: Option<ServiceUrl>,
    /// A copy of the database that may be read for searches (`QUAESTOR_REPLICA_URL`).
    pub replica_url: Option<ServiceUrl>,
    /// The most connections that this process opens to PostgreSQL.
    pub database_connections: u32,
    /// The queue (`QUAESTOR_QUEUE_URL`).
    pub queue_url: ServiceUrl,
    /// The management interface of RabbitMQ (`QUAESTOR_QUEUE_MANAGEMENT_URL`).
    pub queue_management_url: Option<ServiceUrl>,
    /// The event log, limits and tickets (`QUAESTOR_EVENTS_URL`).
    pub events_url: ServiceUrl,
    /// The files (`QUAESTOR_OBJECTS_URL`); a folder in `dir` where none is named.
    pub objects_url: Option<ServiceUrl>,
    /// The most messages that may wait in the outbox before work is refused.
    pub outbox_cap: u32,
}

impl Default for Data {
    fn default() -> Self {
        Self {
            dir: PathBuf::from("./quaestor-data"),
            database_url: None,
            replica_url: None,
            database_connections: 16,
            queue_url: ServiceUrl::from("memory:"),
            queue_management_url: None,
            events_url: ServiceUrl::from("memory:"),
            objects_url: None,
            outbox_cap: 100_000,
        }
    }
}

/// The store that was chosen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DatabaseChoice {
    /// SQLite in this file.
    Sqlite(PathBuf),
    /// PostgreSQL with pgvector, at `data.database_url`.
    Postgres,
}

/// The queue that was chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QueueChoice {
    /// In process.
    Memory,
    /// RabbitMQ, at `data.queue_url`.
    RabbitMq,
}

/// The event log that was chosen; limits and tickets follow it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventsChoice {
    /// In process.
    Memory,
    /// Redis, at `data.events_url`.
    Redis,
}

/// The object store that was chosen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ObjectsChoice {
    /// This folder.
    Local(PathBuf),
    /// A bucket of S3 or of what speaks its protocol.
    S3(S3Place),
}

impl Data {
    /// The store, or a sentence about the URL.
    pub fn database(&self) -> Result<DatabaseChoice, String> {
        let Some(url) = &self.database_url else {
            return Ok(DatabaseChoice::Sqlite(self.dir.join("quaestor.db")));
        };
        if url.scheme_is(&["postgres", "postgresql"]) {
            return Ok(DatabaseChoice::Postgres);
        }
        path_of(url.expose(), "sqlite").map(DatabaseChoice::Sqlite).ok_or_else(|| {
            "a store is `sqlite:<file>`, such as `sqlite:/srv/quaestor/quaestor.db`, or \
             `postgres://<user>:<password>@<host>/<database>`"
                .to_owned()
        })
    }

    /// The queue, or a sentence about the URL.
    pub fn queue(&self) -> Result<QueueChoice, String> {
        if self.queue_url.scheme_is(&["amqp", "amqps"]) {
            Ok(QueueChoice::RabbitMq)
        } else if self.queue_url.expose() == "memory:" {
            Ok(QueueChoice::Memory)
        } else {
            Err("a queue is `memory:`, or `amqp://<user>:<password>@<host>/<vhost>`".to_owned())
        }
    }

    /// The event log, or a sentence about the URL.
    pub fn events(&self) -> Result<EventsChoice, String> {
        if self.events_url.scheme_is(&["redis", "rediss"]) {
            Ok(EventsChoice::Redis)
        } else if self.events_url.expose() == "memory:" {
            Ok(EventsChoice::Memory)
        } else {
            Err("an event log is `memory:`, or `redis://default:<password>@<host>:6379`".to_owned())
        }
    }

    /// The object store, or a sentence about the URL.
    pub fn objects(&self) -> Result<ObjectsChoice, String> {
        let Some(url) = &self.objects_url else {
            return Ok(ObjectsChoice::Local(self.dir.join("objects")));
        };
        if url.scheme_is(&["s3"]) {
            return S3Place::parse(url.expose()).map(ObjectsChoice::S3);
        }
        path_of(url.expose(), "file").map(ObjectsChoice::Local).ok_or_else(|| {
            "an object store is `file:<folder>`, such as `file:/srv/quaestor/objects`, or \
             `s3://<bucket>` with an optional `/<prefix>`"
                .to_owned()
        })
    }

    /// What of the data only one process can use, if anything: its name for a sentence.
    pub fn in_process(&self) -> Result<Option<&'static str>, String> {
        Ok(if matches!(self.database()?, DatabaseChoice::Sqlite(_)) {
            Some("data.database_url")
        } else if self.queue()? == QueueChoice::Memory {
            Some("data.queue_url")
        } else if self.events()? == EventsChoice::Memory {
            Some("data.events_url")
        } else {
            // A folder may well be shared by several machines.
            None
        })
    }
}

/// The path of `scheme:path` or `scheme://path`.
pub(super) fn path_of(url: &str, scheme: &str) -> Option<PathBuf> {
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
        assert_eq!(data.in_process(), Ok(Some("data.database_url")));
        data.database_url = Some("sqlite:///srv/q.db".into());
        assert_eq!(data.database(), Ok(DatabaseChoice::Sqlite("/srv/q.db".into())));
        data.objects_url = Some("file:o".into());
        assert_eq!(data.objects(), Ok(ObjectsChoice::Local("o".into())));
    }

    #[test]
    fn each_backend_is_chosen_by_its_own_address() {
        let mut data = Data {
            database_url: Some("postgres://user:pw@db/q".into()),
            queue_url: "amqps://mq/quaestor".into(),
            objects_url: Some("s3://quaestor-files/one/two/".into()),
            ..Data::default()
        };
        assert_eq!(data.database(), Ok(DatabaseChoice::Postgres));
        assert_eq!(data.queue(), Ok(QueueChoice::RabbitMq));
        assert_eq!(data.in_process(), Ok(Some("data.events_url")));
        data.events_url = "rediss://r".into();
        assert_eq!(data.events(), Ok(EventsChoice::Redis));
        assert_eq!(data.in_process(), Ok(None));
        let (bucket, prefix) = ("quaestor-files".to_owned(), "one/two".to_owned());
        assert_eq!(data.objects(), Ok(ObjectsChoice::S3(S3Place { bucket, prefix })));
    }

    #[test]
    fn another_address_gets_a_sentence_without_its_password() {
        let data = Data {
            database_url: Some("mysql://user:pw@db/q".into()),
            queue_url: "kafka://user:pw@mq".into(),
            events_url: "mem".into(),
            objects_url: Some("s3://user:pw@bucket".into()),
            ..Data::default()
        };
        for (sentence, part) in [
            (data.database().unwrap_err(), "postgres://"),
            (data.queue().unwrap_err(), "amqp://"),
            (data.events().unwrap_err(), "redis://"),
            (data.objects().unwrap_err(), "s3://<bucket>"),
        ] {
            assert!(sentence.contains(part), "{sentence}");
            assert!(!sentence.contains("pw"), "{sentence}");
        }
    }
}
