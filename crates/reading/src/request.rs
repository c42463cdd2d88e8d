//! Admission requests: who asks for what; the objects stay text.

use std::borrow::Cow;

use crate::cursor::{Cursor, Malformed, Read};
use crate::object::Object;
use crate::value::Json;

/// What a Kubewarden policy is handed: a request and the policy's settings.
#[derive(Debug, Default)]
pub struct Payload<'a> {
    /// The request.
    pub request: Request<'a>,
    /// The settings, unread.
    pub settings: Option<Json<'a>>,
}

impl<'a> Payload<'a> {
    /// Reads a payload's text in one pass.
    pub fn from_text(text: &'a str) -> Result<Self, Malformed> {
        let (mut payload, mut cursor) = (Self::default(), Cursor::new(text));
        let mut request = None;
        cursor.members(&mut |key, cursor| {
            match key.as_ref() {
                "request" => request = Some(Request::read(cursor)?),
                "settings" => payload.settings = cursor.present()?,
                _ => cursor.skip()?,
            }
            Ok(())
        })?;
        payload.request = request.map_or_else(|| cursor.expected("a request"), Ok)?;
        cursor.end().map(|()| payload)
    }
}

/// An `AdmissionRequest` (`admission.k8s.io/v1`), in the API server's spelling or in the one of Kubewarden's SDK.
#[derive(Debug, Default)]
pub struct Request<'a> {
    /// Of which kind the object is.
    pub kind: GroupKind<'a>,
    /// CREATE, UPDATE, DELETE or CONNECT.
    pub operation: Cow<'a, str>,
    /// `status`, `scale`, … or empty for the object itself.
    pub sub_resource: Cow<'a, str>,
    /// Who asks.
    pub user_info: User<'a>,
    /// The object as it would be stored, or why it cannot be read: many requests are exempt by who asks, whatever their
    /// objects are.
    pub object: Option<Result<Object<'a>, Malformed>>,
    /// The object as it is stored, likewise.
    pub old_object: Option<Result<Object<'a>, Malformed>>,
    /// Whether nothing will be stored.
    pub dry_run: Option<bool>,
    /// The options of the operation.
    pub options: Options<'a>,
}

impl<'a> Request<'a> {
    /// Reads a request's text.
    pub fn from_text(text: &'a str) -> Result<Self, Malformed> {
        let mut cursor = Cursor::new(text);
        let request = Self::read(&mut cursor)?;
        cursor.end().map(|()| request)
    }

    fn read(cursor: &mut Cursor<'a>) -> Read<Self> {
        let mut request = Self::default();
        cursor.members(&mut |key, cursor| {
            match key.as_ref() {
                "kind" => cursor.members(&mut |key, cursor| {
                    match key.as_ref() {
                        "group" => request.kind.group = cursor.word()?,
                        "kind" => request.kind.kind = cursor.word()?,
                        _ => cursor.skip()?,
                    }
                    Ok(())
                })?,
                "operation" => request.operation = cursor.word()?,
                "subResource" | "sub_resource" => request.sub_resource = cursor.word()?,
                "userInfo" | "user_info" => cursor.members(&mut |key, cursor| {
                    match key.as_ref() {
                        "username" => request.user_info.username = cursor.word()?,
                        "groups" => cursor.elements(&mut |cursor| {
                            request.user_info.groups.push(cursor.string()?);
                            Ok(())
                        })?,
                        _ => cursor.skip()?,
                    }
                    Ok(())
                })?,
                "object" => request.object = Object::read_in_place(cursor)?,
                "oldObject" | "old_object" => request.old_object = Object::read_in_place(cursor)?,
                "dryRun" | "dry_run" => request.dry_run = cursor.bool()?,
                "options" => cursor.members(&mut |key, cursor| {
                    match key.as_ref() {
                        "fieldManager" => request.options.field_manager = cursor.word()?,
                        "propagationPolicy" => request.options.propagation_policy = cursor.word()?,
                        // Its older spelling; a request may have either, not both.
                        "orphanDependents" => {
                            if let Some(orphan) = cursor.bool()? {
                                let policy = if orphan { "Orphan" } else { "Background" };
                                request.options.propagation_policy = Cow::Borrowed(policy);
                            }
                        }
                        _ => cursor.skip()?,
                    }
                    Ok(())
                })?,
                _ => cursor.skip()?,
            }
            Ok(())
        })?;
        Ok(request)
    }
}

/// The kind of a request's object.
#[derive(Debug, Default)]
pub struct GroupKind<'a> {
    /// The API group, empty for the core group.
    pub group: Cow<'a, str>,
    /// The kind.
    pub kind: Cow<'a, str>,
}

/// The part of an operation's options that rules read.
#[derive(Debug, Default)]
pub struct Options<'a> {
    /// Of a create or update; empty when the client gave none.
    pub field_manager: Cow<'a, str>,
    /// Of a delete: `Orphan`, `Background` or `Foreground`; empty when the client gave none.
    pub propagation_policy: Cow<'a, str>,
}

/// Who asks.
#[derive(Debug, Default)]
pub struct User<'a> {
    /// The authenticated name, `system:serviceaccount:<namespace>:<name>` for a service account.
    pub username: Cow<'a, str>,
    /// The groups the API server knows the user by.
    pub groups: Vec<Cow<'a, str>>,
}
