//! The reader of the settings and their JSON Schema judge alike.
//!
//! What a schema cannot say stays outside: a doubled key, of which the reader judges both; numbers in a version that do
//! not fit 32 bits; that no kind is declared which has rules of its own.

#![allow(clippy::restriction, reason = "a test may panic")]

use std::sync::LazyLock;

use autoscaler_guard::Settings;
use autoscaler_guard::rules::SOURCES;
use autoscaler_guard::settings::table::{SETTINGS, Setting, Takes};
use autoscaler_guard::settings_schema as schema;
use autoscaler_guard_cases::{module, pages};
use jsonschema::Validator;
use proptest::prelude::*;
use serde_json::{Value, json};

static SCHEMA: LazyLock<Validator> =
    LazyLock::new(|| jsonschema::draft202012::new(&schema()).expect("the schema is one"));

/// What both say, or what they disagree about.
fn judge(settings: &Value) -> Result<bool, String> {
    let read = Settings::from_json(&settings.to_string()).map(|_| ());
    let valid = SCHEMA.validate(settings);
    if read.is_ok() == valid.is_ok() {
        Ok(read.is_ok())
    } else {
        Err(format!("{settings}: the reader says {read:?}, the schema {valid:?}"))
    }
}

#[test]
fn the_settings_of_all_pages_are_valid() {
    for page in pages() {
        for case in page.cases {
            assert_eq!(judge(&case.world().settings), Ok(true), "{}: {}", page.rule, case.name);
        }
    }
}

#[test]
fn what_only_people_read_is_not_in_the_module() {
    let module = module();
    let holds = |text: &str| module.windows(text.len()).any(|window| window == text.as_bytes());
    assert!(holds("gatewayNamespaceMode"), "the settings' names are there");
    for_each_setting(SETTINGS, &mut |setting| assert!(!holds(setting.about), "{}: {}", setting.name, setting.about));
    for (id, source) in SOURCES {
        let first = source.lines().next().unwrap_or_default();
        assert!(!holds(first), "the page of {id}");
    }
}

fn for_each_setting(settings: &'static [Setting], each: &mut impl FnMut(&'static Setting)) {
    for setting in settings {
        each(setting);
        if let Takes::Group(settings) | Takes::Declarations(settings) = setting.takes {
            for_each_setting(settings, each);
        }
    }
}

fn anything() -> BoxedStrategy<Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i32>().prop_map(Value::from),
        text().prop_map(Value::from),
    ];
    let nested = leaf.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
            proptest::collection::btree_map(text(), inner, 0..3)
                .prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    });
    nested.boxed()
}

/// Texts that mean something to some setting, and others.
fn text() -> BoxedStrategy<String> {
    prop_oneof![
        "\\PC{0,6}",
        "v?[0-9]{0,3}(\\.[0-9]{0,3}){0,3}([-+ ][a-z0-9.]{0,4})?",
        "[~/{}a01]{0,6}",
        "(vmagent-|[{]name[}]|[{]namespace[}]|[.]|[A-Z]){1,3}",
        prop::sample::select(vec!["a.example/v1", "Agent", "/spec/hpa", "/a~1b/~0", "{name}", "{namespace}-x"])
            .prop_map(str::to_owned),
        "[a-z *\u{85}\u{a0}\u{feff}\u{3000}\n]{0,3}",
        prop::sample::select(vec!["reject", "warn", "off", "pin", "hpa-deleted", "hpa-readoption", "repair", "helm"])
            .prop_map(str::to_owned),
    ]
    .boxed()
}

/// What a setting may take, mostly.
fn value(takes: &'static Takes) -> BoxedStrategy<Value> {
    let fitting = match takes {
        Takes::Group(settings) => group(settings),
        Takes::Flag(_) => any::<bool>().prop_map(Value::from).boxed(),
        Takes::Word(words, _) => prop::sample::select(words.to_vec()).prop_map(Value::from).boxed(),
        Takes::Text(..) | Takes::Version(_) => text().prop_map(Value::from).boxed(),
        Takes::Declarations(settings) => proptest::collection::vec(group(settings), 0..2).prop_map(Value::from).boxed(),
        Takes::Patterns(_) => proptest::collection::vec(text(), 0..3).prop_map(Value::from).boxed(),
        Takes::Rules => proptest::collection::btree_map(text(), text(), 0..3).prop_map(|rules| json!(rules)).boxed(),
    };
    prop_oneof![12 => fitting, 1 => Just(Value::Null), 1 => anything()].boxed()
}

/// Some of the settings, and now and then one that is none.
fn group(settings: &'static [Setting]) -> BoxedStrategy<Value> {
    let some = settings
        .iter()
        .map(|setting| {
            let given = if setting.required { 0.95 } else { 0.5 };
            proptest::option::weighted(given, value(&setting.takes)).prop_map(|value| (setting.name, value))
        })
        .collect::<Vec<_>>();
    let other = proptest::option::weighted(0.05, (text(), anything()));
    (some, other)
        .prop_map(|(some, other)| {
            let given = some.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
            Value::Object(given.chain(other).collect())
        })
        .boxed()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn reader_and_schema_agree_on_settings(settings in group(SETTINGS)) {
        prop_assert!(judge(&settings).is_ok(), "{:?}", judge(&settings));
    }

    #[test]
    fn reader_and_schema_agree_on_single_settings(settings in single()) {
        prop_assert!(judge(&settings).is_ok(), "{:?}", judge(&settings));
    }

    #[test]
    fn reader_and_schema_agree_on_anything(settings in anything()) {
        prop_assert!(judge(&settings).is_ok(), "{:?}", judge(&settings));
    }
}

/// One setting at a time: of many at once, one is nearly always wrong.
fn single() -> BoxedStrategy<Value> {
    let one =
        |setting: &'static Setting| value(&setting.takes).prop_map(|value| json!({ setting.name: value })).boxed();
    prop::strategy::Union::new(SETTINGS.iter().map(one)).boxed()
}
