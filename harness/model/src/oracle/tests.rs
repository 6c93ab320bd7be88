//! Who is in scope, which configuration wins, and what a block of addresses contains.

use super::*;
use crate::testing::{configuration, directory, entry_application, entry_ip, entry_zone, sidecar};
use rstest::rstest;

fn value(oracle: &Oracle, name: &str) -> Option<String> {
    let directory = directory();
    let sidecar = directory.sidecars.iter().find(|s| s.name == name)?;
    oracle.expected(sidecar).toggles.get("flag").cloned()
}

fn with(configurations: &[Configuration]) -> Oracle {
    let mut oracle = Oracle::default();
    for configuration in configurations {
        oracle.write(configuration.clone());
    }
    oracle
}

#[test]
fn entries_are_ored_fields_anded_and_except_wins() {
    let mut both = entry_zone("zone1");
    both.application = Some("checkout".to_owned());
    let mut scoped = configuration("c", vec![both, entry_zone("zone2")], "x");
    scoped.scope.except = vec![entry_ip("10.102.1.1")];
    let oracle = with(&[scoped]);
    assert_eq!(value(&oracle, "checkout@zone1").as_deref(), Some("x"));
    assert_eq!(value(&oracle, "frontend@zone1"), None);
    assert_eq!(value(&oracle, "checkout@zone2").as_deref(), Some("x"));
    assert_eq!(value(&oracle, "frontend@zone2"), None, "excepted");
    assert_eq!(value(&oracle, "checkout@zone3"), None);
}

#[test]
fn no_entry_means_nobody_and_an_empty_entry_everybody() {
    let nobody = with(&[configuration("c", vec![], "x")]);
    let everybody = with(&[configuration("c", vec![ScopeEntry::default()], "x")]);
    for sidecar in &directory().sidecars {
        assert!(nobody.expected(sidecar).is_empty());
        assert!(!nobody.in_scope("c", sidecar));
        assert!(!everybody.expected(sidecar).is_empty());
        assert!(everybody.in_scope("c", sidecar));
        assert!(!everybody.in_scope("d", sidecar));
    }
}

#[test]
fn a_cluster_is_a_scope_of_its_own() {
    let here = ScopeEntry {
        cluster: Some("local".to_owned()),
        ..ScopeEntry::default()
    };
    let there = ScopeEntry {
        cluster: Some("remote".to_owned()),
        ..ScopeEntry::default()
    };
    let mut in_zone = configuration("b", vec![entry_zone("zone1")], "zone");
    in_zone.priority = 9;
    let oracle = with(&[
        configuration("a", vec![here], "here"),
        in_zone,
        configuration("c", vec![there], "there"),
    ]);
    assert_eq!(value(&oracle, "checkout@zone1").as_deref(), Some("here"));
}

#[rstest]
#[case::address_beats_block(entry_ip("10.101.1.2"), entry_ip("10.101.1.0/24"))]
#[case::longer_beats_shorter(entry_ip("10.101.1.0/24"), entry_ip("10.0.0.0/8"))]
#[case::everything_beats_application(entry_ip("0.0.0.0/0"), entry_application("checkout"))]
#[case::application_beats_zone(entry_application("checkout"), entry_zone("zone1"))]
#[case::zone_beats_everywhere(entry_zone("zone1"), ScopeEntry::default())]
fn the_narrower_wins_whatever_priority_and_age_say(
    #[case] narrow: ScopeEntry,
    #[case] wide: ScopeEntry,
) {
    let narrow = configuration("z", vec![narrow], "narrow");
    let mut wide = configuration("a", vec![wide], "wide");
    wide.priority = 100;
    for order in [[wide.clone(), narrow.clone()], [narrow, wide]] {
        assert_eq!(
            value(&with(&order), "checkout@zone1").as_deref(),
            Some("narrow")
        );
    }
}

#[test]
fn the_narrowest_matching_entry_counts() {
    // The address entry does not match frontend, so there only the zone counts.
    let mixed = configuration(
        "m",
        vec![entry_zone("zone1"), entry_ip("10.101.1.2")],
        "mixed",
    );
    let application = configuration(
        "a",
        vec![entry_application("checkout"), entry_application("frontend")],
        "application",
    );
    let oracle = with(&[mixed, application]);
    assert_eq!(value(&oracle, "checkout@zone1").as_deref(), Some("mixed"));
    assert_eq!(
        value(&oracle, "frontend@zone1").as_deref(),
        Some("application")
    );
}

#[test]
fn then_priority_then_age_decides() {
    let older = configuration("z", vec![entry_zone("zone1")], "older");
    let mut newer = configuration("a", vec![entry_zone("zone1")], "newer");
    assert_eq!(
        value(&with(&[older.clone(), newer.clone()]), "checkout@zone1").as_deref(),
        Some("older")
    );
    newer.priority = 1;
    assert_eq!(
        value(&with(&[older, newer]), "checkout@zone1").as_deref(),
        Some("newer")
    );
}

#[test]
fn a_replaced_configuration_keeps_its_age_and_a_recreated_one_does_not() {
    let first = configuration("z", vec![entry_zone("zone1")], "first");
    let second = configuration("a", vec![entry_zone("zone1")], "second");
    let again = configuration("z", vec![entry_zone("zone1")], "again");
    let mut oracle = with(&[first, second, again.clone()]);
    assert_eq!(value(&oracle, "checkout@zone1").as_deref(), Some("again"));
    oracle.delete("z");
    assert_eq!(value(&oracle, "checkout@zone1").as_deref(), Some("second"));
    oracle.write(again);
    assert_eq!(value(&oracle, "checkout@zone1").as_deref(), Some("second"));
    oracle.delete("unknown");
    assert_eq!(oracle.configurations.len(), 2);
}

#[test]
fn keys_are_merged_one_by_one() {
    let mut wide = configuration("w", vec![ScopeEntry::default()], "wide");
    wide.toggles.insert("other".to_owned(), "kept".to_owned());
    let narrow = configuration("n", vec![entry_zone("zone1")], "narrow");
    let expected = with(&[wide, narrow]).expected(&sidecar("checkout", 1, 2));
    assert_eq!(expected.toggles["flag"], "narrow");
    assert_eq!(expected.toggles["other"], "kept");
    assert_eq!(expected.rules["route"].to["narrow"], 100);
    assert!(
        !Expected {
            toggles: expected.toggles,
            ..Expected::default()
        }
        .is_empty()
    );
    assert!(
        !Expected {
            rules: expected.rules,
            ..Expected::default()
        }
        .is_empty()
    );
}

#[test]
fn modes_are_decided_field_by_field_and_what_nobody_says_is_plaintext_for_all() {
    let saying = |name: &str, entry, tls| Configuration {
        tls: Some(tls),
        ..configuration(name, vec![entry], name)
    };
    let wide = saying(
        "w",
        ScopeEntry::default(),
        Tls {
            inbound: Some(InboundTls::Permissive),
            outbound: Some(OutboundTls::Strict),
            allow: Some(vec!["frontend".to_owned(), "canary".to_owned()]),
        },
    );
    let narrow = saying(
        "n",
        entry_zone("zone1"),
        Tls {
            inbound: Some(InboundTls::Strict),
            allow: Some(vec!["inventory".to_owned()]),
            ..Tls::default()
        },
    );
    let silent = configuration("s", vec![entry_zone("zone3")], "silent");
    let modes = |oracle: &Oracle, zone| oracle.expected(&sidecar("checkout", zone, 2)).modes;
    let told = |takes, outbound, allow: Option<&[&str]>| {
        let allow = allow.map(|all| all.iter().map(|who| (*who).to_owned()).collect());
        Some(Modes {
            inbound: Guard { takes, allow },
            outbound,
        })
    };
    let oracle = with(&[wide, narrow.clone()]);
    let (strict, open) = (InboundTls::Strict, InboundTls::Permissive);
    assert_eq!(
        modes(&oracle, 1),
        told(strict, OutboundTls::Strict, Some(&["inventory"]))
    );
    assert_eq!(
        modes(&oracle, 2),
        told(open, OutboundTls::Strict, Some(&["canary", "frontend"]))
    );
    let oracle = with(&[narrow, silent]);
    assert_eq!(modes(&oracle, 3), Some(Modes::default()));
    assert!(with(&[]).expected(&sidecar("checkout", 3, 2)).is_empty());
    assert!(
        !Expected {
            modes: modes(&oracle, 1),
            ..Expected::default()
        }
        .is_empty()
    );
    let mut blind = Oracle::without_modes();
    blind.write(oracle.configurations[0].clone());
    let expected = blind.expected(&sidecar("checkout", 1, 2));
    assert!(expected.certificate && expected.modes.is_none());
}

#[rstest]
#[case("10.1.2.3", "10.1.2.3", true)]
#[case("10.1.2.3", "10.1.2.4", false)]
#[case("10.1.2.3/24", "10.1.2.200", true)]
#[case("10.1.2.0/24", "10.1.3.1", false)]
#[case("10.1.2.0/23", "10.1.3.1", true)]
#[case("0.0.0.0/0", "192.168.1.1", true)]
#[case("10.0.0.0/8", "nonsense", false)]
fn blocks_contain_addresses(#[case] block: &str, #[case] address: &str, #[case] is_inside: bool) {
    let block = Block::parse(block).expect("a block");
    assert_eq!(block.contains(address), is_inside);
}

#[rstest]
#[case("10.1.2.0/33")]
#[case("10.1.2")]
#[case("::1")]
#[case("10.1.2.0/")]
#[case("")]
fn what_is_no_block_is_refused(#[case] text: &str) {
    assert_eq!(Block::parse(text), None);
    let unparsable = with(&[configuration("c", vec![entry_ip(text)], "x")]);
    assert_eq!(value(&unparsable, "checkout@zone1"), None);
}

#[test]
fn a_block_knows_its_network() {
    let block = Block::parse("10.1.2.3/24").expect("a block");
    assert_eq!(block.network().to_string(), "10.1.2.0");
}
