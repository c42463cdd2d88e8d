//! Admission requests: who asks for what; the objects stay text.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

/// What a Kubewarden policy is handed: a request and the policy's settings.
#[derive(Debug, Deserialize)]
pub struct Payload<'a> {
    /// The request.
    #[serde(borrow)]
    pub request: Request<'a>,
    /// The settings, unread.
    #[serde(borrow, default)]
    pub settings: Option<&'a RawValue>,
}

impl<'a> Payload<'a> {
    /// Reads a payload's text in one pass.
    pub fn from_text(text: &'a str) -> Result<Self, serde_json::Error> {
        serde_json::from_str(text)
    }
}

/// An `AdmissionRequest` (`admission.k8s.io/v1`), in the API server's spelling or in the one of Kubewarden's SDK.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Request<'a> {
    /// Of which kind the object is.
    #[serde(borrow)]
    pub kind: GroupKind<'a>,
    /// CREATE, UPDATE, DELETE or CONNECT.
    #[serde(borrow)]
    pub operation: Cow<'a, str>,
    /// `status`, `scale`, … or empty for the object itself.
    #[serde(borrow, alias = "sub_resource")]
    pub sub_resource: Cow<'a, str>,
    /// Who asks.
    #[serde(borrow, alias = "user_info")]
    pub user_info: User<'a>,
    /// The object as it would be stored.
    #[serde(borrow)]
    pub object: Option<&'a RawValue>,
    /// The object as it is stored.
    #[serde(borrow, alias = "old_object")]
    pub old_object: Option<&'a RawValue>,
    /// Whether nothing will be stored.
    #[serde(alias = "dry_run")]
    pub dry_run: Option<bool>,
    /// The options of the operation.
    #[serde(borrow)]
    pub options: Option<Options<'a>>,
}

impl<'a> Request<'a> {
    /// Reads a request's text.
    pub fn from_text(text: &'a str) -> Result<Self, serde_json::Error> {
        serde_json::from_str(text)
    }
}

/// The kind of a request's object.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct GroupKind<'a> {
    /// The API group, empty for the core group.
    #[serde(borrow)]
    pub group: Cow<'a, str>,
    /// The kind.
    #[serde(borrow)]
    pub kind: Cow<'a, str>,
}

/// The part of an operation's options that rules read.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Options<'a> {
    /// Of a create or update, when the client gave one.
    #[serde(borrow)]
    pub field_manager: Option<Cow<'a, str>>,
    /// Of a delete: `Orphan`, `Background` or `Foreground`.
    #[serde(borrow)]
    pub propagation_policy: Option<Cow<'a, str>>,
}

/// Who asks.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct User<'a> {
    /// The authenticated name, `system:serviceaccount:<namespace>:<name>` for a service account.
    #[serde(borrow)]
    pub username: Cow<'a, str>,
    /// The groups the API server knows the user by.
    #[serde(borrow)]
    pub groups: Vec<Cow<'a, str>>,
}
