//! Who owns, declares and scales whom, as boxes and arrows: the objects that were given, before and after the change.
//!
//! What follows from a change is drawn as far as Kubernetes itself does it: the garbage collector takes what loses its
//! last owner, and objects go with their definition. What KEDA and Envoy Gateway do then is what the verdict says.

use std::collections::{BTreeMap, BTreeSet};

use autoscaler_guard::Settings;
use autoscaler_guard::change::{AdmissionRequest, Attributes, Change, Kind};
use autoscaler_guard::cluster::Neighbours;
use autoscaler_guard::context::Context;
use autoscaler_guard::facts::envoy_gateway::{
    Effective, EnvoyProxySpec, Fleet, GROUP as ENVOY_GATEWAY, Gateway, GatewayClass, Topology, labelled_owner,
};
use autoscaler_guard::facts::hpa::HorizontalPodAutoscaler;
use autoscaler_guard::facts::scaled_object::ScaledObject;
use autoscaler_guard::subject::WorkloadRef;
use autoscaler_guard_objects::{Identity, Objects};
use autoscaler_guard_reading::{Json, Object, OwnerReference, group_of, title};
use typed_arena::Arena;

use crate::answer::{Meaning, Picture, PictureArrow, PictureBox, Pictures, Review};

const GATEWAY_API: &str = "gateway.networking.k8s.io";

/// The pictures of a change that was reviewed. `request` and `cluster` could be read.
pub(crate) fn pictures(request: &str, cluster: &str, settings: &Settings, review: &Review) -> Pictures {
    let scene = Scene::new(request, cluster, settings, review);
    let change = scene.change.as_ref();
    let repaired = review.object.as_ref().map(|object| scene.draw(Some(object.get()), None));
    let (before, asked) = match change {
        Some(Change::Create(new)) => (None, Some(new.text())),
        Some(Change::Delete(old)) => (Some(old.text()), None),
        Some(Change::Update { old, new }) => (Some(old.text()), Some(new.text())),
        // It is audited: nothing happens to it.
        Some(Change::Audit(object)) => (Some(object.text()), Some(object.text())),
        None => (None, None),
    };
    let deleted = change.and_then(Change::deleted);
    Pictures { before: scene.draw(before, None), asked: scene.draw(asked, deleted), repaired }
}

/// What all pictures of a change have in common.
struct Scene<'a> {
    /// What the request says beside its objects.
    attributes: Option<Attributes<'a>>,
    /// The change, where it is one of a whole object that can be read.
    change: Option<Change<'a>>,
    /// All objects but the one that changes.
    around: Vec<Stored<'a>>,
    /// The boxes that the verdict is about.
    at_stake: BTreeSet<&'a str>,
    settings: &'a Settings,
}

impl<'a> Scene<'a> {
    fn new(request: &'a str, cluster: &'a str, settings: &'a Settings, review: &'a Review) -> Self {
        let read = AdmissionRequest::from_text(request).ok().and_then(|request| {
            let request = if settings.audit { request.replayed() } else { request };
            let is_whole = matches!(request.attributes.sub_resource.as_ref(), "" | "status");
            let (attributes, change) = request.change();
            change.ok().flatten().filter(|_| is_whole).map(|change| (attributes, change))
        });
        let (attributes, change) = read.unzip();
        let changed = change.as_ref().map(|change| Identity::of(change.object()));
        let is_around = |one: &Stored<'_>| is_drawn(&one.object) && Some(Identity::of(&one.object)) != changed;
        let documents = Json::new(cluster).items(&[]).into_iter().map(Json::text);
        let around = documents.filter_map(Stored::read).filter(is_around).collect();
        let strongest = review.findings.first();
        let named = strongest.into_iter().flat_map(|finding| finding.workloads.iter().chain([&finding.autoscaler]));
        let at_stake = named.map(String::as_str).collect();
        Self { attributes, change, around, at_stake, settings }
    }

    /// The picture with the object that changes as it is in that text; `deleted` is what goes, with all that goes
    /// along.
    fn draw(&self, own: Option<&str>, deleted: Option<&Object<'_>>) -> Picture {
        let mut stored: Vec<Stored<'_>> = self.around.iter().cloned().chain(own.and_then(Stored::read)).collect();
        if let (Some(deleted), Some(request)) = (deleted, &self.attributes) {
            remove_dependants(&mut stored, deleted, request);
        }
        let mut drawing = Drawing::default();
        for Stored { object, .. } in &stored {
            drawing.boxed(&object.kind, &object.metadata.namespace, &object.metadata.name, true);
        }
        let by_uid: BTreeMap<&str, &Object<'_>> =
            stored.iter().map(|one| (one.object.metadata.uid.as_ref(), &one.object)).collect();
        for one in &stored {
            drawing.references(&one.object, &by_uid);
            drawing.declarations(one, self.settings);
        }
        for definition in stored.iter().filter(|one| one.object.kind == "CustomResourceDefinition") {
            drawing.defined(&definition.object, &stored);
        }
        if let (Some(request), Some(change)) = (&self.attributes, &self.change) {
            drawing.fleets(&stored, request, change, self.settings);
        }
        let requested = self.change.as_ref().map(|change| {
            let object = change.object();
            let metadata = &object.metadata;
            id(&object.kind, &metadata.namespace, &metadata.name)
        });
        drawing.finish(requested.as_deref(), &self.at_stake)
    }
}

/// An object with its text.
#[derive(Clone)]
struct Stored<'t> {
    text: &'t str,
    object: Object<'t>,
}

impl<'t> Stored<'t> {
    fn read(text: &'t str) -> Option<Self> {
        Object::from_text(text).ok().map(|object| Self { text, object })
    }
}

/// A box's id: what messages and audit annotations call the object.
fn id(kind: &str, namespace: &str, name: &str) -> String {
    title(if kind == "HorizontalPodAutoscaler" { "HPA" } else { kind }, namespace, name)
}

/// Namespaces, and documents that only say what may go wrong, own and scale nothing.
fn is_drawn(object: &Object<'_>) -> bool {
    object.kind != "Namespace" && !matches!(group_of(&object.api_version), "authorization.k8s.io" | "autoscaler-guard")
}

/// Takes away what goes with a deleted object: the objects of a definition, and whatever loses its last owner.
fn remove_dependants(stored: &mut Vec<Stored<'_>>, deleted: &Object<'_>, request: &Attributes<'_>) {
    let mut gone = BTreeSet::new();
    if request.kind == Kind::CustomResourceDefinition {
        let is_of_it = is_defined_by(deleted);
        take(stored, &mut gone, |object, _| is_of_it(object));
    } else if request.propagation_policy != "Orphan" {
        gone.insert(deleted.metadata.uid.to_string());
    }
    while take(stored, &mut gone, |object, gone| {
        let owners = object.metadata.owner_references();
        !owners.is_empty() && owners.iter().all(|owner| gone.contains(owner.uid.as_ref()))
    }) {}
}

fn is_defined_by<'d>(definition: &Object<'d>) -> impl Fn(&Object<'_>) -> bool + use<'d> {
    let spec = definition.spec();
    let (group, kind) = (spec.string(&["group"]), spec.string(&["names", "kind"]));
    move |object| {
        group.as_deref() == Some(group_of(&object.api_version)) && kind.as_deref() == Some(object.kind.as_ref())
    }
}

/// Takes objects away and keeps their uids; returns whether there were any.
fn take(
    stored: &mut Vec<Stored<'_>>,
    gone: &mut BTreeSet<String>,
    goes: impl Fn(&Object<'_>, &BTreeSet<String>) -> bool,
) -> bool {
    let (collected, staying): (Vec<_>, Vec<_>) = stored.drain(..).partition(|one| goes(&one.object, gone));
    *stored = staying;
    gone.extend(collected.iter().map(|one| one.object.metadata.uid.to_string()));
    !collected.is_empty()
}

#[derive(Default)]
struct Drawing {
    boxes: Vec<PictureBox>,
    arrows: Vec<PictureArrow>,
    /// Where the box of an id is.
    places: BTreeMap<String, usize>,
    drawn: BTreeSet<(usize, Meaning, usize)>,
}

impl Drawing {
    /// The place of an object's box, which is added if it is new.
    fn boxed(&mut self, kind: &str, namespace: &str, name: &str, there: bool) -> usize {
        let (id, boxes) = (id(kind, namespace, name), &mut self.boxes);
        *self.places.entry(id).or_insert_with_key(|id| {
            boxes.push(PictureBox {
                id: id.clone(),
                kind: kind.to_owned(),
                name: name.to_owned(),
                namespace: Some(namespace.to_owned()).filter(|namespace| !namespace.is_empty()),
                there,
                requested: false,
                at_stake: false,
            });
            boxes.len() - 1
        })
    }

    /// An arrow; the boxes at both ends are added if they are new, as objects that are not there.
    fn arrow(&mut self, from: (&str, &str, &str), meaning: Meaning, to: (&str, &str, &str)) {
        let from = self.boxed(from.0, from.1, from.2, false);
        let to = self.boxed(to.0, to.1, to.2, false);
        if self.drawn.insert((from, meaning, to)) {
            let id = |place: usize| self.boxes.get(place).map(|one| one.id.clone()).unwrap_or_default();
            let (from, to) = (id(from), id(to));
            self.arrows.push(PictureArrow { from, to, meaning, at_stake: false });
        }
    }

    /// What an object says itself: its owners, what it scales, what configures it, whose fleet it is.
    fn references(&mut self, object: &Object<'_>, by_uid: &BTreeMap<&str, &Object<'_>>) {
        let (namespace, name) = (object.metadata.namespace.as_ref(), object.metadata.name.as_ref());
        let this = (object.kind.as_ref(), namespace, name);
        for owner in object.metadata.owner_references() {
            self.owner(owner, this, by_uid);
        }
        let workload = match (group_of(&object.api_version), object.kind.as_ref()) {
            ("autoscaling", "HorizontalPodAutoscaler") => Some(HorizontalPodAutoscaler::new(object.clone()).workload()),
            ("keda.sh", "ScaledObject") => {
                Some(WorkloadRef::new(&ScaledObject::new(object.clone()).target(), namespace))
            }
            (GATEWAY_API, "GatewayClass") => {
                if let Some(proxy) = GatewayClass::new(object.clone()).proxy.filter(|it| it.other_kind.is_none()) {
                    self.arrow(("EnvoyProxy", &proxy.namespace, &proxy.name), Meaning::Configures, this);
                }
                None
            }
            (GATEWAY_API, "Gateway") => {
                let gateway = Gateway::new(object.clone());
                self.arrow(("GatewayClass", "", &gateway.class), Meaning::Configures, this);
                if let Some(proxy) = gateway.own_proxy.filter(|it| it.other_kind.is_none()) {
                    self.arrow(("EnvoyProxy", namespace, &proxy.name), Meaning::Configures, this);
                }
                None
            }
            ("apps", _) => {
                if let Some((kind, namespace, name)) = labelled_owner(object) {
                    self.arrow((kind, &namespace, &name), Meaning::Runs, this);
                }
                None
            }
            _ => None,
        };
        if let Some(workload) = workload {
            self.arrow(this, Meaning::Scales, (&workload.kind, &workload.namespace, &workload.name));
        }
    }

    fn owner(&mut self, owner: &OwnerReference<'_>, this: (&str, &str, &str), by_uid: &BTreeMap<&str, &Object<'_>>) {
        if let Some(known) = by_uid.get(owner.uid.as_ref()).filter(|_| !owner.uid.is_empty()) {
            let from = (known.kind.as_ref(), known.metadata.namespace.as_ref(), known.metadata.name.as_ref());
            return self.arrow(from, Meaning::Owns, this);
        }
        let namespace = if owner.kind == "GatewayClass" { "" } else { this.1 };
        // Another object of that name is not the owner.
        let named = self.places.get(&id(&owner.kind, namespace, &owner.name));
        let is_another = named.is_some_and(|place| self.boxes.get(*place).is_some_and(|one| one.there));
        let name = if is_another { format!("{} (gone)", owner.name) } else { owner.name.to_string() };
        self.arrow((&owner.kind, namespace, &name), Meaning::Owns, this);
    }

    /// The objects of a definition go with it.
    fn defined(&mut self, definition: &Object<'_>, stored: &[Stored<'_>]) {
        let this = (definition.kind.as_ref(), "", definition.metadata.name.as_ref());
        let is_of_it = is_defined_by(definition);
        for Stored { object, .. } in stored.iter().filter(|one| is_of_it(&one.object)) {
            self.arrow(this, Meaning::Owns, (&object.kind, &object.metadata.namespace, &object.metadata.name));
        }
    }

    fn runs(&mut self, fleet: &Fleet<'_>, deployment: (&str, &str, &str)) {
        if let Some((namespace, name)) = fleet.gateway() {
            self.arrow(("Gateway", namespace, name), Meaning::Runs, deployment);
        }
        if let Some(class) = fleet.class() {
            self.arrow(("GatewayClass", "", class), Meaning::Runs, deployment);
        }
    }

    /// What the objects of other operators declare, by setting `declarations`.
    fn declarations(&mut self, one: &Stored<'_>, settings: &Settings) {
        let Stored { text, object } = one;
        for declaration in &settings.declarations {
            if declaration.is_about(group_of(&object.api_version), &object.kind) && declaration.is_in(text) {
                let Some((namespace, name)) = declaration.hpa(object) else { continue };
                let from = (object.kind.as_ref(), &*object.metadata.namespace, &*object.metadata.name);
                self.arrow(from, Meaning::Declares, ("HorizontalPodAutoscaler", &namespace, &name));
            }
        }
    }

    /// What EnvoyProxies declare, by the rules' own reading of them.
    fn fleets(&mut self, stored: &[Stored<'_>], request: &Attributes<'_>, change: &Change<'_>, settings: &Settings) {
        let is_proxy =
            |object: &&Object<'_>| object.kind == "EnvoyProxy" && group_of(&object.api_version) == ENVOY_GATEWAY;
        let proxies: Vec<&Object<'_>> = stored.iter().map(|one| &one.object).filter(is_proxy).collect();
        if proxies.is_empty() {
            return;
        }
        let texts: Vec<&str> = stored.iter().map(|one| one.text).collect();
        let array = format!("[{}]", texts.join(","));
        let Ok(cluster) = Objects::read(&array, &settings.service_account) else { return };
        let arena = Arena::new();
        let neighbours = Neighbours::new(&cluster, &arena, &settings.service_account);
        let context = Context { request, change, neighbours, settings };
        let Ok(topology) = Topology::look_up(&context) else { return };
        for proxy in proxies {
            let spec = EnvoyProxySpec::of(proxy);
            let Ok(governed) = topology.governed(proxy, spec) else { continue };
            for fleet in governed.fleets {
                let effective = fleet.effective(Some(spec));
                if effective.is_daemon_set() {
                    continue;
                }
                let deployment = fleet.deployment(&effective);
                self.runs(&fleet, (&deployment.kind, &deployment.namespace, &deployment.name));
                // Another EnvoyProxy of the fleet may be the one that declares it.
                let own = Effective::new(Some(spec), None, None).hpa_text();
                if own.is_some() && own.map(str::as_ptr) == effective.hpa_text().map(str::as_ptr) {
                    let (namespace, name) = fleet.hpa(&effective);
                    let from = ("EnvoyProxy", proxy.metadata.namespace.as_ref(), proxy.metadata.name.as_ref());
                    self.arrow(from, Meaning::Declares, ("HorizontalPodAutoscaler", &namespace, &name));
                }
            }
        }
    }

    /// What hangs together with the object that changes, or with what is at stake.
    fn finish(mut self, requested: Option<&str>, at_stake: &BTreeSet<&str>) -> Picture {
        for drawn in &mut self.boxes {
            drawn.requested = Some(drawn.id.as_str()) == requested;
            drawn.at_stake = at_stake.contains(drawn.id.as_str());
        }
        for arrow in &mut self.arrows {
            arrow.at_stake = at_stake.contains(arrow.from.as_str()) && at_stake.contains(arrow.to.as_str());
        }
        let reached = self.reached_from(at_stake.iter().copied().chain(requested));
        self.boxes.retain(|drawn| reached.contains(&drawn.id));
        self.arrows.retain(|arrow| reached.contains(&arrow.from));
        Picture { boxes: self.boxes, arrows: self.arrows }
    }

    /// The ids that arrows lead to, in whichever direction, and those that were given.
    fn reached_from<'i>(&self, ids: impl Iterator<Item = &'i str>) -> BTreeSet<String> {
        let mut joined: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for PictureArrow { from, to, .. } in &self.arrows {
            joined.entry(from).or_default().push(to);
            joined.entry(to).or_default().push(from);
        }
        let (mut reached, mut next) = (BTreeSet::new(), ids.map(str::to_owned).collect::<Vec<_>>());
        while let Some(id) = next.pop() {
            if reached.insert(id.clone()) {
                next.extend(joined.get(id.as_str()).into_iter().flatten().map(|id| (*id).to_owned()));
            }
        }
        reached
    }
}
