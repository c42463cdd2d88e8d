//! A cluster, seen from its workloads: who aims at what, who declares what.

use std::collections::{BTreeMap, BTreeSet};

use autoscaler_guard::Settings;
use jiff::Timestamp;

use crate::facts::autoscaler::{Hpa, Scaled};
use crate::facts::fleet::Fleets;
use crate::facts::holder::Holders;
use crate::facts::operator::{self, Declared};
use crate::facts::record::Records;
use crate::inventory::Inventory;
use crate::object::{AUTOSCALING, HPA, Object, Ref};

/// All that a problem may look at.
#[derive(Debug)]
pub struct View<'i> {
    /// The objects.
    pub inventory: &'i Inventory,
    /// The policy's settings: where Envoy Gateway runs, what operators declare.
    pub settings: &'i Settings,
    /// When the objects were read.
    pub now: Timestamp,
    /// The HPAs that are not going away.
    pub hpas: Vec<Hpa<'i>>,
    /// The ScaledObjects that are not going away.
    pub scaled_objects: Vec<Scaled<'i>>,
    /// Helm's releases, Applications, Kustomizations.
    pub records: Records,
    /// Envoy Gateway's fleets.
    pub fleets: Fleets,
    /// Who holds workloads.
    pub holders: Holders,
    /// What operators' objects declare.
    pub declared: Vec<Declared<'i>>,
    hpas_on: BTreeMap<Ref, Vec<usize>>,
    scaled_objects_on: BTreeMap<Ref, Vec<usize>>,
    going_from: BTreeSet<Ref>,
    scaled_objects_by_uid: BTreeMap<String, usize>,
    scaled_objects_by_hpa: BTreeMap<Ref, usize>,
}

impl<'i> View<'i> {
    /// Looks at all objects.
    pub fn new(inventory: &'i Inventory, settings: &'i Settings, now: Timestamp) -> Self {
        let lives = |object: &&Object| !object.is_terminating();
        let hpas: Vec<Hpa<'i>> = inventory.kind(AUTOSCALING, HPA).filter(lives).map(Hpa::new).collect();
        let scaled_objects: Vec<Scaled<'i>> =
            inventory.kind("keda.sh", "ScaledObject").filter(lives).map(Scaled::new).collect();
        let goes = |object: &&Object| object.is_terminating();
        let hpas_going = inventory.kind(AUTOSCALING, HPA).filter(goes).map(|object| Hpa::new(object).target);
        let scaled_going =
            inventory.kind("keda.sh", "ScaledObject").filter(goes).map(|object| Scaled::new(object).target);
        let going_from = hpas_going.chain(scaled_going).collect();
        let mut hpas_on: BTreeMap<Ref, Vec<usize>> = BTreeMap::new();
        for (index, hpa) in hpas.iter().enumerate() {
            hpas_on.entry(hpa.target.clone()).or_default().push(index);
        }
        let mut scaled_objects_on: BTreeMap<Ref, Vec<usize>> = BTreeMap::new();
        let (mut scaled_objects_by_uid, mut scaled_objects_by_hpa) = (BTreeMap::new(), BTreeMap::new());
        for (index, scaled) in scaled_objects.iter().enumerate() {
            scaled_objects_by_uid.insert(scaled.object.uid().to_owned(), index);
            scaled_objects_by_hpa.insert(scaled.hpa.clone(), index);
            scaled_objects_on.entry(scaled.target.clone()).or_default().push(index);
        }
        Self {
            inventory,
            settings,
            now,
            hpas,
            scaled_objects,
            records: Records::of(inventory),
            fleets: Fleets::of(inventory, settings),
            holders: Holders::of(inventory),
            declared: operator::declared(inventory, settings),
            hpas_on,
            scaled_objects_on,
            going_from,
            scaled_objects_by_uid,
            scaled_objects_by_hpa,
        }
    }

    /// The HPAs that aim at a workload.
    pub fn hpas_on(&self, workload: &Ref) -> impl Iterator<Item = &Hpa<'i>> {
        self.hpas_on.get(workload).into_iter().flatten().filter_map(|index| self.hpas.get(*index))
    }

    /// The ScaledObjects that aim at a workload.
    pub fn scaled_objects_on(&self, workload: &Ref) -> impl Iterator<Item = &Scaled<'i>> {
        self.scaled_objects_on.get(workload).into_iter().flatten().filter_map(|index| self.scaled_objects.get(*index))
    }

    /// The ScaledObject that an HPA belongs to, by the uid of its owner.
    pub fn scaled_object_of(&self, hpa: &Hpa<'_>) -> Option<&Scaled<'i>> {
        let index = self.scaled_objects_by_uid.get(&hpa.scaled_object()?.uid)?;
        self.scaled_objects.get(*index)
    }

    /// The ScaledObject that writes an HPA of that name.
    pub fn scaled_object_for(&self, hpa: &Ref) -> Option<&Scaled<'i>> {
        self.scaled_objects.get(*self.scaled_objects_by_hpa.get(hpa)?)
    }

    /// Whether anything is there to scale a workload, paused or not, working or not; while one is being deleted
    /// something is under way.
    pub fn is_autoscaled(&self, workload: &Ref) -> bool {
        self.going_from.contains(workload)
            || self.hpas_on(workload).next().is_some()
            || self.scaled_objects_on(workload).next().is_some()
    }

    /// Whether a namespace is being deleted, with all that is in it.
    pub fn is_going(&self, namespace: &str) -> bool {
        let found = self.inventory.get(&Ref::new("", "Namespace", "", namespace));
        found.is_some_and(|found| found.is_terminating() || found.text("/status/phase") == "Terminating")
    }

    /// A workload that is there and stays.
    pub fn workload(&self, key: &Ref) -> Option<&'i Object> {
        self.inventory.get(key).filter(|object| !object.is_terminating())
    }
}
