//! Every word is read and printed, and every mistake of form and meaning is told with its line.

mod asks;
mod beside;
mod handshakes;
mod limits;
mod names;
mod protocols;
mod services;

use super::*;
use crate::capability::Capability;
use crate::configuration::{Configuration, InboundTls, Tls};
use crate::fault::{Fault, PodSelector, SocketHarm};
use crate::names::{Components, Names, Places};
use crate::protocol::Protocol;
use crate::scenario::{Act, Disturbs, Rollout, Scenario, Traffic};
use crate::testing::{configuration, scenario};

const SAMPLE: &str = r#"name: delivery-scope/sample
claim: a configuration for one data center reaches it
tags: [gate, qa]
requires: [three-zones]
disturbs: everything
given:
  configurations:
  - name: steady
    scope:
      match: [{}]
    toggles: {steady: "on"}
when:
- apply:
    name: scoped
    scope:
      match:
      - dataCenter: $zone1
      except:
      - ip: $ip:checkout@$zone1
    priority: 3
    toggles: {feature: "true"}
    rules:
      route:
        service: checkout
        headers: {x-a: "1"}
        to: {inventory: 100}
- join: {application: checkout, dataCenter: $zone2}
- leave: {application: checkout, dataCenter: $zone2}
- reconnect
- hold: 1m30s
- request: {name: batch, from: frontend@$zone1, to: checkout, count: 3}
- load: {name: steady, from: frontend@$zone1, to: checkout, rate: 10}
- inject:
    podKill:
      selector: controlPlaneReplica
- inject:
    podKill:
      selector: {workload: checkout@$zone1}
- inject:
    zoneOutage: {dataCenter: $zone1, duration: 4s}
- recover
- stop: steady
- delete: scoped
then:
- delivered
- confined
- restored: {reference: 0, step: 2}
- statusIsTrue
- rejected: {step: 0}
- answered: {traffic: batch}
- answered: {traffic: steady, lost: 2}
- passesBothSidecars: {traffic: batch}
- keepsProtocol: {traffic: batch}
- prefersOwnZone: {traffic: batch, percent: 90}
- answeredBy: {traffic: batch, application: checkout}
- sharedBy: {traffic: steady, percents: {checkout: 80, inventory: 20}}
- failsOver: {traffic: steady, within: 500ms}
- unchanged
- recovers: {traffic: steady}
"#;

/// A scenario that is right, and the same when it is printed and read again.
#[track_caller]
fn read_both_ways(text: &str) -> Scenario {
    let read = parse("my.yaml", text).expect("it is right");
    assert_eq!(parse("my.yaml", &print(&read)).expect("right"), read);
    read
}

/// What an environment has.
fn known() -> Names {
    let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    Names {
        applications: names(&["checkout", "frontend", "inventory"]),
        services: names(&["checkout", "frontend", "inventory", "impostor"]),
        components: Some(Components {
            all: names(&["authority", "node-agent"]),
            with_socket: names(&["node-agent"]),
            with_folder: names(&[]),
            clients: [("node-agent".to_owned(), names(&["authority"]))].into(),
        }),
        places: Some(Places {
            data_centers: names(&["east", "west"]),
            clusters: names(&["local"]),
        }),
    }
}

fn mistakes(text: &str) -> Vec<String> {
    match parse("my.yaml", text) {
        Ok(_) => Vec::new(),
        Err(problems) => problems.to_string().lines().map(str::to_owned).collect(),
    }
}

/// The sample with one piece of text replaced by another.
fn sample_with(from: &str, to: &str) -> String {
    assert!(SAMPLE.contains(from), "{from}");
    SAMPLE.replacen(from, to, 1)
}

#[test]
fn every_word_is_read_and_printed() {
    let read = parse("my.yaml", SAMPLE).expect("the sample is right");
    let printed = print(&read);
    assert_eq!(
        parse("my.yaml", &printed).expect("what is printed is right"),
        read,
        "{printed}"
    );
    assert_eq!(read.when.len(), 13);
    assert_eq!(read.then.len(), 15);
}

#[test]
fn text_that_looks_like_something_else_survives_printing() {
    let mut odd = scenario(vec![Act::Reconnect]);
    for claim in [
        "true is not false",
        "1 2 3",
        "a: b c",
        "# not a comment",
        "- a list no",
    ] {
        odd.claim = claim.to_owned();
        assert_eq!(parse("my.yaml", &print(&odd)).expect("it is right"), odd);
    }
}

#[test]
fn mistakes_of_form_are_all_listed() {
    let text = sample_with("claim:", "clame:")
        .replace("- confined", "- confinned")
        .replace("hold: 1m30s", "hold: soon")
        .replace("rate: 10", "rate: many");
    let found = mistakes(&text);
    assert_eq!(found.len(), 5, "{found:#?}");
    assert!(
        found[0].starts_with("my.yaml:1:1: missing field `claim`"),
        "{found:#?}"
    );
    assert!(
        found[1].starts_with("my.yaml:2:1: unknown field `clame` (hint: did you mean `claim`?)")
    );
    assert!(
        found[2].starts_with("my.yaml:30:9: `soon` is not a duration"),
        "{found:#?}"
    );
    assert!(
        found[3].starts_with(
            "my.yaml:32:67: `many` where a whole number from 0 to 4294967295 is expected"
        ),
        "{found:#?}"
    );
    assert!(found[4].contains("did you mean `confined`?"), "{found:#?}");
}

#[test]
fn mistakes_of_form_and_of_meaning_come_together() {
    let text = sample_with(
        "claim: a configuration for one data center reaches it\n",
        "",
    )
    .replace("- recover\n", "- recover-all\n")
    .replace("count: 3}", "count: 3, path: x}")
    .replace("{workload: checkout@$zone1}", "{workload: checkout}");
    assert_eq!(
        mistakes(&text),
        [
            "my.yaml:1:1: missing field `claim` (hint: add `claim: requests pass both sidecars` to the map that begins here)",
            "my.yaml:30:12: path `x` does not begin with `/`",
            "my.yaml:37:28: `checkout` is not a workload (hint: write `application@data-center`, for example `checkout@$zone1`)",
            "my.yaml:40:3: unknown word `recover-all` (hint: did you mean `recover`?)",
        ],
        "what may follow from the unknown word is not told"
    );
}

#[test]
fn mistakes_of_meaning_are_all_listed() {
    let text = sample_with("stop: steady", "stop: stedy")
        .replace("step: 2}", "step: 99}")
        .replace(
            "passesBothSidecars: {traffic: batch}",
            "passesBothSidecars: {traffic: badge}",
        );
    let found = mistakes(&text);
    assert_eq!(
        found,
        [
            "my.yaml:32:3: load `steady` is never stopped (hint: add `stop` after it)",
            "my.yaml:42:3: load `stedy` is not running here (hint: start it with `load` first)",
            "my.yaml:47:34: there is no step 99 (hint: steps are the acts of `when`, counted from 0)",
            "my.yaml:52:33: traffic `badge` is not sent",
        ]
    );
}

#[rstest::rstest]
#[case(
    "name: delivery-scope/sample",
    "name: Sample",
    1,
    "`Sample` is not a scenario name"
)]
#[case(
    "name: delivery-scope/sample",
    "name: a/B",
    1,
    "is not a scenario name"
)]
#[case("name: delivery-scope/sample", "name: a/", 1, "is not a scenario name")]
#[case(
    "claim: a configuration for one data center reaches it",
    "claim: two words",
    2,
    "not a sentence"
)]
#[case("tags: [gate, qa]", "tags: []", 3, "no tag")]
#[case(
    "name: steady\n",
    "name: scoped-\n",
    8,
    "`scoped-` is not a configuration name"
)]
#[case("name: steady\n", "name: -scoped\n", 8, "is not a configuration name")]
#[case("name: steady\n", "name: a_b\n", 8, "is not a configuration name")]
#[case(
    "    toggles: {steady: \"on\"}\n",
    "",
    8,
    "a configuration that says nothing"
)]
#[case(
    "      - ip: $ip:checkout@$zone1",
    "      - ip: 10.0.0",
    19,
    "`10.0.0` is not an IPv4 address or block"
)]
#[case(
    "      - ip: $ip:checkout@$zone1",
    "      - {}",
    19,
    "`except` takes everybody out"
)]
#[case("to: {inventory: 100}", "to: {}", 24, "a rule without destination")]
#[case("to: {inventory: 100}", "to: {inventory: 0}", 24, "all weights are 0")]
#[case(
    "        service: checkout\n",
    "        service: canary\n",
    24,
    "the canary's service"
)]
#[case("headers: {x-a: \"1\"}", "{pathPrefix: /, pathRegex: /}", 24, "")]
#[case("hold: 1m30s", "hold: 0s", 30, "a hold of no time")]
#[case(
    "hold: 1m30s",
    "hold: 90000h",
    30,
    "a hold of 90000h is too long (hint: at most 24h)"
)]
#[case(
    "to: checkout, count: 3",
    "to: checkout, count: 3000000",
    31,
    "3000000 requests are too many (hint: at most 100000"
)]
#[case(
    "to: checkout, rate: 10",
    "to: checkout, rate: 20000",
    32,
    "20000 requests a second are too many"
)]
#[case("duration: 4s", "duration: 25h", 40, "an outage of 25h is too long")]
#[case(
    "- unchanged\n",
    "- overTls: {traffic: batch}\n- inPlaintext: {traffic: batch}\n",
    59,
    "`overTls` and `inPlaintext` for the same traffic `batch`"
)]
#[case(
    "- unchanged\n",
    "- refused: {traffic: batch, because: plaintext}\n",
    58,
    "`answered` and `refused` for the same traffic `batch`"
)]
#[case(
    "- unchanged\n",
    "- refused: {traffic: batch, because: plaintext}\n- refused:\n    traffic: batch\n    because: expired\n",
    61,
    "two causes why the same traffic `batch` is refused"
)]
#[case(
    "    toggles: {steady: \"on\"}\n",
    "    tls: {inbound: plaintext, allow: [frontend]}\n",
    11,
    "`inbound` takes plaintext (hint: write `inbound: strict`"
)]
#[case(
    "from: frontend@$zone1, to: checkout, count: 3",
    "from: frontend, to: checkout, count: 3",
    31,
    "`frontend` is not a workload"
)]
#[case(
    "from: frontend@$zone1, to: checkout, count: 3",
    "from: \"@a\", to: checkout, count: 3",
    31,
    "is not a workload"
)]
#[case(
    "to: checkout, count: 3",
    "to: checkout, count: 0",
    31,
    "zero requests"
)]
#[case(
    "to: checkout, count: 3",
    "to: checkout, count: 3, path: x",
    31,
    "does not begin with `/`"
)]
#[case(
    "to: checkout, rate: 10",
    "to: checkout, rate: 0",
    32,
    "zero requests per second"
)]
#[case(
    "load: {name: steady,",
    "load: {name: batch,",
    32,
    "traffic `batch` is named twice"
)]
#[case(
    "{workload: checkout@$zone1}",
    "{workload: checkout}",
    38,
    "`checkout` is not a workload"
)]
#[case("duration: 4s", "duration: 0s", 40, "an outage of no time")]
#[case("- recover\n", "", 39, "nothing waits for the fault to end")]
#[case(
    "delete: scoped",
    "delete: scopet",
    43,
    "`scopet` is not in force here (hint: did you mean `scoped`?)"
)]
#[case(
    "reference: 0, step: 2",
    "reference: 2, step: 2",
    47,
    "does not come before"
)]
#[case(
    "rejected: {step: 0}",
    "rejected: {step: 1}",
    49,
    "only an `apply` can be rejected"
)]
#[case("percent: 90", "percent: 0", 54, "not between 1 and 100")]
#[case("percent: 90", "percent: 101", 54, "not between 1 and 100")]
#[case("checkout: 80", "checkout: 0", 56, "the share is not between 1 and 99")]
#[case("checkout: 80", "checkout: 79", 56, "the shares are not 100 percent")]
#[case(
    "failsOver: {traffic: steady",
    "failsOver: {traffic: batch",
    57,
    "`batch` is a batch, not a load"
)]
#[case("- confined\n", "- delivered\n", 46, "the same expectation twice")]
fn a_mistake_of_meaning_is_found_at_its_line(
    #[case] from: &str,
    #[case] to: &str,
    #[case] line: u64,
    #[case] message: &str,
) {
    let found = mistakes(&sample_with(from, to));
    if message.is_empty() {
        // Not even YAML of the right form: the line is enough.
        assert!(!found.is_empty());
        return;
    }
    assert!(
        found
            .iter()
            .any(|m| m.starts_with(&format!("my.yaml:{line}:")) && m.contains(message)),
        "{message} at {line} not in {found:#?}"
    );
}

#[test]
fn both_kinds_of_path_are_refused() {
    let found = mistakes(&sample_with(
        "        headers: {x-a: \"1\"}\n",
        "        pathPrefix: /a\n        pathRegex: /b\n",
    ));
    assert!(
        found[0].contains("both `pathPrefix` and `pathRegex`"),
        "{found:#?}"
    );
}

#[test]
fn what_disturbs_others_says_so() {
    for said in ["disturbs: nothing\n", "# disturbs nothing by default\n"] {
        let found = mistakes(&sample_with("disturbs: everything\n", said));
        let lines: Vec<&str> = found
            .iter()
            .filter(|mistake| mistake.contains("`disturbs: everything`"))
            .filter_map(|mistake| mistake.split(':').nth(1))
            .collect();
        assert_eq!(lines, ["27", "28", "33", "36", "39", "41"], "{found:#?}");
        assert_eq!(found.len(), 6, "{found:#?}");
    }
}

#[test]
fn a_name_is_given_once() {
    let twice = sample_with(
        "  - name: steady\n",
        "  - {name: steady, scope: {match: []}, toggles: {a: b}}\n  - name: steady\n",
    );
    assert_eq!(mistakes(&twice).len(), 1);
    assert!(mistakes(&twice)[0].contains("configuration `steady` is given twice"));
}

#[test]
fn what_speaks_of_a_fault_needs_one() {
    let mut calm = parse("my.yaml", SAMPLE).expect("the sample is right");
    calm.when.retain(|act| !matches!(act, Act::Inject(_)));
    let found = check(&calm);
    let needing = found
        .iter()
        .filter(|m| m.contains("speaks of a fault"))
        .count();
    assert_eq!(needing, 3, "{found:#?}");
}

#[test]
fn nothing_to_do_and_nothing_to_expect_are_mistakes() {
    let mut empty = scenario(vec![]);
    empty.then.clear();
    assert_eq!(check(&empty), ["nothing happens", "nothing is expected"]);
    assert_eq!(check(&scenario(vec![Act::Reconnect])), Vec::<String>::new());
}

#[test]
fn a_duplicate_key_is_a_mistake() {
    assert_eq!(mistakes("name: a/b\nname: a/c\n").len(), 1);
}

#[test]
fn the_schema_knows_every_word_of_the_sample() {
    let schema = schema().to_string();
    let value: serde_json::Value = serde_saphyr::from_str(SAMPLE).expect("the sample is YAML");
    for (list, kind) in [("when", "acts"), ("then", "expectations")] {
        for entry in value[list].as_array().expect("a list") {
            let word = match entry {
                serde_json::Value::String(word) => word.clone(),
                other => other
                    .as_object()
                    .and_then(|map| map.keys().next())
                    .expect("one key")
                    .clone(),
            };
            assert!(
                schema.contains(&format!("\"{word}\"")),
                "{word} of the {kind}"
            );
        }
    }
    assert!(
        schema.contains("\"additionalProperties\":false"),
        "unknown words are refused"
    );
}

#[test]
fn who_speaks_of_tls_disturbs_traffic_and_says_what_it_needs() {
    let mut speaking = scenario(vec![Act::Apply(Configuration {
        tls: Some(Tls {
            inbound: Some(InboundTls::Strict),
            ..Tls::default()
        }),
        ..configuration("c", vec![], "v1")
    })]);
    let told = check_for(&speaking, &known());
    assert!(
        told.iter().any(|told| told.contains("`disturbs`")),
        "{told:?}"
    );
    assert!(
        told.iter().any(|told| told.contains("`requires`")),
        "{told:?}"
    );
    speaking.requires = vec![Capability::Tls];
    for disturbs in [Disturbs::Traffic, Disturbs::Everything] {
        speaking.disturbs = disturbs;
        let told = check_for(&speaking, &known());
        let complains = |of: &str| told.iter().any(|told| told.contains(of));
        assert!(!complains("`disturbs`") && !complains("TLS"), "{told:?}");
    }
}
