//! What a command has to say.

use crate::fault::Fault;

/// A command's text, styled, and the exit code that goes with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// For standard output; styles are dropped where it shows no colours.
    pub text: String,
    /// 0, or 1 if a request was rejected or settings are wrong.
    pub code: u8,
    /// What of the input is unusable, reported after the answer to the rest; the exit code is 2 then.
    pub faults: Vec<Fault>,
}

impl Answer {
    /// An answer that went well.
    pub fn fine(text: String) -> Self {
        Self { text, code: 0, faults: Vec::new() }
    }
}
