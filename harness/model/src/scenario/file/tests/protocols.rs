//! What applications speak in scenario files.

use super::*;
use crate::protocol::Connections;

#[test]
fn what_workloads_may_not_speak_must_be_required() {
    for protocol in Protocol::ALL {
        let mut speaking = scenario(vec![Act::Request(Traffic {
            name: "batch".to_owned(),
            from: "frontend@$zone1".to_owned(),
            to: "checkout".to_owned(),
            path: "/".to_owned(),
            headers: [].into(),
            protocol,
            count: 1,
        })]);
        let complains = |scenario: &Scenario| {
            let told = check_for(scenario, &known());
            told.iter().any(|told| told.contains("it speaks"))
        };
        assert_eq!(complains(&speaking), protocol != Protocol::Http1);
        speaking.requires.extend(protocol.takes());
        assert!(!complains(&speaking), "{protocol:?}");
    }
}

#[test]
fn bytes_have_neither_path_nor_headers() {
    let ask = "request: {name: batch, ";
    for protocol in Protocol::ALL {
        let word = serde_json::to_string(&protocol).unwrap();
        let asked = format!("{ask}protocol: {word}, path: /a, ");
        let found = mistakes(&sample_with(ask, &asked));
        let complains = found.iter().any(|mistake| mistake.contains("neither"));
        let bytes = [
            Protocol::Tcp,
            Protocol::ServerFirst,
            Protocol::ApplicationTls,
        ];
        assert_eq!(complains, bytes.contains(&protocol), "{found:?}");
    }
}

#[test]
fn only_bytes_and_streams_can_keep_one_connection() {
    let plain = "load: {name: steady, ";
    for protocol in Protocol::ALL {
        let word = serde_json::to_string(&protocol).unwrap();
        let load = |connections: &str| format!("{plain}protocol: {word}, {connections}");
        let complains = |text: &str| {
            let found = mistakes(&sample_with(plain, text));
            let told = "cannot say what it keeps";
            found.iter().any(|mistake| mistake.contains(told))
        };
        let can = [Protocol::Tcp, Protocol::Grpc].contains(&protocol);
        assert_eq!(complains(&load("connections: kept, ")), !can);
        assert!(!complains(&load("connections: usual, ")), "{protocol:?}");
    }
    let hint = mistakes(&sample_with(plain, &format!("{plain}connections: kept, ")));
    assert!(
        hint.iter()
            .any(|line| line.contains("leave `connections` out")),
        "{hint:?}"
    );
    let odd = mistakes(&sample_with(plain, &format!("{plain}connections: keep, ")));
    assert!(odd.iter().any(|line| line.contains("`kept`")), "{odd:?}");
}

#[test]
fn what_requests_go_over_is_read_and_printed() {
    let plain = "load: {name: steady, ";
    let text = sample_with(
        plain,
        &format!("{plain}protocol: grpc, connections: kept, "),
    )
    .replace("[three-zones]", "[three-zones, protocols]");
    let read = read_both_ways(&text);
    let mut acts = read.when.iter();
    let kept = |act: &Act| matches!(act, Act::Load(load) if load.connections == Connections::Kept);
    assert!(acts.any(kept));
}

#[rstest::rstest]
#[case::right("headers: {x-mine: \"a b\"}", None)]
#[case::name("headers: {x mine: a}", Some("`x mine` cannot be the name"))]
#[case::bytes("headers: {x-mine: a}, protocol: tcp", Some("bytes have no headers"))]
fn a_load_has_headers_as_a_batch_has(#[case] fields: &str, #[case] complaint: Option<&str>) {
    let plain = "load: {name: steady, ";
    let text = sample_with(plain, &format!("{plain}{fields}, "));
    let text = text.replace("[three-zones]", "[three-zones, protocols]");
    told(&mistakes(&text), complaint);
}

#[test]
fn headers_of_a_load_are_read_and_printed() {
    let plain = "load: {name: steady, ";
    let text = sample_with(plain, &format!("{plain}headers: {{x-mine: a}}, "));
    let read = read_both_ways(&text);
    let sends = |act: &Act| matches!(act, Act::Load(load) if load.headers["x-mine"] == "a");
    let load = read.when.iter().find(|act| sends(act));
    let words = crate::words::act(load.expect("it is there"));
    assert!(
        words.contains("to checkout, x-mine: a (`steady`)"),
        "{words}"
    );
}

#[rstest::rstest]
#[case::right("path: '/a%20b?c=d', headers: {x-mine: \"a b\"}", None)]
#[case::space("path: '/a b'", Some("' ' cannot be in the path"))]
#[case::fragment("path: '/a#b'", Some("'#' cannot be in the path"))]
#[case::letter("path: '/ä'", Some("'ä' cannot be in the path"))]
#[case::name("headers: {x mine: a}", Some("`x mine` cannot be the name"))]
#[case::no_name("headers: {'': a}", Some("`` cannot be the name"))]
#[case::line(
    "headers: {x: \"a\\nb\"}",
    Some("'\\n' cannot be in the value of header `x`")
)]
fn what_cannot_be_sent_is_told(#[case] fields: &str, #[case] complaint: Option<&str>) {
    let ask = "request: {name: batch, ";
    let found = mistakes(&sample_with(ask, &format!("{ask}{fields}, ")));
    told(&found, complaint);
}

const TO: &str = "to: {inventory: 100}";

#[rstest::rstest]
#[case::right(TO, "to: {inventory: 100}\n        pathPrefix: /a", None)]
#[case::prefix(
    TO,
    "to: {inventory: 100}\n        pathPrefix: a",
    Some("prefix `a` does not begin")
)]
#[case::name("x-a: ", "x a: ", Some("`x a` cannot be the name"))]
#[case::weight(TO, "to: {inventory: 100, checkout: 0}", Some("weight 0"))]
fn what_cannot_be_matched_is_told(
    #[case] from: &str,
    #[case] to: &str,
    #[case] complaint: Option<&str>,
) {
    told(&mistakes(&sample_with(from, to)), complaint);
}

/// The complaint is made, and none about HTTP where there is to be none.
#[track_caller]
fn told(found: &[String], complaint: Option<&str>) {
    let all = [" cannot be ", " does not begin ", "weight 0"];
    match complaint {
        Some(words) => assert!(found.iter().any(|line| line.contains(words)), "{found:?}"),
        None => assert!(
            !found
                .iter()
                .any(|line| all.iter().any(|word| line.contains(word))),
            "{found:?}"
        ),
    }
}
