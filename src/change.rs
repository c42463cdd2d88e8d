//! What someone asks the API server to do, read lazily from the admission request's own text.
//!
//! Most requests pass after a few fields were read, so nothing is copied here and no tree is built: objects are views into the
//! request, their `spec`, `status`, labels and annotations stay text until a rule asks for them.

use std::borrow::Cow;

use autoscaler_guard_reading::{GroupKind, InRequest, Malformed, Request, User};

use crate::kinds::scaled_object::ScaledObject;
use crate::kinds::{Object, ScaleTargetRef};

/// What the API server is about to do. Anything else (CONNECT, or what a later API server invents) concerns no rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// An object comes into being.
    Create,
    /// An object is replaced, patched or applied.
    Update,
    /// An object, or one of a collection, is deleted.
    Delete,
    /// Nothing happens to an object that is there: it is audited.
    Audit,
    /// Not an operation that this policy judges.
    Other,
}

impl Operation {
    fn from_name(name: &str) -> Self {
        match name {
            "CREATE" => Self::Create,
            "UPDATE" => Self::Update,
            "DELETE" => Self::Delete,
            _ => Self::Other,
        }
    }
}

/// The kinds whose changes are judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `autoscaling/v2` (or v1, v2beta2) HorizontalPodAutoscaler.
    HorizontalPodAutoscaler,
    /// `keda.sh/v1alpha1` ScaledObject.
    ScaledObject,
    /// `gateway.envoyproxy.io/v1alpha1` EnvoyProxy.
    EnvoyProxy,
    /// `gateway.networking.k8s.io` Gateway.
    Gateway,
    /// `gateway.networking.k8s.io` GatewayClass.
    GatewayClass,
    /// `apiextensions.k8s.io` CustomResourceDefinition.
    CustomResourceDefinition,
    /// A kind that no rule knows by name; settings may name it.
    Other,
}

impl Kind {
    pub(crate) fn from_group_and_kind(group: &str, kind: &str) -> Self {
        match (group, kind) {
            ("autoscaling", "HorizontalPodAutoscaler") => Self::HorizontalPodAutoscaler,
            ("keda.sh", "ScaledObject") => Self::ScaledObject,
            ("gateway.envoyproxy.io", "EnvoyProxy") => Self::EnvoyProxy,
            ("gateway.networking.k8s.io", "Gateway") => Self::Gateway,
            ("gateway.networking.k8s.io", "GatewayClass") => Self::GatewayClass,
            ("apiextensions.k8s.io", "CustomResourceDefinition") => Self::CustomResourceDefinition,
            _ => Self::Other,
        }
    }

    /// What messages call an object of the kind.
    pub fn name(self) -> &'static str {
        match self {
            Self::HorizontalPodAutoscaler => "HPA",
            Self::ScaledObject => "ScaledObject",
            Self::EnvoyProxy => "EnvoyProxy",
            Self::Gateway => "Gateway",
            Self::GatewayClass => "GatewayClass",
            Self::CustomResourceDefinition => "CustomResourceDefinition",
            Self::Other => "object",
        }
    }

    /// The resource as kubectl takes it.
    pub fn resource(self) -> &'static str {
        match self {
            Self::HorizontalPodAutoscaler => "hpa",
            Self::ScaledObject => "scaledobject",
            Self::EnvoyProxy => "envoyproxy",
            Self::Gateway => "gateway",
            Self::GatewayClass => "gatewayclass",
            Self::CustomResourceDefinition => "customresourcedefinition",
            Self::Other => "",
        }
    }
}

/// One change, as admission sees it.
#[derive(Debug)]
pub struct Change<'a> {
    /// The kind of the object, by API group and kind: the version does not matter.
    pub kind: Kind,
    /// API group and kind in their own words, for a kind that only settings name.
    pub api: GroupKind<'a>,
    /// What happens to it.
    pub operation: Operation,
    /// `status`, `scale`, … or empty for the object itself.
    pub sub_resource: Cow<'a, str>,
    /// Who asks.
    pub user: User<'a>,
    /// `options.fieldManager` of a create or update, empty when the client gave none.
    pub field_manager: Cow<'a, str>,
    /// `options.propagationPolicy` of a delete: `Orphan`, `Background`, `Foreground`, or empty.
    pub propagation_policy: Cow<'a, str>,
    /// Nothing will be stored. The verdict is the same.
    pub dry_run: bool,
    old_text: &'a str,
    new_text: &'a str,
    old_found: Option<InRequest<'a>>,
    new_found: Option<InRequest<'a>>,
    /// The object before the change (UPDATE, DELETE); there after [`Change::read_objects`].
    pub old: Option<Object<'a>>,
    /// The object as it would be stored (CREATE, UPDATE); there after [`Change::read_objects`].
    pub new: Option<Object<'a>>,
}

/// A request that cannot be judged because it cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unreadable {
    /// Where: a path such as `request.object.spec`.
    pub path: String,
    /// Why, in the words of the JSON reader.
    pub reason: String,
}

impl std::fmt::Display for Unreadable {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "cannot read {}: {}", self.path, self.reason)
    }
}

impl std::error::Error for Unreadable {}

impl Unreadable {
    pub(crate) fn at(path: &str, error: &Malformed) -> Self {
        Self { path: path.to_owned(), reason: error.to_string() }
    }
}

impl<'a> Change<'a> {
    /// A change out of an `AdmissionRequest` (`admission.k8s.io/v1`), given as text.
    pub fn from_text(request: &'a str) -> Result<Self, Unreadable> {
        Self::from_request(Request::from_text(request).map_err(|error| Unreadable::at("request", &error))?)
    }

    /// A change out of an `AdmissionRequest`. The objects are missing until [`Change::read_objects`]: many requests are
    /// let through by who asks.
    pub fn from_request(request: Request<'a>) -> Result<Self, Unreadable> {
        let missing =
            |field: &str| Unreadable { path: format!("request.{field}"), reason: "it is missing or empty".to_owned() };
        if request.operation.is_empty() {
            return Err(missing("operation"));
        }
        if request.kind.kind.is_empty() {
            return Err(missing("kind"));
        }
        Ok(Self {
            kind: Kind::from_group_and_kind(&request.kind.group, &request.kind.kind),
            api: request.kind,
            operation: Operation::from_name(&request.operation),
            sub_resource: request.sub_resource,
            user: request.user_info,
            field_manager: request.options.field_manager,
            propagation_policy: request.options.propagation_policy,
            dry_run: request.dry_run.unwrap_or_default(),
            old_text: request.old_object.as_ref().map_or("{}", |old| old.text),
            new_text: request.object.as_ref().map_or("{}", |new| new.text),
            old_found: request.old_object,
            new_found: request.object,
            old: None,
            new: None,
        })
    }

    /// Takes the creation of an object by nobody for what it is: Kubewarden's audit scanner replays every object so
    /// (kubewarden/audit-scanner, `newAdmissionRequest`).
    pub fn replayed(&mut self) {
        if self.operation == Operation::Create && self.user.username.is_empty() {
            self.operation = Operation::Audit;
        }
    }

    /// Whether an object that is there is audited, and nothing happens to it.
    pub fn is_audit(&self) -> bool {
        self.operation == Operation::Audit
    }

    /// Brings in the objects, or why one of them cannot be read.
    pub fn read_objects(&mut self) -> Result<(), Unreadable> {
        self.old = object_of("request.oldObject", self.old_found.take())?;
        // Gatekeeper hands the old object of a DELETE over as `object` too.
        if self.operation != Operation::Delete {
            self.new = object_of("request.object", self.new_found.take())?;
        }
        let missing = |path: &str| Unreadable {
            path: path.to_owned(),
            reason: "the operation needs it, and it is missing".to_owned(),
        };
        match self.operation {
            Operation::Create | Operation::Update | Operation::Audit if self.new.is_none() => {
                Err(missing("request.object"))
            }
            Operation::Update | Operation::Delete if self.old.is_none() => Err(missing("request.oldObject")),
            _ => Ok(()),
        }
    }

    /// The object that the change is about: as it will be, or as it was when it is deleted.
    pub fn object(&self) -> Option<&Object<'a>> {
        self.new.as_ref().or(self.old.as_ref())
    }

    /// Both objects of an UPDATE.
    pub fn update(&self) -> Option<(&Object<'a>, &Object<'a>)> {
        match (self.operation, &self.old, &self.new) {
            (Operation::Update, Some(old), Some(new)) => Some((old, new)),
            _ => None,
        }
    }

    /// The object of a DELETE.
    pub fn deleted(&self) -> Option<&Object<'a>> {
        self.old.as_ref().filter(|_| self.operation == Operation::Delete)
    }

    /// What the object of the change scales, when it is an autoscaler.
    pub fn target(&self, object: &Object<'a>) -> ScaleTargetRef<'a> {
        match self.kind {
            Kind::ScaledObject => ScaledObject::new(object.clone()).target(),
            _ => ScaleTargetRef::of_spec(object.spec()),
        }
    }

    /// Whether an update leaves an autoscaler aimed where it was.
    pub fn keeps_target(&self) -> bool {
        self.update().is_some_and(|(old, new)| {
            old.spec_text() == new.spec_text() || self.target(old).same_workload(&self.target(new))
        })
    }

    /// The whole new object, for a repair.
    pub fn new_text(&self) -> &'a str {
        self.new_text
    }

    /// The whole old object, for a repair that puts something back.
    pub fn old_text(&self) -> &'a str {
        self.old_text
    }
}

fn object_of<'a>(path: &str, found: Option<InRequest<'a>>) -> Result<Option<Object<'a>>, Unreadable> {
    found.map(|found| found.object).transpose().map_err(|error| Unreadable::at(path, &error))
}

#[cfg(test)]
mod tests {
    use super::*;

    const CAPTURED: &str =
        include_str!("../tests/fixtures/requests/keda-hpa-helm3/007-update-horizontalpodautoscaler-lab-admin.json");

    fn request_of(review: &'static str) -> String {
        let review: serde_json::Value = serde_json::from_str(review).expect("a captured review is JSON");
        review["request"].to_string()
    }

    #[test]
    fn reads_a_captured_update() {
        let request = request_of(CAPTURED);
        let mut change = Change::from_text(&request).expect("it is well-formed");
        change.read_objects().expect("it has both objects");
        assert_eq!((change.kind, change.operation), (Kind::HorizontalPodAutoscaler, Operation::Update));
        assert_eq!((change.field_manager.as_ref(), change.user.username.as_ref()), ("helm", "lab-admin"));
        let (old, new) = change.update().expect("an update has both");
        assert_eq!((old.metadata.name.as_ref(), new.metadata.namespace.as_ref()), ("web", "shop"));
        assert_eq!(old.metadata.owner_references().len(), 1);
    }

    #[test]
    fn says_where_it_cannot_read() {
        let cases = [
            ("3", "request"),
            ("[]", "request"),
            ("{}", "request.operation"),
            (r#"{"operation":"UPDATE","kind":{"kind":""}}"#, "request.kind"),
        ];
        for (text, path) in cases {
            assert_eq!(Change::from_text(text).map(|_| ()).map_err(|error| error.path), Err(path.to_owned()));
        }
        let request =
            r#"{"operation":"UPDATE","kind":{"group":"keda.sh","kind":"ScaledObject"},"object":{"metadata":[1]}}"#;
        let mut change = Change::from_text(request).expect("the envelope is well-formed");
        assert_eq!(change.read_objects().map_err(|error| error.path), Err("request.object".to_owned()));
    }
}
