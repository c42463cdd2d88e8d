//! Imports go one way: no cycle between files, nothing upwards in the layers, and no rule imports a rule.
//!
//! Read are all paths that begin with `crate`, `super`, `self` or a module of the file itself, in `use` items, in code
//! and in macros; not what stands under `#[cfg(test)]`. `mod` items are no imports: a parent lists its children.

#![allow(clippy::restriction, reason = "a test may panic")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use proc_macro2::{TokenStream, TokenTree};
use syn::visit::{self, Visit};

/// The layers of the core, lowest first (ARCHITECTURE.md); a folder stands for all that is in it.
const LAYERS: &[&[&str]] = &[
    &[
        "change.rs",
        "cluster.rs",
        "command.rs",
        "finding.rs",
        "pattern.rs",
        "plain.rs",
        "repair.rs",
        "subject.rs",
        "verdict.rs",
    ],
    &["context.rs", "settings.rs", "settings/"],
    &["facts/"],
    &["gate.rs", "overrides.rs", "rule.rs", "rules/"],
    &["engine.rs", "wording.rs"],
    &["kubewarden.rs", "kubewarden/", "lib.rs"],
];

/// The imports of a crate's files: from which file to which.
struct Imports {
    files: Vec<String>,
    edges: BTreeMap<String, BTreeSet<String>>,
}

impl Imports {
    fn of(root: &str) -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join(root);
        let mut files = Vec::new();
        collect(&root, &root, &mut files);
        let modules: BTreeMap<Vec<String>, String> = files.iter().map(|file| (module_of(file), file.clone())).collect();
        let mut edges = BTreeMap::new();
        for file in &files {
            let text = fs::read_to_string(root.join(file)).expect("a source file can be read");
            let parsed = syn::parse_file(&text).expect("a source file is Rust");
            let mut reader = Reader { modules: &modules, here: module_of(file), file, found: BTreeSet::new() };
            reader.visit_file(&parsed);
            edges.insert(file.clone(), reader.found);
        }
        Self { files, edges }
    }

    /// The groups of files that import one another in a circle.
    fn cycles(&self) -> Vec<Vec<&str>> {
        let reach: BTreeMap<&str, BTreeSet<&str>> =
            self.files.iter().map(|file| (file.as_str(), self.reachable(file))).collect();
        let mut cycles: BTreeSet<Vec<&str>> = BTreeSet::new();
        for (file, far) in &reach {
            let circle: Vec<&str> = far.iter().filter(|other| reach[**other].contains(file)).copied().collect();
            if !circle.is_empty() {
                cycles.insert(circle);
            }
        }
        cycles.into_iter().collect()
    }

    fn reachable(&self, from: &str) -> BTreeSet<&str> {
        let mut seen = BTreeSet::new();
        let mut next: Vec<&str> = self.edges[from].iter().map(String::as_str).collect();
        while let Some(file) = next.pop() {
            if seen.insert(file) {
                next.extend(self.edges[file].iter().map(String::as_str));
            }
        }
        seen
    }
}

fn collect(root: &Path, folder: &Path, files: &mut Vec<String>) {
    let mut entries: Vec<PathBuf> = fs::read_dir(folder)
        .expect("a folder can be read")
        .map(|entry| entry.expect("it can be read").path())
        .collect();
    entries.sort();
    for path in entries {
        if path.is_dir() {
            collect(root, &path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") && path.file_stem().unwrap() != "tests" {
            files.push(path.strip_prefix(root).unwrap().to_string_lossy().replace('\\', "/"));
        }
    }
}

fn module_of(file: &str) -> Vec<String> {
    let mut module: Vec<String> = file.trim_end_matches(".rs").split('/').map(str::to_owned).collect();
    if module.last().is_some_and(|last| ["mod", "lib", "main"].contains(&last.as_str())) {
        module.pop();
    }
    module
}

struct Reader<'r> {
    modules: &'r BTreeMap<Vec<String>, String>,
    here: Vec<String>,
    file: &'r str,
    found: BTreeSet<String>,
}

impl Reader<'_> {
    fn path(&mut self, segments: &[String]) {
        // `crate` alone is a visibility.
        if segments.len() < 2 {
            return;
        }
        let mut module = match segments.first().map(String::as_str) {
            Some("crate") => Vec::new(),
            Some("self") => self.here.clone(),
            Some("super") => self.here[..self.here.len().saturating_sub(1)].to_vec(),
            Some(first) => {
                let mut child = self.here.clone();
                child.push(first.to_owned());
                if !self.modules.contains_key(&child) {
                    return;
                }
                child
            }
            None => return,
        };
        for segment in &segments[1..] {
            if segment == "super" {
                module.pop();
                continue;
            }
            let mut child = module.clone();
            child.push(segment.clone());
            if !self.modules.contains_key(&child) {
                break;
            }
            module = child;
        }
        // A module without a file of its own stands in its parent's.
        while !self.modules.contains_key(&module) {
            if module.pop().is_none() {
                return;
            }
        }
        let imported = &self.modules[&module];
        if imported != self.file {
            self.found.insert(imported.clone());
        }
    }

    fn tree(&mut self, before: &[String], tree: &syn::UseTree) {
        let with = |name: &syn::Ident| before.iter().cloned().chain([name.to_string()]).collect::<Vec<_>>();
        match tree {
            syn::UseTree::Path(path) => self.tree(&with(&path.ident), &path.tree),
            syn::UseTree::Name(name) => self.path(&with(&name.ident)),
            syn::UseTree::Rename(rename) => self.path(&with(&rename.ident)),
            syn::UseTree::Glob(_) => self.path(before),
            syn::UseTree::Group(group) => group.items.iter().for_each(|tree| self.tree(before, tree)),
        }
    }

    /// Paths in what a macro is given.
    fn tokens(&mut self, tokens: TokenStream) {
        let mut segments: Vec<String> = Vec::new();
        let mut colons = 0;
        for token in tokens {
            match token {
                TokenTree::Ident(ident) => {
                    if colons != 2 {
                        self.path(&std::mem::take(&mut segments));
                    }
                    segments.push(ident.to_string());
                    colons = 0;
                }
                TokenTree::Punct(punct) if punct.as_char() == ':' => colons += 1,
                other => {
                    self.path(&std::mem::take(&mut segments));
                    colons = 0;
                    if let TokenTree::Group(group) = other {
                        self.tokens(group.stream());
                    }
                }
            }
        }
        self.path(&segments);
    }
}

fn is_test(attributes: &[syn::Attribute]) -> bool {
    let says_test = |attribute: &syn::Attribute| {
        attribute.path().is_ident("cfg") && quote::quote!(#attribute).to_string().contains("(test)")
    };
    attributes.iter().any(says_test)
}

impl<'ast> Visit<'ast> for Reader<'_> {
    fn visit_item_mod(&mut self, module: &'ast syn::ItemMod) {
        if is_test(&module.attrs) || module.content.is_none() {
            return;
        }
        self.here.push(module.ident.to_string());
        visit::visit_item_mod(self, module);
        self.here.pop();
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        if !is_test(&item.attrs) {
            self.tree(&[], &item.tree);
        }
    }

    fn visit_item_fn(&mut self, item: &'ast syn::ItemFn) {
        if !is_test(&item.attrs) {
            visit::visit_item_fn(self, item);
        }
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        if path.segments.len() > 1 {
            self.path(&path.segments.iter().map(|segment| segment.ident.to_string()).collect::<Vec<_>>());
        }
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, item: &'ast syn::Macro) {
        self.tokens(item.tokens.clone());
    }
}

fn layer_of(file: &str) -> usize {
    let is_in = |member: &&&str| **member == file || member.ends_with('/') && file.starts_with(**member);
    LAYERS
        .iter()
        .position(|layer| layer.iter().any(|member| is_in(&member)))
        .unwrap_or_else(|| panic!("{file} stands in no layer: name it in LAYERS"))
}

fn is_rule(file: &str) -> bool {
    let id = file.rsplit('/').next().unwrap_or_default().trim_end_matches(".rs").replace('_', "-");
    file.starts_with("rules/") && autoscaler_guard::rules::find(&id).is_some()
}

#[test]
fn no_file_imports_in_a_circle() {
    for root in ["src", "crates/reading/src", "crates/cli/src"] {
        let imports = Imports::of(root);
        let cycles = imports.cycles();
        let files: usize = cycles.iter().map(Vec::len).sum();
        println!("{root}: {} files, {files} of them in cycles", imports.files.len());
        assert!(cycles.is_empty(), "{root}: these import one another: {cycles:#?}");
    }
}

#[test]
fn imports_go_down_the_layers() {
    let imports = Imports::of("src");
    let all = || imports.edges.iter().flat_map(|(from, to)| to.iter().map(move |to| (from, to)));
    let upwards: Vec<_> = all().filter(|(from, to)| layer_of(from) < layer_of(to)).collect();
    println!("src: {} imports between files, {} of them upwards", all().count(), upwards.len());
    assert!(upwards.is_empty(), "these import upwards: {upwards:#?}");
}

#[test]
fn no_rule_imports_a_rule() {
    let imports = Imports::of("src");
    let rules = imports.files.iter().filter(|file| is_rule(file)).count();
    assert_eq!(rules, autoscaler_guard::rules::RULES.len(), "each rule has a file of its name");
    let between: Vec<_> = imports
        .edges
        .iter()
        .flat_map(|(from, to)| to.iter().map(move |to| (from, to)))
        .filter(|(from, to)| is_rule(from) && is_rule(to))
        .collect();
    println!("src: {rules} rules, {} imports between them", between.len());
    assert!(between.is_empty(), "these rules import rules: {between:#?}");
}
