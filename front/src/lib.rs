//! The front: HTTP and WebSocket. It checks a request, accepts work into the store and
//! passes on what happens to it. It depends on the ports alone and calls no handler.

mod admission;
mod app;
mod auth;
mod http;
mod input;
mod jobs;
mod polite;
mod problem;
mod server;
mod settings;
mod socket;

use std::fmt;
use std::sync::Arc;

use quaestor_core::budgets::Budgets;
use quaestor_core::clock::Clock;
use quaestor_core::entropy::Entropy;
use quaestor_core::ids::IdSource;
use quaestor_core::ports::event_log::EventLog;
use quaestor_core::ports::limits::RateLimits;
use quaestor_core::ports::noticeboard::Noticeboard;
use quaestor_core::ports::objects::Objects;
use quaestor_core::ports::queue::Queue;
use quaestor_core::ports::store::Store;
use quaestor_core::ports::tickets::Tickets;
use quaestor_core::retrieval::Searcher;
use quaestor_core::wake::Wake;
use tokio_util::task::TaskTracker;

pub use http::openapi::document as openapi;
pub use http::route::{
    Access, Answer, BodyKind, IdOf, IdParam, Place, QueryKind, QueryParam, RateClass, Route, Verb,
};
pub use http::routes::routes;
pub use problem::{ALL_CODES, Code};
pub use server::{Offer, Stop, serve};
pub use settings::{Check, FrontSettings, Quotas, SocketSettings};
pub use socket::frames::{SocketMessage, socket_messages};

/// What the front needs of the application. The composition root fills it.
pub struct Front {
    /// Rows, text and vectors.
    pub store: Arc<dyn Store>,
    /// The queue, for its health alone.
    pub queue: Arc<dyn Queue>,
    /// The events of jobs.
    pub events: Arc<dyn EventLog>,
    /// Stored files.
    pub objects: Arc<dyn Objects>,
    /// Rate limits.
    pub limits: Arc<dyn RateLimits>,
    /// What processes tell of themselves.
    pub noticeboard: Arc<dyn Noticeboard>,
    /// One-time tickets for WebSockets.
    pub tickets: Arc<dyn Tickets>,
    /// Search.
    pub searcher: Searcher,
    /// What may be spent on models.
    pub budgets: Budgets,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Where ids come from.
    pub ids: IdSource,
    /// Where secrets come from.
    pub entropy: Arc<dyn Entropy>,
    /// Wakes the relay after each acceptance.
    pub wake: Wake,
    /// Writes all metrics in the format of Prometheus.
    pub metrics: Arc<dyn Fn() -> String + Send + Sync>,
    /// Limits and allow-lists.
    pub settings: FrontSettings,
}

impl fmt::Debug for Front {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Front").field("settings", &self.settings).finish_non_exhaustive()
    }
}

/// The router over a front that is never told to stop: for tests, and for programs that
/// serve it themselves. [`serve`] is the way to run it.
pub fn router(front: Arc<Front>) -> axum::Router {
    http::router(app::App::new(front, Stop::default(), TaskTracker::new()), Offer::Everything)
}
