//! What someone asks the API server to do, read lazily from the admission request's own text.
//!
//! Most requests pass after a few fields were read, so nothing is copied here and no tree is built: objects are views
//! into the request, their `spec`, `status`, labels and annotations stay text until a rule asks for them.

use std::borrow::Cow;

use autoscaler_guard_reading::{GroupKind, Malformed, Object, Request, User};

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
    /// `http.keda.sh` HTTPScaledObject of KEDA's HTTP add-on.
    HttpScaledObject,
    /// `apiregistration.k8s.io` APIService.
    ApiService,
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
            ("apiregistration.k8s.io", "APIService") => Self::ApiService,
            ("http.keda.sh", "HTTPScaledObject") => Self::HttpScaledObject,
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
            Self::HttpScaledObject => "HTTPScaledObject",
            Self::ApiService => "APIService",
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
            Self::HttpScaledObject => "httpscaledobject",
            Self::ApiService => "apiservice",
            Self::Other => "",
        }
    }
}

/// What a request says beside its objects.
#[derive(Debug)]
pub struct Attributes<'a> {
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
    /// Nothing will be stored. The verdict is the same, but for Flux's.
    pub dry_run: bool,
}

/// An `AdmissionRequest`: its attributes are read, its objects not yet taken.
#[derive(Debug)]
pub struct AdmissionRequest<'a> {
    /// All but the objects.
    pub attributes: Attributes<'a>,
    old: Option<Result<Object<'a>, Malformed>>,
    new: Option<Result<Object<'a>, Malformed>>,
}

/// One change to an object, as admission sees it.
#[derive(Clone, Debug)]
#[allow(clippy::large_enum_variant, reason = "there is one a request, and it is never moved about")]
pub enum Change<'a> {
    /// This object comes into being.
    Create(Object<'a>),
    /// An object becomes another.
    Update {
        /// As it is stored.
        old: Object<'a>,
        /// As it would be stored.
        new: Object<'a>,
    },
    /// This object is deleted.
    Delete(Object<'a>),
    /// Nothing happens to this object, which is there.
    Audit(Object<'a>),
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
    fn missing(path: &str) -> Self {
        Self { path: path.to_owned(), reason: "it is missing or empty".to_owned() }
    }

    pub(crate) fn at(path: &str, error: &Malformed) -> Self {
        Self { path: path.to_owned(), reason: error.to_string() }
    }
}

impl<'a> AdmissionRequest<'a> {
    /// Reads an `AdmissionRequest` (`admission.k8s.io/v1`), given as text.
    pub fn from_text(request: &'a str) -> Result<Self, Unreadable> {
        Self::new(Request::from_text(request).map_err(|error| Unreadable::at("request", &error))?)
    }

    /// Looks at a request.
    pub fn new(request: Request<'a>) -> Result<Self, Unreadable> {
        if request.operation.is_empty() {
            return Err(Unreadable::missing("request.operation"));
        }
        if request.kind.kind.is_empty() {
            return Err(Unreadable::missing("request.kind"));
        }
        let attributes = Attributes {
            kind: Kind::from_group_and_kind(&request.kind.group, &request.kind.kind),
            api: request.kind,
            operation: Operation::from_name(&request.operation),
            sub_resource: request.sub_resource,
            user: request.user_info,
            field_manager: request.options.field_manager,
            propagation_policy: request.options.propagation_policy,
            dry_run: request.dry_run.unwrap_or_default(),
        };
        Ok(Self { attributes, old: request.old_object, new: request.object })
    }

    /// Takes the creation of an object by nobody for what it is: Kubewarden's audit scanner replays every object so
    /// (kubewarden/audit-scanner, `newAdmissionRequest`).
    #[must_use]
    pub fn replayed(mut self) -> Self {
        if self.attributes.operation == Operation::Create && self.attributes.user.username.is_empty() {
            self.attributes.operation = Operation::Audit;
        }
        self
    }

    /// The change with its objects, or which of them cannot be read. An operation that no rule judges changes nothing:
    /// `None`.
    pub fn change(self) -> (Attributes<'a>, Result<Option<Change<'a>>, Unreadable>) {
        let operation = self.attributes.operation;
        (self.attributes, change_of(operation, self.old, self.new))
    }
}

fn change_of<'a>(
    operation: Operation,
    old: Option<Result<Object<'a>, Malformed>>,
    new: Option<Result<Object<'a>, Malformed>>,
) -> Result<Option<Change<'a>>, Unreadable> {
    let old = || needed("request.oldObject", old);
    let new = || needed("request.object", new);
    Ok(Some(match operation {
        // The kinds of all rules have status as a sub-resource: the API server drops what a writer puts in. But
        // admission sees it.
        Operation::Create => Change::Create(new()?.with_status_of(None)),
        // The new object first: its author can mend it.
        Operation::Update => {
            let (new, old) = (new()?, old()?);
            Change::Update { new: new.with_status_of(Some(&old)), old }
        }
        // Gatekeeper hands the old object of a DELETE over as `object` too.
        Operation::Delete => Change::Delete(old()?),
        Operation::Audit => Change::Audit(new()?),
        Operation::Other => return Ok(None),
    }))
}

fn needed<'a>(path: &str, found: Option<Result<Object<'a>, Malformed>>) -> Result<Object<'a>, Unreadable> {
    match found {
        Some(read) => read.map_err(|error| Unreadable::at(path, &error)),
        None => {
            Err(Unreadable { path: path.to_owned(), reason: "the operation needs it, and it is missing".to_owned() })
        }
    }
}

impl<'a> Change<'a> {
    /// The object that the change is about: as it will be, or as it was when it is deleted.
    pub fn object(&self) -> &Object<'a> {
        match self {
            Self::Create(object) | Self::Update { new: object, .. } | Self::Delete(object) | Self::Audit(object) => {
                object
            }
        }
    }

    /// The object as it is stored before a change (UPDATE, DELETE).
    pub fn before(&self) -> Option<&Object<'a>> {
        match self {
            Self::Update { old, .. } | Self::Delete(old) => Some(old),
            Self::Create(_) | Self::Audit(_) => None,
        }
    }

    /// The object as it would be stored, or is there to be audited (CREATE, UPDATE, audit).
    pub fn after(&self) -> Option<&Object<'a>> {
        match self {
            Self::Create(new) | Self::Update { new, .. } | Self::Audit(new) => Some(new),
            Self::Delete(_) => None,
        }
    }

    /// Both objects of an UPDATE.
    pub fn update(&self) -> Option<(&Object<'a>, &Object<'a>)> {
        match self {
            Self::Update { old, new } => Some((old, new)),
            _ => None,
        }
    }

    /// The object of a DELETE.
    pub fn deleted(&self) -> Option<&Object<'a>> {
        match self {
            Self::Delete(old) => Some(old),
            _ => None,
        }
    }

    /// Whether an object that is there is audited, and nothing happens to it.
    pub fn is_audit(&self) -> bool {
        matches!(self, Self::Audit(_))
    }
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
        let (attributes, change) = AdmissionRequest::from_text(&request).expect("it is well-formed").change();
        let change = change.expect("it has both objects").expect("an update is judged");
        assert_eq!((attributes.kind, attributes.operation), (Kind::HorizontalPodAutoscaler, Operation::Update));
        assert_eq!((attributes.field_manager.as_ref(), attributes.user.username.as_ref()), ("helm", "lab-admin"));
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
            assert_eq!(AdmissionRequest::from_text(text).map(|_| ()).map_err(|error| error.path), Err(path.to_owned()));
        }
        let request =
            r#"{"operation":"UPDATE","kind":{"group":"keda.sh","kind":"ScaledObject"},"object":{"metadata":[1]}}"#;
        let (_, change) = AdmissionRequest::from_text(request).expect("the envelope is well-formed").change();
        assert_eq!(change.map(|_| ()).map_err(|error| error.path), Err("request.object".to_owned()));
    }
}
