//! An installation in one process without its loops: a store and the models, for a command
//! that fills and searches it by itself.

use std::fs::File;
use std::sync::Arc;

use anyhow::Context as _;
use quaestor_backends::limits::provider::memory::MemoryProviderLimits;
use quaestor_core::clock::Clock;
use quaestor_core::ids::{IdSource, WorkspaceId};
use quaestor_core::ports::embedder::Embedder;
use quaestor_core::ports::provider_limits::ProviderLimits;
use quaestor_core::ports::store::Store;
use quaestor_core::retrieval::Reranking;

use super::backends::{Close, open_sqlite};
use super::{World, first_start, lock_data_dir, models};
use crate::config::{DatabaseChoice, Settings};

/// See the module.
pub(crate) struct Bare {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) workspace: WorkspaceId,
    pub(crate) embedder: Option<Arc<dyn Embedder>>,
    pub(crate) reranking: Option<Reranking>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) ids: IdSource,
    close: Close,
    _lock: File,
}

impl Bare {
    /// Opens what the configuration names, which must be a store of one process, and makes
    /// its first workspace.
    pub(crate) async fn open(settings: &Settings) -> anyhow::Result<Self> {
        let config = &settings.config;
        let lock = lock_data_dir(&config.data.dir)?;
        let DatabaseChoice::Sqlite(path) = config.data.database().map_err(anyhow::Error::msg)?
        else {
            anyhow::bail!("data.database_url names a server, and one process is all there is");
        };
        let world = World::of_process();
        // One process asks its models: what they allow is kept here.
        let limits: Arc<dyn ProviderLimits> =
            Arc::new(MemoryProviderLimits::new(world.clock.clone()));
        let guards = models::guards(config, &world, &limits, None);
        let sqlite = Arc::new(open_sqlite(&path).await?);
        let store: Arc<dyn Store> = sqlite.clone();
        first_start::first_key(config, &*store, &world).await?;
        let workspace = store.first_workspace().await.context("looking for the workspace")?;
        Ok(Self {
            workspace: workspace.context("the store has no workspace")?,
            store,
            embedder: models::open_embedders(settings, &world.clock, &guards)?.first().cloned(),
            reranking: models::open_reranking(config, &world.clock, &guards)?,
            clock: world.clock,
            ids: world.ids,
            close: Close::Sqlite(sqlite),
            _lock: lock,
        })
    }

    /// Lets go of the store.
    pub(crate) async fn close(self) {
        drop(self.store);
        self.close.run().await;
    }
}
