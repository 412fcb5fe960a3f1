//! Where is an installation restored? The configuration's place, held alone and empty.

use std::fs::File;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use quaestor_backends::store::postgres::{Alone, PgOptions, PgStore};
use quaestor_core::ports::objects::Objects;
use quaestor_core::ports::store::{Standing, Store};
use tokio_util::task::TaskTracker;

use super::super::backends::{self, Close};
use super::super::{World, lock_data_dir};
use super::FROM_BUNDLE;
use crate::config::{Config, DatabaseChoice};

/// Removing or writing the rows of a large workspace is a long statement.
const STATEMENT_TIMEOUT: Duration = Duration::from_secs(60 * 60);

/// The place, open, and nobody else's for as long as this value lives.
pub(super) struct Place {
    pub(super) store: Arc<dyn Store>,
    pub(super) objects: Arc<dyn Objects>,
    /// Where it is, for people.
    pub(super) called: String,
    close: Close,
    tasks: TaskTracker,
    alone: Option<Alone>,
    _lock: Option<File>,
}

impl Place {
    /// Opens the place, with its tables made where they are missing.
    pub(super) async fn open(config: &Config, world: &World) -> anyhow::Result<Self> {
        let tasks = TaskTracker::new();
        match config.data.database().map_err(anyhow::Error::msg)? {
            DatabaseChoice::Sqlite(file) => {
                let lock = lock_data_dir(&config.data.dir)?;
                let sqlite = Arc::new(backends::open_sqlite(&file).await?);
                let called = std::path::absolute(&file).unwrap_or(file).display().to_string();
                Ok(Self {
                    store: sqlite.clone(),
                    objects: backends::open_objects(config, world, &tasks).await?,
                    called,
                    close: Close::Sqlite(sqlite),
                    tasks,
                    alone: None,
                    _lock: Some(lock),
                })
            }
            DatabaseChoice::Postgres => {
                let url = backends::database_url(config)?;
                let alone =
                    Alone::take(&url, &*world.clock).await.context("taking the database")?;
                PgStore::migrate(&url, &*world.clock).await.context("making the tables")?;
                let options = PgOptions {
                    alone: true,
                    statement_timeout: STATEMENT_TIMEOUT,
                    ..PgOptions::new(url)
                };
                let store = PgStore::connect(options, world.clock.clone()).await;
                let postgres = Arc::new(store.context("opening the database")?);
                Ok(Self {
                    store: postgres.clone(),
                    objects: backends::open_objects(config, world, &tasks).await?,
                    called: format!("PostgreSQL at {}", alone.place()),
                    close: Close::Postgres(postgres),
                    tasks,
                    alone: Some(alone),
                    _lock: None,
                })
            }
        }
    }

    /// Refuses a place that holds something. What a restore has left that was broken off is
    /// nothing. Says whether there is such.
    pub(super) async fn refuse_full(&self) -> anyhow::Result<bool> {
        let place = &self.called;
        let first = self.store.first_workspace().await.context("looking at the target")?;
        match self.store.standing().await.context("looking at the target")? {
            Standing::Arriving { from, .. } if from.starts_with(FROM_BUNDLE) => Ok(true),
            Standing::Arriving { from, .. } => bail!(
                "{place} is not empty: a move from {from} has not ended there; end it, or give it \
                 up with `quaestor move --undo`"
            ),
            Standing::Moved { to, .. } => bail!(
                "{place} is not empty: it still holds the installation that was moved to {to}; \
                 name an empty place (QUAESTOR_DATA_DIR, or QUAESTOR_DATABASE_URL with \
                 QUAESTOR_OBJECTS_URL)"
            ),
            Standing::Whole if first.is_some() => bail!(
                "{place} is not empty: it holds an installation, and a restore never writes over \
                 one; name an empty place (QUAESTOR_DATA_DIR, or QUAESTOR_DATABASE_URL with \
                 QUAESTOR_OBJECTS_URL), which needs no `quaestor migrate` before"
            ),
            Standing::Whole => {
                // The files of another installation would be swept by this one.
                let files = self.objects.list(None, 1).await.context("looking at the target")?;
                if !files.objects.is_empty() {
                    bail!(
                        "the place for files beside {place} is not empty: name an empty one with \
                         QUAESTOR_OBJECTS_URL, such as another prefix of the bucket"
                    );
                }
                Ok(false)
            }
        }
    }

    /// Makes sure that nobody has come meanwhile.
    pub(super) async fn still_alone(&mut self) -> anyhow::Result<()> {
        match &mut self.alone {
            Some(alone) => alone.check().await.context("looking whether somebody else has come"),
            None => Ok(()),
        }
    }

    pub(super) async fn close(self) {
        self.tasks.close();
        self.tasks.wait().await;
        self.close.run().await;
        if let Some(alone) = self.alone {
            alone.release().await;
        }
    }
}
