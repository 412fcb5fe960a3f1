//! The two sides of a move: which they are, holding them alone, opening them.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use quaestor_backends::store::postgres::{Alone, PgOptions, PgStore};
use quaestor_core::ports::objects::Objects;
use quaestor_core::ports::store::{Standing, Store};
use secrecy::SecretString;
use tokio_util::task::TaskTracker;

use super::super::backends::{self, Close};
use super::super::backup::FROM_BUNDLE;
use super::super::{World, lock_data_dir};
use super::{MoveRequest, To};
use crate::config::{Config, DatabaseChoice, ObjectsChoice, ServiceUrl};

/// Removing or writing the rows of a large workspace is a long statement.
const STATEMENT_TIMEOUT: Duration = Duration::from_secs(60 * 60);

/// One side, open.
pub(super) struct Side {
    pub(super) store: Arc<dyn Store>,
    pub(super) objects: Arc<dyn Objects>,
    /// Where its rows are, for people.
    pub(super) place: String,
    close: Close,
    tasks: TaskTracker,
}

impl Side {
    pub(super) async fn close(self) {
        // Uploads that were dropped are being aborted.
        self.tasks.close();
        self.tasks.wait().await;
        self.close.run().await;
    }
}

/// Both sides, held alone for as long as this value lives.
pub(super) struct Sides {
    to: To,
    embedded: Config,
    distributed: Config,
    /// The file of the embedded store.
    file: std::path::PathBuf,
    url: Option<SecretString>,
    pub(super) target_place: String,
    /// Whether both sides name the same place for files.
    pub(super) files_stay: bool,
    alone: Option<Alone>,
    _lock: Option<File>,
}

impl Sides {
    /// Reads which sides there are and takes both.
    pub(super) async fn hold(
        config: &Config,
        request: &MoveRequest,
        world: &World,
    ) -> anyhow::Result<Self> {
        let mut sides = Self::of(config, request)?;
        sides.take_embedded()?;
        sides.take_distributed(world).await?;
        Ok(sides)
    }

    /// Takes the source alone, where there is no target any more.
    pub(super) async fn hold_source(
        config: &Config,
        request: &MoveRequest,
        world: &World,
    ) -> anyhow::Result<Self> {
        let mut sides = Self::of(config, request)?;
        match request.to {
            To::Distributed => sides.take_embedded()?,
            To::Embedded => sides.take_distributed(world).await?,
        }
        Ok(sides)
    }

    fn of(config: &Config, request: &MoveRequest) -> anyhow::Result<Self> {
        let mut embedded = config.clone();
        let url = |text: &Option<String>| text.as_deref().map(ServiceUrl::from);
        embedded.data.database_url = url(&request.embedded_database);
        embedded.data.objects_url = url(&request.embedded_objects);
        embedded.data.replica_url = None;
        let file = match embedded.data.database().map_err(anyhow::Error::msg)? {
            DatabaseChoice::Sqlite(file) => file,
            DatabaseChoice::Postgres => {
                bail!("--embedded-database names a server: write `sqlite:<file>`")
            }
        };
        let distributed = config.clone();
        if distributed.data.database().map_err(anyhow::Error::msg)? != DatabaseChoice::Postgres {
            bail!(
                "`data.database_url` names no PostgreSQL: set QUAESTOR_DATABASE_URL to the \
                 database of the distributed side, such as postgres://user:password@db/quaestor"
            );
        }
        let files_stay = same_place(
            &embedded.data.objects().map_err(anyhow::Error::msg)?,
            &distributed.data.objects().map_err(anyhow::Error::msg)?,
        );
        Ok(Self {
            to: request.to,
            target_place: place_of(&file),
            embedded,
            url: Some(backends::database_url(&distributed)?),
            distributed,
            file,
            files_stay,
            alone: None,
            _lock: None,
        })
    }

    fn take_embedded(&mut self) -> anyhow::Result<()> {
        if self.to == To::Distributed && !self.file.is_file() {
            bail!(
                "there is no embedded installation at {}: name its folder with QUAESTOR_DATA_DIR \
                 or --data-dir",
                self.file.display()
            );
        }
        self._lock = Some(lock_data_dir(&self.embedded.data.dir)?);
        Ok(())
    }

    async fn take_distributed(&mut self, world: &World) -> anyhow::Result<()> {
        let url = self.url()?;
        let alone = Alone::take(url, &*world.clock).await.context("taking the database")?;
        if self.to == To::Embedded {
            Alone::is_migrated(url).await.context("opening the source")?;
        } else {
            self.target_place = format!("PostgreSQL at {}", alone.place());
        }
        self.alone = Some(alone);
        Ok(())
    }

    fn url(&self) -> anyhow::Result<&SecretString> {
        self.url.as_ref().context("data.database_url names no database")
    }

    /// Makes sure that nobody has come meanwhile.
    pub(super) async fn still_alone(&mut self) -> anyhow::Result<()> {
        match &mut self.alone {
            Some(alone) => alone.check().await.context("looking whether somebody else has come"),
            None => Ok(()),
        }
    }

    /// Lets others in again.
    pub(super) async fn release(self) {
        if let Some(alone) = self.alone {
            alone.release().await;
        }
    }

    /// Opens the source.
    pub(super) async fn open_source(&self, world: &World) -> anyhow::Result<Side> {
        let side = match self.to {
            To::Distributed => self.open_embedded(world).await,
            To::Embedded => self.open_distributed(world).await,
        };
        let side = side.context("opening the source")?;
        if side.store.first_workspace().await.context("looking for a workspace")?.is_none() {
            let place = side.place.clone();
            side.close().await;
            bail!("{place} holds no installation: there is nothing to move");
        }
        Ok(side)
    }

    /// Opens the target, with its tables made where they are missing.
    pub(super) async fn open_target(&self, world: &World) -> anyhow::Result<Side> {
        let opened = async {
            match self.to {
                To::Embedded => self.open_embedded(world).await,
                To::Distributed => {
                    PgStore::migrate(self.url()?, &*world.clock).await?;
                    self.open_distributed(world).await
                }
            }
        };
        opened.await.context("opening the target")
    }

    /// Whether there is anything at the target that could be opened, which would else be
    /// made.
    pub(super) async fn target_exists(&mut self) -> anyhow::Result<bool> {
        match (self.to, &mut self.alone) {
            (To::Distributed, Some(alone)) => Ok(alone.has_schema().await?),
            (To::Distributed, None) => Ok(false),
            (To::Embedded, _) => Ok(self.file.is_file()),
        }
    }

    /// Refuses a target that holds something that must not be lost, and a source that was
    /// moved, unless that move is the one that has not ended.
    pub(super) async fn refuse_full_target(
        &mut self,
        left: &Standing,
        request: &MoveRequest,
        world: &World,
    ) -> anyhow::Result<()> {
        let standing = if self.target_exists().await? {
            // As it is: what is refused shall not have been changed.
            let target = match self.to {
                To::Distributed => self.open_distributed(world).await,
                To::Embedded => self.open_embedded(world).await,
            };
            let target = target.context("looking at the target")?;
            target.objects.ping().await.context("looking at the target's files")?;
            let standing = target.store.standing().await.context("looking at the target");
            let first = target.store.first_workspace().await.context("looking at the target");
            target.close().await;
            (standing?, first?.is_some())
        } else {
            if self.to == To::Distributed {
                let tasks = TaskTracker::new();
                let objects = backends::open_objects(&self.distributed, world, &tasks).await?;
                objects.ping().await.context("looking at the target's files")?;
            }
            (Standing::Whole, false)
        };
        match (left, standing) {
            (Standing::Whole, (Standing::Arriving { from, .. }, _))
                if from.starts_with(FROM_BUNDLE) =>
            {
                bail!(
                    "{} is not empty: a restore from {from} has not ended there; end it with \
                     `quaestor restore`, or name another place",
                    self.target_place
                )
            }
            (Standing::Whole, (Standing::Arriving { .. }, _)) => Ok(()),
            // That move was killed between its two marks: it is ended by being run again.
            (Standing::Moved { to, .. }, (Standing::Arriving { .. }, _))
                if *to == self.target_place =>
            {
                Ok(())
            }
            (Standing::Moved { to, .. }, _) => bail!(
                "the source was moved to {to} already; `--undo` gives that move up, if {to} is \
                 no longer wanted"
            ),
            // A source that has not arrived itself was refused before.
            (Standing::Arriving { from, .. }, _) => bail!("the source comes from {from}"),
            (_, (Standing::Whole, false)) => Ok(()),
            (_, (Standing::Moved { .. }, _)) if request.replace => Ok(()),
            (_, (Standing::Moved { to, at }, _)) => bail!(
                "{} still holds the installation that was moved to {to} at {}: `--replace` \
                 removes it first",
                self.target_place,
                at.format("%F %R UTC")
            ),
            (_, (Standing::Whole, true)) => bail!(
                "{} holds an installation already: a move fills an empty place only; name another \
                 one, or remove what is there (a move needs no `quaestor migrate` before it)",
                self.target_place
            ),
        }
    }

    async fn open_embedded(&self, world: &World) -> anyhow::Result<Side> {
        let sqlite = Arc::new(backends::open_sqlite(&self.file).await?);
        let tasks = TaskTracker::new();
        let objects = backends::open_objects(&self.embedded, world, &tasks).await?;
        let place = place_of(&self.file);
        Ok(Side { store: sqlite.clone(), objects, place, close: Close::Sqlite(sqlite), tasks })
    }

    async fn open_distributed(&self, world: &World) -> anyhow::Result<Side> {
        let options = PgOptions {
            alone: true,
            statement_timeout: STATEMENT_TIMEOUT,
            ..PgOptions::new(self.url()?.clone())
        };
        let postgres = Arc::new(PgStore::connect(options, world.clock.clone()).await?);
        let tasks = TaskTracker::new();
        let objects = backends::open_objects(&self.distributed, world, &tasks).await?;
        let place = format!("PostgreSQL at {}", postgres.place());
        Ok(Side {
            store: postgres.clone(),
            objects,
            place,
            close: Close::Postgres(postgres),
            tasks,
        })
    }
}

/// Where the embedded store is, for people.
fn place_of(file: &Path) -> String {
    std::path::absolute(file).unwrap_or_else(|_| file.to_path_buf()).display().to_string()
}

fn same_place(one: &ObjectsChoice, other: &ObjectsChoice) -> bool {
    match (one, other) {
        (ObjectsChoice::Local(one), ObjectsChoice::Local(other)) => {
            let real = |path: &Path| path.canonicalize().or_else(|_| std::path::absolute(path));
            matches!((real(one), real(other)), (Ok(one), Ok(other)) if one == other)
        }
        _ => one == other,
    }
}
