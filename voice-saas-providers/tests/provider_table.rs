//! `docs/providers.md` says of every carrier what its adapter says of itself.
#![cfg(all(feature = "twilio", feature = "knowlarity", feature = "livekit"))]

use std::{fmt::Write, fs};

use voice_saas_core::provider::telephony::{Capability, TelephonyProvider};
use voice_saas_providers::{knowlarity::Knowlarity, livekit::LiveKit, twilio::Twilio};

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/providers.md");

const HEAD: &str = "\
# Providers

What each carrier's adapter can do. What it cannot is answered with `ErrorKind::Unsupported` and a detail that says what
to do instead; `TelephonyProvider::capabilities` says so beforehand. A word other than *yes* is what it takes.

This file is written by `UPDATE_DOCS=1 cargo test -p voice-saas-providers --all-features --test provider_table`.

";

/// A carrier as a column: what it can do always, and what more under a condition.
struct Column {
    name: &'static str,
    always: &'static [Capability],
    given: Option<(&'static str, &'static [Capability])>,
}

impl Column {
    fn new(name: &'static str, carrier: &impl TelephonyProvider) -> Self {
        Self {
            name,
            always: carrier.capabilities(),
            given: None,
        }
    }

    fn given(mut self, condition: &'static str, carrier: &impl TelephonyProvider) -> Self {
        self.given = Some((condition, carrier.capabilities()));
        self
    }

    fn cell(&self, capability: Capability) -> &'static str {
        match self.given {
            _ if self.always.contains(&capability) => "yes",
            Some((condition, more)) if more.contains(&capability) => condition,
            _ => "",
        }
    }
}

/// Every carrier has a line here.
fn columns() -> Vec<Column> {
    let twilio = Twilio::builder("AC0123456789abcdef0123456789abcdef", "t".into());
    let knowlarity = || Knowlarity::builder("a".into(), "k".into());
    let livekit = LiveKit::builder("wss://p.livekit.cloud".parse().expect("a URL"), "k", "s".into());
    vec![
        Column::new("Twilio", &twilio.build().expect("a valid set-up")),
        Column::new("LiveKit", &livekit.build().expect("a valid set-up")),
        Column::new("Knowlarity", &knowlarity().build().expect("a valid set-up")).given(
            "with a plan",
            &knowlarity().with_plan("1").build().expect("a valid set-up"),
        ),
    ]
}

/// The capability's name in words: `search_numbers` becomes `Search numbers`.
fn words(capability: Capability) -> String {
    let name = serde_json::to_value(capability).expect("a name");
    let name = name.as_str().expect("a name").replace('_', " ");
    let (first, rest) = name.split_at(1);
    first.to_uppercase() + rest
}

fn page() -> String {
    let columns = columns();
    let mut page = HEAD.to_owned();
    let names: Vec<_> = columns.iter().map(|column| column.name).collect();
    writeln!(
        page,
        "| | {} |\n|---{}|",
        names.join(" | "),
        "|---".repeat(names.len())
    )
    .expect("a String grows");
    for capability in Capability::ALL {
        let cells: Vec<_> = columns.iter().map(|column| column.cell(capability)).collect();
        writeln!(page, "| {} | {} |", words(capability), cells.join(" | ")).expect("a String grows");
    }
    page
}

#[test]
#[expect(clippy::disallowed_methods, reason = "the one setting of this test")]
fn the_page_says_what_the_adapters_say() {
    let expected = page();
    if std::env::var_os("UPDATE_DOCS").is_some() {
        fs::write(FILE, &expected).expect("the page can be written");
    }
    let found = fs::read_to_string(FILE).unwrap_or_default();
    assert!(found == expected, "docs/providers.md is to be:\n\n{expected}");
}

#[test]
fn every_capability_is_a_row_once() {
    let mut rows: Vec<_> = Capability::ALL.iter().map(|it| words(*it)).collect();
    rows.sort();
    rows.dedup();
    assert_eq!(rows.len(), Capability::ALL.len());
    for column in columns() {
        assert!(
            column.always.iter().all(|it| Capability::ALL.contains(it)),
            "{}",
            column.name
        );
    }
}
