//! A value in a JSON text: the text itself, known to be one value.

/// A value in a JSON text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Json<'a>(&'a str);

impl<'a> Json<'a> {
    /// The value that a text is.
    pub fn new(text: &'a str) -> Self {
        Self(text)
    }

    /// The text itself.
    pub fn text(self) -> &'a str {
        self.0
    }
}
