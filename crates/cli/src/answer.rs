//! What a command has to say.

/// A command's text, styled, and the exit code that goes with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// For standard output; styles are dropped where it shows no colours.
    pub text: String,
    /// 0, or 1 if a request was rejected or settings are wrong.
    pub code: u8,
}

impl Answer {
    /// An answer that went well.
    pub fn fine(text: String) -> Self {
        Self { text, code: 0 }
    }
}
