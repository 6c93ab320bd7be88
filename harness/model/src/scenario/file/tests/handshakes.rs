//! Handshakes in scenario files.

use super::*;

/// A scenario of two handshakes with these expectations.
fn shaking_hands(requires: &str, then: &str) -> String {
    format!(
        "name: tls/mine
claim: a callee takes its callers
tags: [qa]
requires: [{requires}]
when:
- handshake: {{name: right, from: frontend@$zone1, to: checkout@$zone2}}
- handshake: {{name: none, from: frontend@$zone1, to: checkout@$zone2, shows: none}}
then:
{then}
"
    )
}

#[test]
fn handshakes_are_read_and_printed() {
    let text = shaking_hands(
        "handshakes",
        "- handshakeAnswered: {handshake: right}
- handshakeRefused: {handshake: none, with: certificate_required}",
    );
    let read = read_both_ways(&text);
    assert_eq!(
        crate::words::expectations(&read)[1],
        "`none` is refused by the callee's sidecar with the alert certificate_required"
    );
}

#[test]
fn a_certificate_can_be_shown_once_more() {
    let text = shaking_hands("handshakes", "- handshakeAnswered: {handshake: right}")
        .replace("shows: none", "shows: {as: right}");
    let read = read_both_ways(&text);
    let said = &crate::words::acts(&read)[1];
    assert!(
        said.contains("with the certificate of `right` once more"),
        "{said}"
    );
    assert!(crate::handshake::is_shown_again("right", &read.when));
    assert!(!crate::handshake::is_shown_again("none", &read.when));
}

/// With a partner's root of `of` before, and what the second handshake shows below it.
fn with_a_partner(requires: &str, of: &str) -> String {
    shaking_hands(requires, "- handshakeAnswered: {handshake: right}")
        .replace("tags: [qa]", "tags: [qa]\ndisturbs: everything")
        .replace(
            "when:\n",
            &format!("when:\n- rotate: {{trustPartner: {of}}}\n"),
        )
        .replace("shows: none", "shows: {ofPartner: notValidYet}")
}

#[test]
fn certificates_of_a_partner_can_be_shown() {
    let text = with_a_partner("handshakes, partner-roots", "frontend@$zone1");
    let read = read_both_ways(&text);
    let said = crate::words::acts(&read);
    assert!(
        said[0].ends_with("made by the probe of frontend in zone 1"),
        "{said:?}"
    );
    assert!(said[2].contains("that is not valid yet"), "{said:?}");
}

#[rstest::rstest]
#[case::partner_not_required(
    with_a_partner("handshakes", "frontend@$zone1"),
    "add `partner-roots` to `requires`"
)]
#[case::partner_of_another_probe(
    with_a_partner("handshakes, partner-roots", "frontend@$zone2"),
    "the probe of `frontend@$zone1` has made no partner's root before"
)]
#[case::partner_of_nobody(
    with_a_partner("handshakes, partner-roots", "frontend"),
    "`frontend` is not a workload"
)]
#[case::nobody_requires(
    shaking_hands("tls", "- handshakeAnswered: {handshake: right}"),
    "add `handshakes` to `requires`"
)]
#[case::not_made(
    shaking_hands("handshakes", "- handshakeAnswered: {handshake: rihgt}"),
    "`rihgt` is not made once (hint: did you mean `right`?)"
)]
#[case::no_such_alert(
    shaking_hands(
        "handshakes",
        "- handshakeRefused: {handshake: none, with: unknown_cb}"
    ),
    "did you mean `unknown_ca`?"
)]
#[case::two_ends(
    shaking_hands(
        "handshakes",
        "- handshakeAnswered: {handshake: none}
- handshakeRefused: {handshake: none, with: unknown_ca}"
    ),
    "two ends of the same handshake `none`"
)]
#[case::made_twice(
    shaking_hands("handshakes", "- handshakeAnswered: {handshake: right}")
        .replace("name: none", "name: right"),
    "`right` is not made once"
)]
#[case::to_itself(
    shaking_hands("handshakes", "- handshakeAnswered: {handshake: right}")
        .replacen("checkout@$zone2", "frontend@$zone1", 1),
    "`frontend@$zone1` calls itself"
)]
#[case::shown_by_nobody_before(
    shaking_hands("handshakes", "- handshakeAnswered: {handshake: right}")
        .replace("shows: none", "shows: {as: rights}"),
    "my.yaml:7:83: `rights` has shown no certificate before (hint: did you mean `right`?)"
)]
#[case::shown_by_another_before(
    shaking_hands("handshakes", "- handshakeAnswered: {handshake: right}")
        .replace("shows: none", "shows: {as: right}")
        .replacen("from: frontend@$zone1", "from: frontend@$zone3", 1),
    "name an earlier handshake from `frontend@$zone1` that shows a certificate of its own"
)]
#[case::nothing_shown_before(
    shaking_hands("handshakes", "- handshakeAnswered: {handshake: right}")
        .replace("shows: none", "shows: {as: right}")
        .replacen("to: checkout@$zone2", "to: checkout@$zone2, shows: none", 1),
    "`right` has shown no certificate before"
)]
fn what_handshakes_get_wrong_is_told(#[case] text: String, #[case] mistake: &str) {
    let told = mistakes(&text);
    assert!(told.iter().any(|told| told.contains(mistake)), "{told:#?}");
}

#[test]
fn both_ends_of_a_handshake_are_looked_at() {
    let text = shaking_hands("handshakes", "- handshakeAnswered: {handshake: right}")
        .replacen("to: checkout@", "to: chekout@", 1)
        .replacen("from: frontend@", "from: forntend@", 1);
    let told = match parse_for("my.yaml", &text, &known()) {
        Ok(_) => Vec::new(),
        Err(problems) => problems.to_string().lines().map(str::to_owned).collect(),
    };
    for meant in ["`checkout`", "`frontend`"] {
        let hint = format!("did you mean {meant}?");
        assert!(
            told.iter().any(|told: &String| told.contains(&hint)),
            "{told:#?}"
        );
    }
}
