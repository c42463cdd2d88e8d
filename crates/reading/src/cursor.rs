//! One pass over a JSON text.
//!
//! This is where the policy's time goes, so the walk from token to token is written out here; what is rare (escapes,
//! numbers) is hifijson's. Nothing recurses: nesting costs a bit of memory a level and no stack, so an object may be
//! nested as deep as it likes.

use std::borrow::Cow;
use std::fmt;

use hifijson::SliceLexer;
use hifijson::num::Lex as _;
use hifijson::str::LexAlloc as _;

use crate::value::Json;

/// Why and where a text cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed {
    expected: &'static str,
    at: usize,
}

impl fmt::Display for Malformed {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "expected {} at byte {}", self.expected, self.at)
    }
}

impl std::error::Error for Malformed {}

pub(crate) type Read<T> = Result<T, Malformed>;

/// What is done with each member of an object: it reads or skips the value, which is next.
type EachMember<'f, 'a> = &'f mut dyn FnMut(Cow<'a, str>, &mut Cursor<'a>) -> Read<()>;

/// A place in a JSON text.
#[derive(Clone)]
pub(crate) struct Cursor<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Cursor<'a> {
    /// The beginning of a text.
    pub(crate) fn new(text: &'a str) -> Self {
        Self { text, at: 0 }
    }

    fn since(&self, start: usize) -> &'a str {
        self.text.get(start..self.at).unwrap_or_default()
    }

    #[cold]
    pub(crate) fn expected<T>(&self, expected: &'static str) -> Read<T> {
        Err(Malformed { expected, at: self.at })
    }

    /// The next byte that is no white space; 0, which no token begins with, at the end.
    fn peek(&mut self) -> u8 {
        while let Some(byte) = self.text.as_bytes().get(self.at).copied() {
            if !matches!(byte, b' ' | b'\n' | b'\r' | b'\t') {
                return byte;
            }
            self.at += 1;
        }
        0
    }

    fn take(&mut self, byte: u8) -> bool {
        let found = self.peek() == byte;
        self.at += usize::from(found);
        found
    }

    /// Whether nothing but white space is left.
    pub(crate) fn end(&mut self) -> Read<()> {
        self.peek();
        if self.at == self.text.len() { Ok(()) } else { self.expected("the end") }
    }

    /// Passes `null`, if it is next: what a field of it says is the same as no field.
    pub(crate) fn null(&mut self) -> Read<bool> {
        if self.peek() == b'n' { self.literal().map(|()| true) } else { Ok(false) }
    }

    /// Visits the members of an object; `null` is an object without any.
    pub(crate) fn members(&mut self, each: EachMember<'_, 'a>) -> Read<()> {
        let member = &mut |cursor: &mut Self| {
            let key = cursor.key()?;
            each(key, cursor)
        };
        self.sequence([b'{', b'}'], ["an object", "a comma or the end of the object"], member)
    }

    /// Visits the elements of a list; `null` is a list without any.
    pub(crate) fn elements(&mut self, each: &mut dyn FnMut(&mut Cursor<'a>) -> Read<()>) -> Read<()> {
        self.sequence([b'[', b']'], ["a list", "a comma or the end of the list"], each)
    }

    fn sequence(
        &mut self,
        [open, close]: [u8; 2],
        [whole, next]: [&'static str; 2],
        each: &mut dyn FnMut(&mut Cursor<'a>) -> Read<()>,
    ) -> Read<()> {
        if self.null()? {
            return Ok(());
        }
        if !self.take(open) {
            return self.expected(whole);
        }
        if self.take(close) {
            return Ok(());
        }
        loop {
            each(self)?;
            if self.take(close) {
                return Ok(());
            }
            if !self.take(b',') {
                return self.expected(next);
            }
        }
    }

    /// Reads a string, without a copy unless something in it is escaped.
    pub(crate) fn string(&mut self) -> Read<Cow<'a, str>> {
        if !self.take(b'"') {
            return self.expected("a string");
        }
        let start = self.at;
        self.pass_plain();
        let text = self.since(start);
        if self.byte() == Some(b'"') {
            self.at += 1;
            return Ok(Cow::Borrowed(text));
        }
        self.at = start;
        self.escaped_string()
    }

    #[cold]
    fn escaped_string(&mut self) -> Read<Cow<'a, str>> {
        let mut lexer = self.lexer();
        let Ok(text) = lexer.str_string() else {
            return self.expected("a string without control characters or odd escapes");
        };
        self.at = self.text.len() - lexer.as_slice().len();
        Ok(text)
    }

    /// Reads a string; `null` is an empty one.
    pub(crate) fn word(&mut self) -> Read<Cow<'a, str>> {
        if self.null()? { Ok(Cow::Borrowed("")) } else { self.string() }
    }

    /// Reads `true` or `false`; `null` is neither.
    pub(crate) fn bool(&mut self) -> Read<Option<bool>> {
        match self.peek() {
            b't' => self.literal().map(|()| Some(true)),
            b'f' => self.literal().map(|()| Some(false)),
            b'n' => self.literal().map(|()| None),
            _ => self.expected("true or false"),
        }
    }

    /// Moves on to where another cursor in the same text stands, and gives the value in between.
    pub(crate) fn up_to(&mut self, other: &Self) -> &'a str {
        let start = std::mem::replace(&mut self.at, other.at);
        self.since(start)
    }

    /// Passes a value and gives its text; `null` counts as absent.
    pub(crate) fn present(&mut self) -> Read<Option<Json<'a>>> {
        if self.null()? { Ok(None) } else { self.value().map(Some) }
    }

    /// Passes a value and gives its text.
    pub(crate) fn value(&mut self) -> Read<Json<'a>> {
        self.peek();
        let start = self.at;
        self.skip()?;
        Ok(Json::new(self.since(start)))
    }

    /// Passes a value.
    pub(crate) fn skip(&mut self) -> Read<()> {
        let mut open = Open::default();
        loop {
            match self.peek() {
                b'"' => self.skip_string()?,
                b'{' => {
                    self.at += 1;
                    if !self.take(b'}') {
                        open.push(true);
                        self.skip_key()?;
                        continue;
                    }
                }
                b'[' => {
                    self.at += 1;
                    if !self.take(b']') {
                        open.push(false);
                        continue;
                    }
                }
                b'-' | b'0'..=b'9' => self.skip_number()?,
                _ => self.literal()?,
            }
            loop {
                if open.depth == 0 {
                    return Ok(());
                }
                let (in_object, byte) = (open.is_object(), self.peek());
                if byte == b',' {
                    self.at += 1;
                    if in_object {
                        self.skip_key()?;
                    }
                    break;
                }
                if byte != if in_object { b'}' } else { b']' } {
                    return self.expected("a comma or the end of the object or list");
                }
                self.at += 1;
                open.pop();
            }
        }
    }

    fn literal(&mut self) -> Read<()> {
        let literal: &[u8] = match self.peek() {
            b't' => b"true",
            b'f' => b"false",
            _ => b"null",
        };
        if !self.text.as_bytes().get(self.at..).is_some_and(|rest| rest.starts_with(literal)) {
            return self.expected("a value");
        }
        self.at += literal.len();
        Ok(())
    }

    fn skip_number(&mut self) -> Read<()> {
        let mut lexer = self.lexer();
        if lexer.num_ignore().validate().is_err() {
            return self.expected("a number");
        }
        self.at = self.text.len() - lexer.as_slice().len();
        Ok(())
    }

    fn key(&mut self) -> Read<Cow<'a, str>> {
        let key = self.string()?;
        if self.take(b':') { Ok(key) } else { self.expected("a colon") }
    }

    fn skip_key(&mut self) -> Read<()> {
        if self.peek() != b'"' {
            return self.expected("a string");
        }
        self.skip_string()?;
        if self.take(b':') { Ok(()) } else { self.expected("a colon") }
    }

    fn skip_string(&mut self) -> Read<()> {
        self.at += 1;
        loop {
            self.pass_plain();
            match self.byte() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(());
                }
                Some(b'\\') => self.skip_escape()?,
                _ => return self.expected("the end of the string"),
            }
        }
    }

    fn skip_escape(&mut self) -> Read<()> {
        let bytes = self.text.as_bytes();
        let digits = match bytes.get(self.at + 1) {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => 0,
            Some(b'u') => 4,
            _ => return self.expected("an escape sequence"),
        };
        let hex = bytes.get(self.at + 2..self.at + 2 + digits);
        if !hex.is_some_and(|hex| hex.iter().all(u8::is_ascii_hexdigit)) {
            return self.expected("an escape sequence");
        }
        self.at += 2 + digits;
        Ok(())
    }

    fn byte(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    /// Moves on to the next quote, backslash or control character, eight bytes at a time.
    fn pass_plain(&mut self) {
        const ONES: u64 = u64::MAX / 255;
        // The high bit of each byte that is less than `limit`; right for the lowest such byte, which is the one that
        // counts.
        let below = |word: u64, limit: u64| word.wrapping_sub(ONES * limit) & !word & (ONES << 7);
        let bytes = self.text.as_bytes();
        while let Some(chunk) = bytes.get(self.at..).and_then(<[u8]>::first_chunk) {
            let word = u64::from_le_bytes(*chunk);
            let quote = below(word ^ (ONES * u64::from(b'"')), 1);
            let backslash = below(word ^ (ONES * u64::from(b'\\')), 1);
            let found = quote | backslash | below(word, 0x20);
            if found != 0 {
                self.at += found.trailing_zeros() as usize / 8;
                return;
            }
            self.at += chunk.len();
        }
        while self.byte().is_some_and(|byte| !matches!(byte, b'"' | b'\\' | 0..=0x1F)) {
            self.at += 1;
        }
    }

    fn lexer(&self) -> SliceLexer<'a> {
        SliceLexer::new(self.text.as_bytes().get(self.at..).unwrap_or_default())
    }
}

/// Which objects and lists are open, a bit each; nothing is allocated for the first 63 levels.
#[derive(Default)]
struct Open {
    depth: usize,
    innermost: u64,
    outer: Vec<u64>,
}

impl Open {
    fn push(&mut self, is_object: bool) {
        self.depth += 1;
        if self.depth.is_multiple_of(64) {
            self.outer.push(self.innermost);
        }
        self.innermost = self.innermost << 1 | u64::from(is_object);
    }

    fn pop(&mut self) {
        self.innermost >>= 1;
        if self.depth.is_multiple_of(64) {
            self.innermost = self.outer.pop().unwrap_or_default();
        }
        self.depth -= 1;
    }

    fn is_object(&self) -> bool {
        self.innermost & 1 == 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn whole(text: &str) -> Read<&str> {
        let mut cursor = Cursor::new(text);
        let value = cursor.value()?;
        cursor.end().map(|()| value.text())
    }

    #[test]
    fn passes_values_to_the_byte() {
        for text in ["null", "true", "-0.5e+7", r#""a\"\u00e9\\""#, "[]", "{}", r#"[1,[2,{"a":[],"b":{}}],"]"]"#] {
            assert_eq!(whole(&format!(" {text}\n")), Ok(text));
        }
    }

    #[test]
    fn agrees_with_a_full_parser_on_what_is_json() {
        for text in [
            "",
            "{",
            "]",
            "[1,]",
            "[1 2]",
            "{\"a\"}",
            "{\"a\":}",
            "{\"a\":1,}",
            "{a:1}",
            "{\"a\":1]",
            "[1}",
            "nul",
            "truth",
            "1.",
            "-",
            "\"",
            "\"\n\"",
            "\"\\x\"",
            "\"\\u12\"",
            "[\"a\\",
            "1 2",
            "{\"a\":1}}",
            "\u{e9}",
        ] {
            assert!(whole(text).is_err(), "{text:?}");
            assert!(serde_json::from_str::<serde_json::Value>(text).is_err(), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn agrees_with_a_full_parser_on_damaged_texts(at in any::<prop::sample::Index>(), byte in prop::sample::select(&b"{}[],:\"\\0-eEu. \ntfn"[..]), cut in any::<bool>()) {
            let mut text = br#"{"a":[1,-2.5e3,{"b":"x\u00e9\n","c":{}},[]],"d":null,"e":true,"long key of a label":"v"}"#.to_vec();
            let at = at.index(text.len());
            if cut { text.truncate(at) } else { text[at] = byte }
            let text = String::from_utf8(text).expect("it is ASCII");
            prop_assert_eq!(whole(&text).is_ok(), serde_json::from_str::<&serde_json::value::RawValue>(&text).is_ok(), "{}", text);
        }
    }

    #[test]
    fn depth_costs_no_stack() {
        let deep = format!("{}{}", "[{\"a\":".repeat(200_000), "1".to_owned() + &"}]".repeat(200_000));
        assert_eq!(whole(&deep).map(str::len), Ok(deep.len()));
        assert!(whole(&format!("{}1{}", "[".repeat(64), "]".repeat(63) + "}")).is_err());
    }

    #[test]
    fn says_where_it_stops() {
        assert_eq!(
            whole(r#"{"a":1 "b":2}"#).map_err(|error| error.to_string()),
            Err("expected a comma or the end of the object or list at byte 7".to_owned())
        );
    }
}
