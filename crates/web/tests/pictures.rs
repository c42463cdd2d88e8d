//! The pictures of the rules' test pages: what a reader sees of some, and what holds for all.

#![allow(clippy::restriction, reason = "a test may panic")]

use std::collections::BTreeSet;
use std::fmt::Write as _;

use autoscaler_guard_cases::{Case, pages};
use autoscaler_guard_web::{Answer, Picture, PictureBox, Review, review};
use serde_json::Value;

fn reviewed(case: &Case) -> Box<Review> {
    let world = case.world();
    let cluster = Value::from(case.documents()).to_string();
    match review(&world.request.to_string(), &cluster, &world.settings.to_string()) {
        Answer::Reviewed(review) => review,
        other => panic!("{}: {other:?}", case.name),
    }
}

/// A picture as text, an arrow or a lone box a line: what is not there in brackets, what is at stake with an
/// exclamation mark.
fn drawn(picture: &Picture) -> String {
    let called = |drawn: &PictureBox| {
        let there = if drawn.there { drawn.id.clone() } else { format!("[{}]", drawn.id) };
        format!("{}{there}{}", if drawn.requested { "> " } else { "" }, if drawn.at_stake { " !" } else { "" })
    };
    let find = |id: &str| called(picture.boxes.iter().find(|drawn| drawn.id == id).expect("an arrow joins boxes"));
    let mut text = String::new();
    for arrow in &picture.arrows {
        let meaning = format!("{:?}", arrow.meaning).to_lowercase();
        let mark = if arrow.at_stake { "!" } else { "" };
        writeln!(text, "  {} --{meaning}{mark}--> {}", find(&arrow.from), find(&arrow.to)).expect("it is a string");
    }
    let joined: BTreeSet<&String> = picture.arrows.iter().flat_map(|arrow| [&arrow.from, &arrow.to]).collect();
    for drawn in picture.boxes.iter().filter(|drawn| !joined.contains(&drawn.id)) {
        writeln!(text, "  {}", called(drawn)).expect("it is a string");
    }
    text
}

#[test]
fn a_picture_shows_who_owns_and_scales_whom_before_and_after() {
    let shown = [
        ("hpa-handover", "Helm writes the HPA that a ScaledObject owns"),
        ("scaledobject-deleted", "a person deletes one that no chart made"),
        ("envoyhpa-removed", "on 1.9.1 the fleet would lose its HPA"),
        ("envoyproxy-deleted", ""),
        ("gateway-parameters", ""),
        ("merge-gateways", ""),
        ("crd-deleted", ""),
        ("duplicate-autoscaler", ""),
        ("hpa-retargeted", ""),
        ("hpa-owner-stale", ""),
        ("envoy-hpa-orphaned", ""),
        ("target-missing", ""),
    ];
    let mut text = String::new();
    for (rule, name) in shown {
        let page = pages().into_iter().find(|page| page.rule == rule).expect("there is the page");
        let case = page.cases.iter().find(|case| name.is_empty() || case.name == name).expect("there is the case");
        let review = reviewed(case);
        writeln!(text, "{rule}, {}: {:?}", case.name, review.verdict).expect("it is a string");
        let pictures = [("before", Some(&review.pictures.before)), ("asked", Some(&review.pictures.asked))];
        for (when, picture) in pictures.into_iter().chain([("repaired", review.pictures.repaired.as_ref())]) {
            if let Some(picture) = picture {
                write!(text, " {when}\n{}", drawn(picture)).expect("it is a string");
            }
        }
        text.push('\n');
    }
    insta::assert_snapshot!(text);
}

#[test]
fn every_picture_can_be_drawn() {
    for page in pages() {
        for case in &page.cases {
            let (name, review) = (format!("{}: {}", page.rule, case.name), reviewed(case));
            assert_eq!(review.pictures.repaired.is_some(), review.object.is_some(), "{name}");
            let pictures = &review.pictures;
            for picture in [&pictures.before, &pictures.asked].into_iter().chain(&pictures.repaired) {
                let ids: BTreeSet<&String> = picture.boxes.iter().map(|drawn| &drawn.id).collect();
                assert_eq!(ids.len(), picture.boxes.len(), "{name}: {picture:?}");
                let joins = picture.arrows.iter().all(|arrow| ids.contains(&arrow.from) && ids.contains(&arrow.to));
                assert!(joins, "{name}: {picture:?}");
                assert!(picture.boxes.iter().filter(|drawn| drawn.requested).count() <= 1, "{name}: {picture:?}");
            }
            // What the verdict is about is on a picture, if it could be read.
            let is_known = !review.lookups.iter().any(|lookup| lookup.failed);
            let at_stake = review.audit_annotations.get("autoscaler").filter(|_| is_known);
            let on_a_picture = |id: &String| {
                [&pictures.before, &pictures.asked]
                    .iter()
                    .any(|picture| picture.boxes.iter().any(|drawn| drawn.id == *id))
            };
            if let Some(id) = at_stake {
                assert!(on_a_picture(id), "{name}: {id} is on none of {pictures:?}");
            }
        }
    }
}
