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
    let read = parse("my.yaml", &text).expect("it is right");
    assert_eq!(parse("my.yaml", &print(&read)).expect("right"), read);
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
