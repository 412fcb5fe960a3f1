//! Who in this process listens to which channel. What the server pushes is handed to
//! bounded places; nobody who is slow holds up the others.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use quaestor_core::ids::{JobId, WorkspaceId};
use redis::{FromRedisValue, PushInfo, PushKind, Value};
use tokio::sync::Notify;

use super::entry::{Entry, announced};

/// Announcements that wait for a watcher; at one more it reads from the log instead.
const WAITING: usize = 64;

/// How a message begins that names a job: the sender's mark, the workspace and the job.
const NAMED: &str = "job ";

/// What a listener finds.
pub(super) enum Found {
    /// Something may stand in the log that was not announced to it.
    Reread,
    /// The next announcement.
    Announced(Arc<[Entry]>),
    /// A job that was named: one that is to be cancelled, or a followed conversation's.
    Named(WorkspaceId, JobId),
    /// Nothing yet.
    Nothing,
}

/// What was announced.
#[derive(Clone)]
enum Announcement {
    Entries(Arc<[Entry]>),
    Named(WorkspaceId, JobId),
}

/// Where one listener gets its announcements.
pub(super) struct Place {
    state: Mutex<PlaceState>,
    woken: Notify,
    /// Whether it waits for a message as such: there is no log behind the channel.
    signal: bool,
}

struct PlaceState {
    waiting: VecDeque<Announcement>,
    reread: bool,
    bound: usize,
}

impl Place {
    fn new(bound: usize, signal: bool) -> Self {
        let state = PlaceState { waiting: VecDeque::new(), reread: false, bound };
        Self { state: Mutex::new(state), woken: Notify::new(), signal }
    }

    /// The subscription stands: what came before it is in the log.
    fn subscribed(&self) {
        if !self.signal {
            self.reread();
        }
    }

    fn state(&self) -> MutexGuard<'_, PlaceState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells the listener to read from the log.
    pub(super) fn reread(&self) {
        let mut state = self.state();
        state.reread = true;
        // The read will find these too.
        state.waiting.clear();
        drop(state);
        self.woken.notify_one();
    }

    fn announce(&self, announcement: Announcement) {
        let mut state = self.state();
        if state.reread {
            return;
        }
        if state.waiting.len() >= state.bound {
            state.reread = true;
            state.waiting.clear();
        } else {
            state.waiting.push_back(announcement);
        }
        drop(state);
        self.woken.notify_one();
    }

    pub(super) fn take(&self) -> Found {
        let mut state = self.state();
        if std::mem::take(&mut state.reread) {
            return Found::Reread;
        }
        match state.waiting.pop_front() {
            Some(Announcement::Entries(entries)) => Found::Announced(entries),
            Some(Announcement::Named(workspace, job)) => Found::Named(workspace, job),
            None => Found::Nothing,
        }
    }

    /// Returns when there may be something to take.
    pub(super) async fn woken(&self) {
        self.woken.notified().await;
    }
}

/// The sender of a message that names a job, the workspace, and the job.
fn named(payload: &Value) -> Option<(&str, WorkspaceId, JobId)> {
    let Value::BulkString(bytes) = payload else { return None };
    let mut words = std::str::from_utf8(bytes).ok()?.strip_prefix(NAMED)?.split(' ');
    let (sender, workspace, job) = (words.next()?, words.next()?, words.next()?);
    Some((sender, WorkspaceId(workspace.parse().ok()?), JobId(job.parse().ok()?)))
}

/// What became of a channel.
pub(super) struct Change {
    pub(super) channel: Arc<str>,
    /// Whether somebody listens to it now.
    pub(super) wanted: bool,
    /// Whether the server has ended the subscription.
    pub(super) ended: bool,
}

struct Channel {
    places: Vec<Arc<Place>>,
    /// Whether the server has confirmed the subscription.
    live: bool,
}

/// The channels that somebody in this process listens to.
pub(super) struct Hub {
    channels: Mutex<HashMap<Arc<str>, Channel>>,
    /// What became of channels since the last look, and whether the server has ended the
    /// subscription meanwhile.
    changed: Mutex<HashMap<Arc<str>, bool>>,
    wake: Notify,
    /// Marks what this process itself sends to its own listeners at once.
    own: String,
    bound: usize,
}

impl Hub {
    pub(super) fn new(own: String) -> Self {
        Self {
            channels: Mutex::default(),
            changed: Mutex::default(),
            wake: Notify::new(),
            own,
            bound: WAITING,
        }
    }

    fn channels(&self) -> MutexGuard<'_, HashMap<Arc<str>, Channel>> {
        self.channels.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn changed(&self) -> MutexGuard<'_, HashMap<Arc<str>, bool>> {
        self.changed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Listens to a channel. The place is told to read from the log as soon as the
    /// subscription stands, and after each time that it stands anew.
    pub(super) fn listen(self: &Arc<Self>, channel: &str) -> Listening {
        self.enter(channel, false)
    }

    /// Listens to a channel for whatever is sent to it from now on.
    pub(super) fn listen_for_signal(self: &Arc<Self>, channel: &str) -> Listening {
        self.enter(channel, true)
    }

    fn enter(self: &Arc<Self>, channel: &str, signal: bool) -> Listening {
        let place = Arc::new(Place::new(self.bound, signal));
        let name: Arc<str> = channel.into();
        let subscribe = {
            let mut channels = self.channels();
            let channel = channels
                .entry(Arc::clone(&name))
                .or_insert_with(|| Channel { places: Vec::new(), live: false });
            channel.places.push(Arc::clone(&place));
            if channel.live {
                place.subscribed();
            }
            !channel.live
        };
        if subscribe {
            self.change(&name);
        }
        Listening { hub: Arc::clone(self), channel: name, place }
    }

    fn change(&self, channel: &Arc<str>) {
        self.changed().entry(Arc::clone(channel)).or_insert(false);
        self.wake.notify_one();
    }

    /// What the server sent. Called on the connection's own task.
    pub(super) fn pushed(&self, push: &PushInfo) {
        let [channel, payload] = push.data.as_slice() else { return };
        let Ok(channel) = String::from_redis_value_ref(channel) else { return };
        match push.kind {
            PushKind::Message | PushKind::SMessage => {}
            PushKind::SUnsubscribe => return self.ended(&channel),
            PushKind::SSubscribe => return self.again_by_itself(&channel),
            _ => return,
        }
        let announcement = match named(payload) {
            // The listeners here have it already.
            Some((sender, ..)) if sender == self.own => return,
            Some((_, workspace, job)) => Some(Announcement::Named(workspace, job)),
            None => announced(payload).map(|entries| Announcement::Entries(entries.into())),
        };
        self.announce(&channel, announcement.as_ref());
    }

    /// The server has ended a subscription: in a cluster the channel moved to another node.
    /// Where it is still wanted it is subscribed to anew.
    fn ended(&self, channel: &str) {
        let mut channels = self.channels();
        let Some((name, _)) = channels.get_key_value(channel) else { return };
        let name = Arc::clone(name);
        if let Some(channel) = channels.get_mut(channel) {
            channel.live = false;
        }
        drop(channels);
        self.changed().insert(name, true);
        self.wake.notify_one();
    }

    /// A subscription stands that already stood: the driver has made it anew on another
    /// node, and what came meanwhile was told to nobody.
    fn again_by_itself(&self, channel: &str) {
        if let Some(channel) = self.channels().get(channel).filter(|channel| channel.live) {
            channel.places.iter().for_each(|place| place.subscribed());
        }
    }

    fn announce(&self, channel: &str, announcement: Option<&Announcement>) {
        let mut channels = self.channels();
        let Some(channel) = channels.get_mut(channel) else { return };
        for place in &channel.places {
            match announcement {
                Some(announcement) => place.announce(announcement.clone()),
                None => place.reread(),
            }
        }
    }

    /// Names a job to the listeners of a channel that are in this process. Returns what
    /// tells the others.
    pub(super) fn name_job(&self, channel: &str, workspace: WorkspaceId, job: JobId) -> String {
        self.announce(channel, Some(&Announcement::Named(workspace, job)));
        format!("{NAMED}{} {} {}", self.own, workspace.uuid().simple(), job.uuid().simple())
    }

    /// Returns when a channel was entered or left.
    pub(super) async fn channels_changed(&self) {
        self.wake.notified().await;
    }

    /// The channels that were entered or left since the last time.
    pub(super) fn changes(&self) -> Vec<Change> {
        let changed = std::mem::take(&mut *self.changed());
        let channels = self.channels();
        changed
            .into_iter()
            .map(|(channel, ended)| {
                let wanted = channels.contains_key(&channel);
                Change { channel, wanted, ended }
            })
            .collect()
    }

    /// A subscription stands: whoever listens reads what came before it.
    pub(super) fn subscribed(&self, channel: &str) {
        if let Some(channel) = self.channels().get_mut(channel) {
            channel.live = true;
            channel.places.iter().for_each(|place| place.subscribed());
        }
    }

    /// No subscription stands any more; all are wanted anew.
    pub(super) fn disconnected(&self) {
        let mut channels = self.channels();
        for channel in channels.values_mut() {
            channel.live = false;
        }
        let all = channels.keys().map(|channel| (Arc::clone(channel), false)).collect();
        drop(channels);
        *self.changed() = all;
    }

    /// Tries a channel again at the next turn.
    pub(super) fn again(&self, channel: &Arc<str>) {
        self.changed().entry(Arc::clone(channel)).or_insert(false);
    }

    fn leave(&self, channel: &Arc<str>, place: &Arc<Place>) {
        let empty = {
            let mut channels = self.channels();
            let Some(listeners) = channels.get_mut(channel) else { return };
            listeners.places.retain(|other| !Arc::ptr_eq(other, place));
            let empty = listeners.places.is_empty();
            if empty {
                channels.remove(channel);
            }
            empty
        };
        if empty {
            self.change(channel);
        }
    }
}

/// One listener; it leaves the channel when it is dropped.
pub(super) struct Listening {
    hub: Arc<Hub>,
    channel: Arc<str>,
    pub(super) place: Arc<Place>,
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.hub.leave(&self.channel, &self.place);
    }
}
