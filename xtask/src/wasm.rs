//! A WebAssembly module as a row of sections.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::Range;

use anyhow::{Context, Result};
use wasm_encoder::{CustomSection, Module, RawSection};
use wasmparser::{KnownCustom, Name, NameSectionReader, Parser, Payload};

/// One section of a module.
pub struct Section<'a> {
    /// The section's kind, as the format numbers it.
    pub id: u8,
    /// What it is called: the format's word for it, or a custom section's own name.
    pub name: Cow<'a, str>,
    /// Everything in it.
    contents: &'a [u8],
    /// What it says: everything in it but a custom section's own name.
    pub data: &'a [u8],
}

impl Section<'_> {
    /// What the section takes in the file, with its kind and its length (a number of seven bits a byte).
    pub fn bytes(&self) -> usize {
        let length = (usize::BITS - self.contents.len().leading_zeros()).div_ceil(7).max(1);
        1 + length as usize + self.contents.len()
    }
}

/// All sections, in their order.
pub fn sections(module: &[u8]) -> Result<Vec<Section<'_>>> {
    let mut sections = Vec::new();
    for payload in Parser::new(0).parse_all(module) {
        let payload = payload.context("this is not a WebAssembly module")?;
        if let Some((id, range)) = payload.as_section() {
            sections.push(section(module, id, range, &payload)?);
        }
    }
    Ok(sections)
}

fn section<'a>(module: &'a [u8], id: u8, range: Range<usize>, payload: &Payload<'a>) -> Result<Section<'a>> {
    // A custom section's name is part of what the format takes for its contents.
    let contents = module.get(range).context("a section goes beyond the end of the module")?;
    let data = match payload {
        Payload::CustomSection(custom) => custom.data(),
        _ => contents,
    };
    Ok(Section { id, name: name(id, payload), contents, data })
}

fn name<'a>(id: u8, payload: &Payload<'a>) -> Cow<'a, str> {
    const NAMES: [&str; 13] = [
        "custom",
        "type",
        "import",
        "function",
        "table",
        "memory",
        "global",
        "export",
        "start",
        "element",
        "code",
        "data",
        "data count",
    ];
    match payload {
        Payload::CustomSection(section) => section.name().into(),
        _ => NAMES.get(usize::from(id)).copied().unwrap_or("unknown").into(),
    }
}

/// The module with this custom section, in place of any of the same name.
pub fn with_custom_section(module: &[u8], name: &str, data: &[u8]) -> Result<Vec<u8>> {
    let mut out = Module::new();
    for section in sections(module)? {
        if !(section.id == 0 && section.name == name) {
            out.section(&RawSection { id: section.id, data: section.contents });
        }
    }
    out.section(&CustomSection { name: name.into(), data: data.into() });
    Ok(out.finish())
}

/// What the module's memory is filled with when it starts: among it all texts of the program.
pub fn data(module: &[u8]) -> Result<Vec<&[u8]>> {
    let mut segments = Vec::new();
    for payload in Parser::new(0).parse_all(module) {
        if let Payload::DataSection(reader) = payload? {
            for segment in reader {
                segments.push(segment?.data);
            }
        }
    }
    Ok(segments)
}

/// A function and what its code takes.
pub struct Function {
    /// Its name as the linker knows it, or its number where the module has no names.
    pub symbol: String,
    /// The bytes of its body.
    pub bytes: usize,
}

/// All functions that the module contains.
pub fn functions(module: &[u8]) -> Result<Vec<Function>> {
    let names = function_names(module)?;
    let mut imported = 0;
    let mut functions = Vec::new();
    for payload in Parser::new(0).parse_all(module) {
        match payload? {
            // waPC imports functions only, and those are numbered first.
            Payload::ImportSection(reader) => imported = reader.count() as usize,
            Payload::CodeSectionEntry(body) => {
                let index = imported + functions.len();
                let symbol = names.get(&index).map_or_else(|| format!("#{index}"), ToString::to_string);
                functions.push(Function { symbol, bytes: body.range().len() });
            }
            _ => {}
        }
    }
    Ok(functions)
}

fn function_names(module: &[u8]) -> Result<BTreeMap<usize, &str>> {
    let mut names = BTreeMap::new();
    for payload in Parser::new(0).parse_all(module) {
        if let Payload::CustomSection(section) = payload?
            && let KnownCustom::Name(reader) = section.as_known()
        {
            read_names(reader, &mut names)?;
        }
    }
    Ok(names)
}

fn read_names<'a>(reader: NameSectionReader<'a>, names: &mut BTreeMap<usize, &'a str>) -> Result<()> {
    for subsection in reader {
        if let Name::Function(map) = subsection? {
            for naming in map {
                let naming = naming?;
                names.insert(naming.index as usize, naming.name);
            }
        }
    }
    Ok(())
}
