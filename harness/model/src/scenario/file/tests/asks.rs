//! Asking for identities in scenario files.

use super::*;

fn asking(requires: &str, token: &str) -> String {
    format!(
        "name: identity/mine
claim: tokens are looked at
tags: [qa]
requires: [{requires}]
when:
- ask: {{name: mine, from: frontend@$zone1, at: nodeAgent, token: {token}}}
then:
- denied: {{ask: mine, because: expired}}
"
    )
}

#[test]
fn a_token_that_has_ended_is_read_and_printed() {
    let text = asking("identities, token-signing", "expired");
    let read = read_both_ways(&text);
    let told = crate::words::expectations(&read);
    assert!(told[0].contains("the token has ended"), "{told:?}");
}

#[rstest::rstest]
#[case::nobody_asks("token-signing", "right", Some("add `identities` to `requires`"))]
#[case::nobody_signs("identities", "expired", Some("add `token-signing` to `requires`"))]
#[case::nobody_signs_a_good_one("identities", "signed", Some("add `token-signing` to `requires`"))]
#[case::nothing_to_sign("identities", "gone", None)]
fn what_it_takes_to_ask_must_be_said(
    #[case] requires: &str,
    #[case] token: &str,
    #[case] complaint: Option<&str>,
) {
    let told = match parse("my.yaml", &asking(requires, token)) {
        Ok(_) => String::new(),
        Err(problems) => problems.to_string(),
    };
    match complaint {
        Some(words) => assert!(told.contains(words), "{told}"),
        None => assert_eq!(told, ""),
    }
}

#[rstest::rstest]
#[case::another_domain("otherDomain", ", for its name in another trust domain")]
#[case::another_namespace("otherNamespace", ", for its name in another namespace")]
#[case::another_curve("otherCurve", ", for a key on another curve")]
fn a_wish_is_read_and_printed(#[case] wish: &str, #[case] words: &str) {
    let text = asking("identities", &format!("right, wish: {wish}"));
    let text = text.replace("nodeAgent", "authority");
    let read = read_both_ways(&text);
    let told = crate::words::acts(&read);
    assert!(told[0].contains(words), "{told:?}");
}

fn at_the_key_service(requires: &str, ask: &str, then: &str) -> String {
    format!(
        "name: identity/mine
claim: keys are kept from others
tags: [qa]
requires: [{requires}]
when:
- ask: {{name: mine, from: frontend@$zone1, at: keyService, {ask}}}
then:
- {then}
"
    )
}

const TURNED_AWAY: &str = "denied: {ask: mine, because: noCertificate}";

#[rstest::rstest]
#[case::with_nothing("token: none", "without a certificate")]
#[case::as_itself("token: own", "with its own certificate")]
fn what_is_shown_to_a_key_service_is_read_and_printed(#[case] ask: &str, #[case] words: &str) {
    let text = at_the_key_service("identities, key-service", ask, TURNED_AWAY);
    let read = read_both_ways(&text);
    let told = crate::words::acts(&read);
    assert_eq!(
        told,
        [format!(
            "frontend in zone 1 asks the key service {words} (`mine`)"
        )]
    );
    let told = crate::words::expectations(&read);
    assert!(
        told[0].contains("no client certificate is shown"),
        "{told:?}"
    );
}

#[rstest::rstest]
#[case::no_token_by_default(
    "identities, key-service",
    "wish: right",
    TURNED_AWAY,
    "write `token: none`"
)]
#[case::a_token(
    "identities, key-service",
    "token: garbage",
    TURNED_AWAY,
    "write `token: none`"
)]
#[case::somebody_elses(
    "identities, key-service",
    "token: {of: checkout@$zone2}",
    TURNED_AWAY,
    "write `token: none`"
)]
#[case::a_wish(
    "identities, key-service",
    "token: own, wish: longLife",
    TURNED_AWAY,
    "ask the `authority`"
)]
#[case::nobody_says_where(
    "identities",
    "token: none",
    TURNED_AWAY,
    "add `key-service` to `requires`"
)]
#[case::nobody_asks(
    "key-service",
    "token: none",
    TURNED_AWAY,
    "add `identities` to `requires`"
)]
#[case::nothing_is_issued(
    "identities, key-service",
    "token: own",
    "granted: {ask: mine, atMost: 60s}",
    "expect `denied`"
)]
fn what_makes_no_sense_at_a_key_service_is_told(
    #[case] requires: &str,
    #[case] ask: &str,
    #[case] then: &str,
    #[case] hint: &str,
) {
    let problems = parse("my.yaml", &at_the_key_service(requires, ask, then));
    let told = problems.expect_err("it makes no sense").to_string();
    assert!(told.contains(hint), "{told}");
}

fn as_another_user(requires: &str, at: &str, then: &str) -> String {
    format!(
        "name: identity/mine
claim: the socket is for its owner
tags: [qa]
requires: [{requires}]
when:
- ask: {{name: mine, from: frontend@$zone1, at: {at}, token: otherUser}}
then:
- {then}
"
    )
}

const NOT_THE_OWNER: &str = "denied: {ask: mine, because: otherUser}";

#[test]
fn an_attempt_as_another_user_is_read_and_printed() {
    let text = as_another_user("identities, private-socket", "nodeAgent", NOT_THE_OWNER);
    let read = read_both_ways(&text);
    let told = crate::words::acts(&read);
    let asks =
        "frontend in zone 1 asks the node agent as another user than the owner of its socket";
    assert_eq!(told, [format!("{asks} (`mine`)")]);
    let told = crate::words::expectations(&read);
    assert!(told[0].contains("let its owner alone dial"), "{told:?}");
}

#[rstest::rstest]
#[case::nobody_says_whose_it_is(
    "identities",
    "nodeAgent",
    NOT_THE_OWNER,
    "add `private-socket` to `requires`"
)]
#[case::at_the_authority(
    "identities, private-socket",
    "authority",
    NOT_THE_OWNER,
    "ask the `nodeAgent`"
)]
#[case::at_the_key_service(
    "identities, private-socket, key-service",
    "keyService",
    NOT_THE_OWNER,
    "ask the `nodeAgent`"
)]
#[case::nobody_is_asked(
    "identities, private-socket",
    "nodeAgent",
    "granted: {ask: mine, atMost: 60s}",
    "expect `denied`"
)]
fn what_makes_no_sense_of_another_user_is_told(
    #[case] requires: &str,
    #[case] at: &str,
    #[case] then: &str,
    #[case] hint: &str,
) {
    let problems = parse("my.yaml", &as_another_user(requires, at, then));
    let told = problems.expect_err("it makes no sense").to_string();
    assert!(told.contains(hint), "{told}");
}

fn audited(requires: &str, at: &str, ask: &str) -> String {
    format!(
        "name: identity/mine
claim: calls are written down
tags: [qa]
requires: [{requires}]
when:
- ask: {{name: mine, from: frontend@$zone1, at: {at}}}
then:
- granted: {{ask: mine, atMost: 60s}}
- audited: {{ask: {ask}, outcome: served}}
"
    )
}

#[test]
fn an_entry_of_an_audit_log_is_read_and_printed() {
    let text = audited("identities, audit-log", "authority", "mine");
    let read = read_both_ways(&text);
    let told = crate::words::expectations(&read);
    assert!(
        told[1].contains("a call for `mine` that was served"),
        "{told:?}"
    );
}

#[rstest::rstest]
#[case::nobody_says_where("identities", "authority", "mine", "add `audit-log` to `requires`")]
#[case::nobody_calls("identities, audit-log", "nodeAgent", "mine", "`at: authority`")]
#[case::not_asked("identities, audit-log", "authority", "yours", "`yours`")]
fn what_makes_no_sense_of_an_audit_log_is_told(
    #[case] requires: &str,
    #[case] at: &str,
    #[case] ask: &str,
    #[case] words: &str,
) {
    let problems = parse("my.yaml", &audited(requires, at, ask));
    let told = problems.expect_err("it makes no sense").to_string();
    assert!(told.contains(words), "{told}");
}
