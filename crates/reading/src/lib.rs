//! Reads admission requests and Kubernetes objects out of their JSON text, as little of them as is asked for.
//!
//! A crate of its own because it is where the policy's time goes: in the module this crate is compiled for speed, and
//! the rules, which only ask it for fields, for size (`[profile.policy]`).

mod cursor;
mod edit;
mod navigate;

mod object;
mod request;
mod value;
mod write;

pub use cursor::Malformed;
pub use edit::{Fields, put};

pub use object::{Metadata, Object, OwnerReference, group_of, title};
pub use request::{GroupKind, Options, Payload, Request, User};
pub use value::Json;
pub use write::{Writer, quoted};

// Whatever a text holds, reading it gives a value or an error.
#[cfg(test)]
mod tests {
    #[test]
    fn odd_texts_are_errors_not_crashes() {
        for text in ["", "{", "[]", "{\"metadata\":3}", "\u{0}", "{\"a\":\"\\ud800\"}"] {
            let _ = super::Object::from_text(text);
            let _ = super::Payload::from_text(text);
            let _ = super::Json::new(text).at(&["a", "b"]);
        }
    }
}
