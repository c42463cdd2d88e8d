//! Lists that a watch keeps up to date, so that a policy's next list costs no request.
//!
//! A kind is watched in the whole cluster, from the first time that it is listed. Of each object only what lists are
//! asked for is kept, as the text that an answer is put together from, by namespace. Whatever a watch cannot answer for
//! certain, since it has not begun, is broken, has not been heard of for a while or holds too much, is listed anew.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    pin::pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use futures_util::StreamExt;
use kube::{
    Api, Client,
    core::DynamicObject,
    runtime::watcher::{self, Event, watcher},
};
use tokio::{sync::watch, task::AbortHandle, time};
use tower::service_fn;

use super::discovery::Kind;
use crate::{
    List, WatchAge,
    view::{self, Mask, Place, View},
};

/// How long to wait before a broken watch begins anew; twice as long each time that it fails again.
const PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// How long the API server keeps a watch open, in seconds. It begins anew then, which shows that somebody is still
/// there.
const RENEWED: u32 = 45;
/// A watch of which nothing was heard for so long cannot be relied on.
const SILENT: Duration = Duration::from_mins(1);

/// The watches, by apiVersion and kind.
pub(super) struct Watches {
    room: Room,
    /// How long a list waits for its watch to begin.
    patience: Duration,
    kinds: Mutex<HashMap<(String, String), Arc<Watched>>>,
}

/// The bytes that may be kept, of all kinds together.
#[derive(Clone)]
struct Room {
    most: usize,
    taken: Arc<AtomicUsize>,
}

impl Room {
    /// Takes so many bytes instead of those; whether there is room for them.
    fn exchange(&self, before: usize, after: usize) -> bool {
        if after < before {
            self.taken.fetch_sub(before - after, Ordering::Relaxed);
            return true;
        }
        self.taken.fetch_add(after - before, Ordering::Relaxed) + (after - before) <= self.most
    }
}

/// A kind that is watched, until this is dropped.
struct Watched {
    fields: BTreeSet<String>,
    store: Arc<Store>,
    task: AbortHandle,
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// How far a watch can be relied on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// It is about to know all objects.
    Starting,
    /// It knows all objects, and hears of changes.
    Fresh,
    /// It does not hear of changes, or has become too large.
    Broken,
}

/// What is known of a kind.
struct Store {
    mask: Mask,
    room: Room,
    objects: Mutex<Objects>,
    state: watch::Sender<State>,
    /// When the API server was last heard of.
    heard: Mutex<Instant>,
}

/// Texts by namespace and name.
type Texts = BTreeMap<(String, String), String>;

#[derive(Default)]
struct Objects {
    known: Texts,
    /// What a new watch has brought so far; takes the place of `known` when it is complete.
    arriving: Texts,
    bytes: usize,
}

/// There are more bytes than may be kept.
#[derive(Debug, PartialEq, Eq)]
struct TooMuch;

impl Watches {
    pub(super) fn new(most: usize, patience: Duration) -> Self {
        let room = Room { most, taken: Arc::default() };
        Self { room, patience, kinds: Mutex::default() }
    }

    /// When each watch was last heard of.
    pub(super) fn ages(&self) -> Vec<WatchAge> {
        let kinds = self.kinds.lock().unwrap_or_else(PoisonError::into_inner);
        let age = |((_, kind), watched): (&(String, String), &Arc<Watched>)| WatchAge {
            kind: kind.clone(),
            age: watched.store.silence(),
        };
        kinds.iter().map(age).collect()
    }

    /// The answer to a list, if it is one that is watched and its watch can be relied on.
    pub(super) async fn list(&self, client: &Client, kind: &Kind, list: &List) -> Option<Vec<u8>> {
        let fields = list.field_masks.as_ref()?;
        if list.label_selector.is_some() || list.field_selector.is_some() {
            return None;
        }
        let watched = self.watched(client, kind, list, fields);
        let mut state = watched.store.state.subscribe();
        let started = state.wait_for(|state| *state != State::Starting);
        match time::timeout(self.patience, started).await {
            Ok(Ok(state)) if *state == State::Fresh => {}
            _ => return None,
        }
        watched.store.answer(list)
    }

    /// The watch of a list's kind, begun anew where it does not bring all fields that are asked for.
    fn watched(&self, client: &Client, kind: &Kind, list: &List, fields: &BTreeSet<String>) -> Arc<Watched> {
        let mut kinds = self.kinds.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (list.api_version.clone(), list.kind.clone());
        let known = kinds.get(&key);
        if let Some(known) = known.filter(|known| fields.is_subset(&known.fields)) {
            return Arc::clone(known);
        }
        let fields = known.map_or_else(|| fields.clone(), |known| known.fields.union(fields).cloned().collect());
        let watched = Arc::new(Watched::begin(client, kind, fields, self.room.clone()));
        kinds.insert(key, Arc::clone(&watched));
        watched
    }
}

impl Watched {
    fn begin(client: &Client, kind: &Kind, fields: BTreeSet<String>, room: Room) -> Self {
        let store = Arc::new(Store {
            mask: Mask::new(Some(&fields)),
            room,
            objects: Mutex::default(),
            state: watch::Sender::new(State::Starting),
            heard: Mutex::new(Instant::now()),
        });
        let (heard, client) = (Arc::clone(&store), client.clone());
        // A watch without changes shows by its renewals alone that the API server is there.
        let listening = service_fn(move |request| {
            let (heard, client) = (Arc::clone(&heard), client.clone());
            async move { client.send(request).await.inspect(|_| heard.hear()) }
        });
        let api = Api::all_with(Client::new(listening, "default"), &kind.resource);
        let task = tokio::spawn(keep_watching(api, Arc::clone(&store))).abort_handle();
        Self { fields, store, task }
    }
}

/// Watches until there is more than may be kept. A watch that fails begins with a list again, so that nothing is
/// missed.
async fn keep_watching(api: Api<DynamicObject>, store: Arc<Store>) {
    let mut pause = PAUSE;
    while let Ok(was_fresh) = watch_once(&api, &store).await {
        store.clear();
        if was_fresh {
            pause = PAUSE;
        }
        time::sleep(pause).await;
        pause = LONGEST_PAUSE.min(pause * 2);
    }
    store.clear();
}

/// Whether the watch had begun before it broke.
async fn watch_once(api: &Api<DynamicObject>, store: &Store) -> Result<bool, TooMuch> {
    let mut events = pin!(watcher(api.clone(), watcher::Config::default().timeout(RENEWED)));
    let mut was_fresh = false;
    while let Some(Ok(event)) = events.next().await {
        was_fresh |= matches!(event, Event::InitDone);
        if let Err(too_much) = store.take(event) {
            store.state.send_replace(State::Broken);
            return Err(too_much);
        }
    }
    store.state.send_replace(State::Broken);
    Ok(was_fresh)
}

impl Store {
    fn objects(&self) -> MutexGuard<'_, Objects> {
        self.objects.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn hear(&self) {
        *self.heard.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    /// How long nothing was heard.
    fn silence(&self) -> Duration {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner).elapsed()
    }

    fn clear(&self) {
        let mut objects = self.objects();
        self.room.exchange(objects.bytes, 0);
        objects.clear();
    }

    fn take(&self, event: Event<DynamicObject>) -> Result<(), TooMuch> {
        self.hear();
        let mut objects = self.objects();
        let before = objects.bytes;
        match event {
            Event::Init => objects.clear_arriving(),
            Event::InitApply(object) => objects.arrive(key(&object), self.text(&object)),
            Event::InitDone => {
                objects.complete();
                self.state.send_replace(State::Fresh);
            }
            Event::Apply(object) => objects.put(key(&object), self.text(&object)),
            Event::Delete(object) => objects.remove(&key(&object)),
        }
        if self.room.exchange(before, objects.bytes) { Ok(()) } else { Err(TooMuch) }
    }

    /// What is kept of an object: what a list would answer.
    fn text(&self, object: &DynamicObject) -> String {
        let object = serde_json::to_value(object).unwrap_or_default();
        let view = View { object: &object, mask: &self.mask, place: Place::Listed };
        serde_json::to_string(&view).unwrap_or_default()
    }

    /// The answer to a list, unless the watch has broken meanwhile.
    fn answer(&self, list: &List) -> Option<Vec<u8>> {
        let objects = self.objects();
        if *self.state.borrow() != State::Fresh || self.silence() > SILENT {
            return None;
        }
        let texts = objects.known.range(from(list.namespace.as_deref())..);
        let texts = texts.take_while(|((namespace, _), _)| list.namespace.as_ref().is_none_or(|of| of == namespace));
        Some(view::join_list(&list.api_version, &list.kind, texts.map(|(_, text)| text.as_str())))
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        self.clear();
    }
}

fn key(object: &DynamicObject) -> (String, String) {
    let metadata = &object.metadata;
    (metadata.namespace.clone().unwrap_or_default(), metadata.name.clone().unwrap_or_default())
}

/// Before the first object of a namespace, or of all.
fn from(namespace: Option<&str>) -> (String, String) {
    (namespace.unwrap_or_default().to_owned(), String::new())
}

fn size(key: &(String, String), text: &str) -> usize {
    key.0.len() + key.1.len() + text.len()
}

impl Objects {
    fn arrive(&mut self, key: (String, String), text: String) {
        self.bytes += size(&key, &text);
        self.arriving.insert(key, text);
    }

    fn complete(&mut self) {
        self.known = std::mem::take(&mut self.arriving);
        self.bytes = self.known.iter().map(|(key, text)| size(key, text)).sum();
    }

    fn put(&mut self, key: (String, String), text: String) {
        self.remove(&key);
        self.bytes += size(&key, &text);
        self.known.insert(key, text);
    }

    fn remove(&mut self, key: &(String, String)) {
        if let Some(text) = self.known.remove(key) {
            self.bytes -= size(key, &text);
        }
    }

    fn clear_arriving(&mut self) {
        self.bytes -= self.arriving.iter().map(|(key, text)| size(key, text)).sum::<usize>();
        self.arriving.clear();
    }

    fn clear(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests;
