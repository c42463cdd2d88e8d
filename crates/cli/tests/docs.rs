//! The documentation holds: links lead somewhere, every page is in the book, commands are commands, and settings are
//! settings.
//!
//! What other projects' programs and sites take is beyond these tests; so is whether a page is true.

#![allow(clippy::restriction, reason = "a test may panic")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path, PathBuf};

use autoscaler_guard_cli::Arguments;
use clap::error::ErrorKind;
use clap::{CommandFactory, Parser};
use pulldown_cmark::{CodeBlockKind, Event, Options, Tag, TagEnd};
use serde_json::Value;

/// Pages outside `docs/`.
const PAGES: &[&str] = &[
    "README.md",
    "ARCHITECTURE.md",
    "CHANGELOG.md",
    "CODE_OF_CONDUCT.md",
    "CONTRIBUTING.md",
    "SECURITY.md",
    "e2e/README.md",
];

/// What the README may have: one screen that says what this is, and where to read on.
const README_BYTES: usize = 12_000;

/// Words that are not the field's, or that need reading twice: override, exemption, lookup, handover, audit,
/// alternatives, uninstall and troubleshooting are.
const SHUNNED: &str = include_str!("../../../tests/shunned-words.txt");

/// Where pages of the book find files that are not in it.
const ON_THE_WEB: &[&str] = &[
    concat!(env!("CARGO_PKG_REPOSITORY"), "/blob/main/"),
    concat!(env!("CARGO_PKG_REPOSITORY"), "/tree/main/"),
    "https://raw.githubusercontent.com/autoscaler-guard/autoscaler-guard/main/",
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn read(file: &str) -> String {
    std::fs::read_to_string(root().join(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
}

/// A page, as far as it can be checked.
#[derive(Default)]
struct Page {
    /// Where it is, from the root.
    file: String,
    /// Where links go, each with its line.
    links: Vec<(usize, String)>,
    /// What links to its headings end in.
    anchors: BTreeSet<String>,
    /// Blocks of code: the line, what the fence says and the text.
    blocks: Vec<(usize, String, String)>,
    /// Code within sentences.
    code: Vec<(usize, String)>,
}

impl Page {
    fn of(file: &str, text: &str) -> Self {
        let mut page = Self { file: file.to_owned(), ..Self::default() };
        let mut heading: Option<String> = None;
        let mut in_block = false;
        for (event, place) in pulldown_cmark::Parser::new_ext(text, Options::ENABLE_TABLES).into_offset_iter() {
            let line = text[..place.start].matches('\n').count() + 1;
            match event {
                Event::Start(Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. }) => {
                    page.links.push((line, dest_url.into_string()));
                }
                Event::Start(Tag::Heading { .. }) => heading = Some(String::new()),
                Event::End(TagEnd::Heading(_)) => page.anchor(&heading.take().unwrap_or_default()),
                Event::Start(Tag::CodeBlock(CodeBlockKind::Fenced(info))) => {
                    page.blocks.push((line, info.into_string(), String::new()));
                    in_block = true;
                }
                Event::End(TagEnd::CodeBlock) => in_block = false,
                Event::Text(words) => match (&mut heading, page.blocks.last_mut()) {
                    (Some(heading), _) => heading.push_str(&words),
                    (None, Some((_, _, block))) if in_block => block.push_str(&words),
                    _ => {}
                },
                Event::Code(code) => {
                    if let Some(heading) = &mut heading {
                        heading.push_str(&code);
                    }
                    page.code.push((line, code.into_string()));
                }
                _ => {}
            }
        }
        page
    }

    /// Adds what GitHub and mdBook make of a heading.
    fn anchor(&mut self, heading: &str) {
        let kept = heading.trim().chars().filter(|letter| letter.is_alphanumeric() || "-_ ".contains(*letter));
        let anchor: String =
            kept.flat_map(char::to_lowercase).map(|letter| if letter == ' ' { '-' } else { letter }).collect();
        let again = (1..).map(|number| format!("{anchor}-{number}"));
        let free = std::iter::once(anchor.clone()).chain(again).find(|anchor| !self.anchors.contains(anchor));
        self.anchors.extend(free);
    }
}

fn pages() -> Vec<Page> {
    let mut files: Vec<String> = PAGES.iter().map(|page| (*page).to_owned()).collect();
    files.extend(in_docs());
    files.iter().map(|file| Page::of(file, &read(file))).collect()
}

fn in_docs() -> Vec<String> {
    let is_page = |file: &String| Path::new(file).extension().is_some_and(|kind| kind == "md");
    below("docs").into_iter().filter(is_page).collect()
}

fn below(folder: &str) -> Vec<String> {
    let entries = std::fs::read_dir(root().join(folder)).unwrap_or_else(|error| panic!("{folder}: {error}"));
    let mut files: Vec<String> = entries
        .filter_map(Result::ok)
        .flat_map(|entry| {
            let path = format!("{folder}/{}", entry.file_name().to_string_lossy());
            if entry.path().is_dir() { below(&path) } else { vec![path] }
        })
        .collect();
    files.sort();
    files
}

/// Fails with all that is wrong at once.
fn hold(problems: &[String]) {
    assert!(problems.is_empty(), "\n{}\n", problems.join("\n"));
}

/// A relative path from a page, as a path from the root; none if it leaves the tree.
fn from_root(page: &str, path: &str) -> Option<String> {
    let mut parts: Vec<String> = Vec::new();
    for part in Path::new(page).parent().unwrap_or(Path::new("")).join(path).components() {
        match part {
            Component::Normal(part) => parts.push(part.to_string_lossy().into_owned()),
            Component::ParentDir => drop(parts.pop()?),
            _ => {}
        }
    }
    Some(parts.join("/"))
}

/// Why a link leads nowhere.
fn broken(page: &Page, link: &str, anchors: &BTreeMap<&str, &BTreeSet<String>>) -> Option<String> {
    let own = ON_THE_WEB.iter().find_map(|site| link.strip_prefix(site));
    if own.is_none() && (link.contains("://") || link.starts_with("mailto:")) {
        return None;
    }
    let (path, anchor) = own.unwrap_or(link).split_once('#').unwrap_or((own.unwrap_or(link), ""));
    let Some(target) = (match own {
        Some(_) => Some(path.to_owned()),
        None if path.is_empty() => Some(page.file.clone()),
        None => from_root(&page.file, path),
    }) else {
        return Some("leaves the repository".to_owned());
    };
    if !root().join(&target).exists() {
        return Some(format!("there is no {target}"));
    }
    if own.is_none() && page.file.starts_with("docs/") && !target.starts_with("docs/") {
        return Some(format!("is not in the book; link to {}{target}", ON_THE_WEB[0]));
    }
    let known = anchors.get(target.as_str());
    let missing = !anchor.is_empty() && known.is_some_and(|known| !known.contains(anchor));
    missing.then(|| format!("{target} has no heading #{anchor}"))
}

#[test]
fn links_lead_somewhere() {
    let pages = pages();
    let anchors = pages.iter().map(|page| (page.file.as_str(), &page.anchors)).collect();
    let problems = pages.iter().flat_map(|page| {
        let of = |(line, link): &(usize, String)| {
            broken(page, link, &anchors).map(|why| format!("{}:{line}: {link}: {why}", page.file))
        };
        page.links.iter().filter_map(of).collect::<Vec<_>>()
    });
    hold(&problems.collect::<Vec<_>>());
    let count: usize = pages.iter().map(|page| page.links.len()).sum();
    assert!(count > 100, "only {count} links were found");
}

#[test]
fn every_page_is_in_the_book() {
    let summary = Page::of("docs/SUMMARY.md", &read("docs/SUMMARY.md"));
    let listed: BTreeSet<String> = summary.links.iter().map(|(_, link)| format!("docs/{link}")).collect();
    assert_eq!(listed.len(), summary.links.len(), "docs/SUMMARY.md has a page twice");
    let pages = in_docs().into_iter().filter(|page| page != "docs/SUMMARY.md");
    let missing = pages.filter(|page| !listed.contains(page)).map(|page| format!("docs/SUMMARY.md lacks {page}"));
    hold(&missing.collect::<Vec<_>>());
}

/// The commands that a block of a shell shows, each whole, with its line in the block.
fn commands(info: &str, block: &str) -> Vec<(usize, String)> {
    let mut commands: Vec<(usize, String)> = Vec::new();
    let mut lines = block.lines().enumerate();
    while let Some((number, line)) = lines.next() {
        let command = if info == "console" { line.strip_prefix("$ ") } else { Some(line) };
        let Some(mut command) = command.map(str::to_owned) else { continue };
        while command.ends_with('\\') {
            command.pop();
            command.push_str(lines.next().map(|(_, line)| line.trim_start()).unwrap_or_default());
        }
        // A quote goes on until it is closed.
        while shell_words::split(&command).is_err() {
            let Some((_, line)) = lines.next() else { break };
            command = format!("{command}\n{line}");
        }
        if let Some((_, end)) = command.split_once("<<") {
            let end = end.trim_matches(['\'', '"']).to_owned();
            lines.by_ref().take_while(|(_, line)| *line != end).for_each(drop);
        }
        commands.push((number, command));
    }
    commands
}

/// Why a command cannot be run as it stands there.
fn wrong_command(command: &str, targets: &BTreeSet<String>) -> Vec<String> {
    let words = match shell_words::split(command) {
        Ok(words) => words,
        Err(error) => return vec![format!("the shell cannot read it: {error}")],
    };
    let simple = words.split(|word| ["|", "||", "&&", ";"].contains(&word.as_str()));
    simple.flat_map(|words| wrong_call(words, targets)).collect()
}

fn wrong_call(words: &[String], targets: &BTreeSet<String>) -> Vec<String> {
    let redirected = words.iter().position(|word| word.starts_with('>') || word.starts_with('<'));
    let words = &words[..redirected.unwrap_or(words.len())];
    let is_variable = |word: &&String| word.split_once('=').is_some_and(|(name, _)| !name.starts_with('-'));
    let words: Vec<&str> = words.iter().skip_while(is_variable).map(String::as_str).collect();
    match words.as_slice() {
        ["autoscaler-guard", arguments @ ..] => wrong_arguments(&words, arguments),
        ["make", arguments @ ..] => {
            let named = arguments.iter().filter(|argument| !argument.contains('=') && !argument.starts_with('-'));
            let unknown = named.filter(|target| !targets.contains(**target));
            unknown.map(|target| format!("the Makefile has no target {target}")).collect()
        }
        ["kubectl", arguments @ ..] => arguments.windows(2).filter_map(|pair| wrong_file(pair[0], pair[1])).collect(),
        _ => Vec::new(),
    }
}

fn wrong_arguments(words: &[&str], arguments: &[&str]) -> Vec<String> {
    let mut problems = Vec::new();
    if let Err(error) = Arguments::try_parse_from(words) {
        let fine = [ErrorKind::DisplayHelp, ErrorKind::DisplayVersion].contains(&error.kind());
        problems.extend((!fine).then(|| error.to_string()));
    }
    let ours = arguments.iter().filter(|argument| argument.starts_with("policies/"));
    problems.extend(ours.filter(|file| !root().join(file).exists()).map(|file| format!("there is no {file}")));
    problems
}

/// What kubectl has to apply. A bare name is a file of the reader's own.
fn wrong_file(option: &str, file: &str) -> Option<String> {
    let of_this_repository = concat!(env!("CARGO_PKG_REPOSITORY"), "/");
    let file = match file.strip_prefix(of_this_repository) {
        Some(file) => file.split_once("?ref=v").map_or(file, |(file, _)| file),
        None if file.contains("://") || !file.contains('/') => return None,
        None => file,
    };
    let needed = match option {
        "-f" | "--filename" => root().join(file),
        "-k" | "--kustomize" => root().join(file).join("kustomization.yaml"),
        _ => return None,
    };
    (!needed.exists()).then(|| format!("there is nothing for kubectl {option} in {file}"))
}

fn targets() -> BTreeSet<String> {
    let of = |line: &str| {
        let (name, _) = line.split_once(':')?;
        let plain = |letter: u8| letter.is_ascii_alphanumeric() || b"-_.".contains(&letter);
        (!name.is_empty() && !name.starts_with('.') && name.bytes().all(plain)).then(|| name.to_owned())
    };
    read("Makefile").lines().filter_map(of).collect()
}

#[test]
fn commands_can_be_run() {
    let targets = targets();
    let mut checked = 0;
    let mut problems = Vec::new();
    for page in pages() {
        for (line, info, block) in &page.blocks {
            if !["console", "sh", "bash", "shell"].contains(&info.as_str()) {
                continue;
            }
            for (number, command) in commands(info, block) {
                checked += 1;
                let place = format!("{}:{}: {command}", page.file, line + 1 + number);
                problems.extend(wrong_command(&command, &targets).iter().map(|why| format!("{place}\n  {why}")));
            }
        }
    }
    hold(&problems);
    assert!(checked > 30, "only {checked} commands were found");
}

/// In a sentence a command may stand without its arguments, but not by a wrong name.
#[test]
fn commands_in_sentences_exist() {
    let (targets, program) = (targets(), Arguments::command());
    let wrong = |code: &str| match code.split_whitespace().collect::<Vec<_>>().as_slice() {
        ["make", rest @ ..] => rest.iter().any(|word| !word.contains('=') && !targets.contains(*word)),
        ["autoscaler-guard", command, ..] => !command.starts_with('-') && program.find_subcommand(command).is_none(),
        _ => false,
    };
    let problems = pages().into_iter().flat_map(|page| {
        let of = |(line, code): &(usize, String)| wrong(code).then(|| format!("{}:{line}: `{code}`", page.file));
        page.code.iter().filter_map(of).collect::<Vec<_>>()
    });
    hold(&problems.collect::<Vec<_>>());
}

/// Why a block that says what it holds does not hold it.
fn wrong_block(info: &str, block: &str) -> Option<String> {
    let mut says = info.split_whitespace();
    match (says.next(), says.next()) {
        (Some("yaml"), about) => {
            let documents: Vec<Value> = match serde_saphyr::from_multiple(block) {
                Ok(documents) => documents,
                Err(error) => return Some(error.to_string()),
            };
            let settings = documents.first().filter(|_| about == Some("settings"))?;
            let errors = autoscaler_guard::Settings::from_json(&settings.to_string()).err()?;
            Some(errors.iter().map(|error| format!("{}: {}", error.path, error.problem)).collect::<Vec<_>>().join("\n"))
        }
        (Some("json"), _) => serde_json::from_str::<Value>(block).err().map(|error| error.to_string()),
        _ => None,
    }
}

#[test]
fn blocks_hold_what_they_say() {
    let problems = pages().into_iter().flat_map(|page| {
        let of = |(line, info, block): &(usize, String, String)| {
            wrong_block(info, block).map(|why| format!("{}:{line}: {why}", page.file))
        };
        page.blocks.iter().filter_map(of).collect::<Vec<_>>()
    });
    hold(&problems.collect::<Vec<_>>());
}

#[test]
fn the_readme_stays_short() {
    let bytes = read("README.md").len();
    assert!(bytes <= README_BYTES, "README.md has {bytes} bytes, more than {README_BYTES}");
}

/// The words of a text that are shunned, each with its line.
fn shunned(text: &str) -> Vec<(usize, &'static str)> {
    let in_line = |(number, line): (usize, &str)| {
        let line = line.to_lowercase();
        let words: Vec<&str> = line.split(|letter: char| !letter.is_alphanumeric() && !"-_".contains(letter)).collect();
        let line = format!(" {} ", words.join(" "));
        let has = |word: &&'static str| line.contains(&format!(" {word} ")) || line.contains(&format!(" {word}s "));
        SHUNNED.lines().filter(has).map(|word| (number + 1, word)).collect::<Vec<_>>()
    };
    text.lines().enumerate().flat_map(in_line).collect()
}

#[test]
fn the_words_are_the_field_s() {
    let pages = pages();
    let mut texts: Vec<(String, String)> = pages.iter().map(|page| (page.file.clone(), read(&page.file))).collect();
    texts.push(("--help".to_owned(), help(&mut Arguments::command())));
    let problems = texts.iter().flat_map(|(file, text)| {
        shunned(text).into_iter().map(move |(line, word)| format!("{file}:{line}: \"{word}\""))
    });
    hold(&problems.collect::<Vec<_>>());
}

/// The help of a command and of all below it.
fn help(command: &mut clap::Command) -> String {
    let below: Vec<String> = command.get_subcommands_mut().map(help).collect();
    command.render_long_help().to_string() + &below.concat()
}

/// The checks see what is wrong, so that their silence means something.
#[test]
fn what_is_wrong_is_seen() {
    let text = "# A head: `a.b`\n\n[x](#a-head-ab) [y](#b) [z](gone.md) [out](../README.md) [in](install.md)\n\n```console\n$ make nothing \\\n    --dry-run\noutput\n```\n";
    let page = Page::of("docs/serve.md", text);
    let anchors = BTreeMap::from([("docs/serve.md", &page.anchors)]);
    let seen: Vec<bool> = page.links.iter().map(|(_, link)| broken(&page, link, &anchors).is_some()).collect();
    assert_eq!(seen, [false, true, true, true, false], "{:?}", page.anchors);
    let (line, info, block) = &page.blocks[0];
    assert_eq!((*line, info.as_str()), (5, "console"));
    assert_eq!(commands(info, block), [(0, "make nothing --dry-run".to_owned())]);
    let quoted = "$ jq '.a\n  | .b' c\n$ cat <<'END'\n$ no command\nEND\n$ make\n";
    let found: Vec<String> = commands("console", quoted).into_iter().map(|(_, command)| command).collect();
    assert_eq!(found, ["jq '.a\n  | .b' c", "cat <<'END'", "make"]);

    let targets = targets();
    for good in [
        "make test SECONDS=3 | tee log",
        "autoscaler-guard rules hpa-deleted > page",
        "A=b autoscaler-guard review - --live",
        "kubectl apply -f hpa.yaml",
        "kubectl apply -f policies/guard.yaml",
    ] {
        assert_eq!(wrong_command(good, &targets), Vec::<String>::new(), "{good}");
    }
    for bad in [
        "make tset",
        "true && make tset",
        "autoscaler-guard revue x",
        "kubectl get hpa -o yaml | autoscaler-guard review --clutser -",
        "autoscaler-guard settings check policies/gone.yaml",
        "kubectl apply -f policies/gone.yaml",
        "kubectl apply -k src/",
        "kubectl get hpa 'web",
    ] {
        assert_eq!(wrong_command(bad, &targets).len(), 1, "{bad}");
    }

    assert_eq!(shunned("Hand-overs\nare told."), [(1, "hand-over"), (2, "told")]);
    assert_eq!(shunned("Is it a stolid toldo?"), []);

    assert_eq!(wrong_block("yaml settings", "repair: false"), None);
    assert_eq!(wrong_block("yaml", "repiar: false"), None);
    assert!(wrong_block("yaml settings", "repiar: false").is_some_and(|why| why.contains("did you mean repair?")));
    assert!(wrong_block("yaml", "a: [").is_some() && wrong_block("json", "{").is_some());
}
