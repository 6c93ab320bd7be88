//! Holds the catalogue of scenarios together: names, claims, file form, placeholders, and that each can fail.

use harness_model::checker;
use harness_model::directory::{Directory, Sidecar};
use harness_model::expectation::Expectation;
use harness_model::kill::Kill;
use harness_model::names::{Components, Names, Places};
use harness_model::placeholder::resolve_scenario;
use harness_model::scenario::{Act, Scenario, Tag, file};
use std::collections::BTreeSet;

fn three_zones() -> Directory {
    let mut sidecars = Vec::new();
    for (number, application) in ["frontend", "checkout", "inventory", "canary"]
        .iter()
        .enumerate()
    {
        for zone in 1..=3 {
            sidecars.push(Sidecar {
                name: format!("{application}@zone{zone}"),
                pod: format!("{application}-{zone}"),
                pod_uid: format!("{application}-{zone}"),
                cluster: "local".to_owned(),
                data_center: format!("zone{zone}"),
                node: format!("zone{zone}-1"),
                application: (*application).to_owned(),
                ip: format!("10.{}.1.{}", 100 + zone, 2 + number),
                identity: None,
            });
        }
    }
    Directory {
        data_centers: (1..=3).map(|zone| format!("zone{zone}")).collect(),
        sidecars,
    }
}

fn scenarios() -> Vec<Scenario> {
    let all = suites::all();
    assert!(all.len() >= 20, "only {} scenarios", all.len());
    all
}

#[test]
fn names_and_claims_are_unique() {
    let all = scenarios();
    let names: BTreeSet<&str> = all.iter().map(|s| s.name.as_str()).collect();
    let claims: BTreeSet<&str> = all.iter().map(|s| s.claim.as_str()).collect();
    assert_eq!(names.len(), all.len());
    assert_eq!(claims.len(), all.len());
    let delivery = names
        .iter()
        .filter(|name| name.starts_with("delivery-scope/"))
        .count();
    assert!(delivery >= 14, "only {delivery} scenarios about scope");
}

#[test]
fn every_scenario_is_read_back_from_its_file_form() {
    for scenario in scenarios() {
        let text = file::print(&scenario);
        match file::parse(&scenario.name, &text) {
            Ok(read) => assert_eq!(read, scenario, "{text}"),
            Err(problems) => panic!("{problems}\n{text}"),
        }
    }
}

#[test]
fn placeholders_resolve_where_there_are_three_zones() {
    let directory = three_zones();
    for scenario in scenarios() {
        match resolve_scenario(&scenario, &directory) {
            Ok(resolved) => {
                let text = file::print(&resolved);
                assert!(!text.contains('$'), "{text}");
            }
            Err(unresolved) => panic!("{}: {unresolved:?}", scenario.name),
        }
    }
}

#[test]
fn every_name_is_somebodys_or_said_to_be_unknown() {
    let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
    let names = Names {
        components: Some(Components {
            all: words(&[
                "control-plane",
                "node-agent",
                "certificate-authority",
                "key-service",
            ]),
            with_socket: words(&["node-agent"]),
            with_folder: words(&["node-agent"]),
            clients: [("key-service".to_owned(), words(&["certificate-authority"]))].into(),
        }),
        applications: words(&["frontend", "checkout", "inventory"]),
        services: words(&["frontend", "checkout", "inventory", "impostor"]),
        places: Some(Places {
            data_centers: three_zones().data_centers,
            clusters: words(&["local"]),
        }),
    };
    for scenario in scenarios() {
        assert_eq!(
            file::check_for(&scenario, &names),
            Vec::<String>::new(),
            "{}",
            scenario.name
        );
    }
}

#[test]
fn every_scenario_expects_something_that_must_happen() {
    for scenario in scenarios() {
        let is_positive = scenario.then.iter().any(|expectation| {
            matches!(
                expectation,
                Expectation::Delivered
                    | Expectation::PassesBothSidecars { .. }
                    | Expectation::Granted { .. }
            )
        });
        assert!(is_positive, "{}", scenario.name);
        let speaks_of_scope = scenario.name.starts_with("delivery-scope/");
        if speaks_of_scope {
            assert!(
                scenario.then.contains(&Expectation::Confined),
                "{}",
                scenario.name
            );
            assert!(
                scenario.when.contains(&Act::Reconnect),
                "{} proves absence on one stream only",
                scenario.name
            );
        }
    }
}

#[test]
fn every_scenario_is_killed_by_a_seeded_bug() {
    let matrix = suites::matrix::checked_in().unwrap_or_else(|problems| panic!("{problems}"));
    let all = scenarios();
    let mut killed = BTreeSet::new();
    for (mutant, kills) in &matrix {
        assert!(!kills.is_empty(), "{mutant} is caught by nothing");
        for kill in kills {
            let Some(scenario) = all.iter().find(|s| s.name == kill.scenario) else {
                panic!("{mutant}: there is no scenario {}", kill.scenario);
            };
            // What the search finds does not show that the scenario can fail.
            if kill.is_by_search() {
                continue;
            }
            let has_checker = scenario
                .then
                .iter()
                .any(|e| checker::name(e) == kill.checker);
            assert!(
                has_checker,
                "{mutant}: {} has no {}",
                kill.scenario, kill.checker
            );
            // Most runs are over one cluster.
            if kill.is_of_one_cluster() {
                killed.insert(scenario.name.as_str());
            }
        }
    }
    for scenario in &all {
        assert!(
            killed.contains(scenario.name.as_str()),
            "{} is killed by nothing",
            scenario.name
        );
    }
}

/// CI leaves it out: every seeded bug is caught and every scenario and kind of expectation fails without it.
#[test]
fn nothing_rests_on_what_is_extra() {
    let matrix = suites::matrix::checked_in().unwrap_or_else(|problems| panic!("{problems}"));
    let shown_by = |rows: fn(&Kill) -> bool| {
        let (mut bugs, mut scenarios, mut checkers) =
            (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
        for (bug, kills) in &matrix {
            for kill in kills.iter().filter(|kill| rows(kill)) {
                bugs.insert(bug.as_str());
                scenarios.insert(kill.scenario.as_str());
                checkers.insert(kill.checker.as_str());
            }
        }
        (bugs, scenarios, checkers)
    };
    assert_eq!(
        shown_by(|kill| kill.is_of_one_cluster() && !kill.extra),
        shown_by(Kill::is_of_one_cluster)
    );
}

#[test]
fn every_expectation_that_scenarios_have_is_failed_by_a_seeded_bug() {
    let matrix = suites::matrix::checked_in().unwrap_or_else(|problems| panic!("{problems}"));
    let in_use: BTreeSet<&str> = scenarios()
        .iter()
        .flat_map(|scenario| &scenario.then)
        .map(checker::name)
        .collect();
    let failed: BTreeSet<&str> = matrix
        .values()
        .flatten()
        .filter(|kill| !kill.is_by_search())
        .map(|kill| kill.checker.as_str())
        .collect();
    let never: Vec<&&str> = in_use.difference(&failed).collect();
    assert!(
        never.is_empty(),
        "no row of suites/matrix.yaml has one of the checkers {never:?}: nothing shows that they can fail"
    );
}

/// What shows only when something is away for seconds, when a certificate's life passes, or on the local cluster alone: too
/// much for a gate, which is for every cluster. Those about applications that speak TLS themselves or first show in no other
/// scenario than that about them, for which the gate has no time, nor has it for callers that may speak TLS and for connections from
/// before, which need a callee of each kind; those about certificates that no authority of a mesh issues show
/// where another root is trusted, which would disturb everybody.
const BEYOND_THE_GATE: &[&str] = &[
    "agent-asks-at-once",
    "agent-dials-once",
    "agent-ends-streams",
    "agent-forgets-delta",
    "agent-forgets-socket",
    "agent-gives-up",
    "agent-ignores-mode",
    "agent-keeps-first-roots",
    "agent-leaves-socket",
    "agent-needs-disk",
    "agent-never-renews",
    "agent-renews-late",
    "agent-renews-together",
    "agent-shuns-slow",
    "agent-takes-expired",
    "agent-withdraws",
    "agent-withdraws-at-end",
    "anybody-may-be-expired",
    "authority-announces-late",
    "authority-drops-old-root",
    "authority-gives-up-keys",
    "authority-keeps-intermediate",
    "authority-keeps-old-root",
    "authority-publishes-at-home",
    "authority-publishes-first-bundle",
    "authority-remembers-denial",
    "authority-rolls-unasked",
    "callees-of-any-root",
    "callers-of-any-domain",
    "forgets-when-alone",
    "forgets-without-lease",
    "inspector-waits-forever",
    "keys-forgotten-at-start",
    "keys-ignores-list",
    "keys-rotates-nothing",
    "permissive-matches-any-tls",
    "permissive-stays-plaintext",
    "resumes-without-endpoints",
    "returns-to-nothing",
    "sidecar-cuts-old-connections",
    "sidecar-ends-too-early",
    "sidecar-forgets",
    "sidecar-keeps-old-connections",
    "sidecar-ready-too-early",
    "stale-after-hang",
    "starts-empty",
    "stops-watching",
    "strict-takes-application-tls",
];

/// The gate leaves out what others of it see as well, and no bug by mistake.
#[test]
fn the_gate_catches_every_other_seeded_bug() {
    let matrix = suites::matrix::checked_in().unwrap_or_else(|problems| panic!("{problems}"));
    let of_gate: BTreeSet<String> = scenarios()
        .into_iter()
        .filter(|scenario| scenario.tags.contains(&Tag::Gate))
        .map(|scenario| scenario.name)
        .collect();
    let beyond: Vec<&str> = matrix
        .iter()
        .filter(|(_, kills)| {
            !kills
                .iter()
                .any(|kill| kill.is_of_one_cluster() && of_gate.contains(&kill.scenario))
        })
        .map(|(mutant, _)| mutant.as_str())
        .collect();
    assert_eq!(beyond, BEYOND_THE_GATE);
}

#[test]
fn the_matrix_has_every_seeded_bug_and_no_other() {
    let control_plane =
        control_plane_mutants::Mutation::ALL.map(control_plane_mutants::Mutation::name);
    let node_agent = node_agent_mutants::Mutation::ALL.map(node_agent_mutants::Mutation::name);
    let authority = certificate_authority_mutants::Mutation::ALL
        .map(certificate_authority_mutants::Mutation::name);
    let key_service = key_service_mutants::Mutation::ALL.map(key_service_mutants::Mutation::name);
    let sidecar =
        sidecar_launcher_mutants::Mutation::ALL.map(sidecar_launcher_mutants::Mutation::name);
    let seeded: BTreeSet<&str> = control_plane
        .into_iter()
        .chain(node_agent)
        .chain(authority)
        .chain(key_service)
        .chain(sidecar)
        .collect();
    let matrix = suites::matrix::checked_in().unwrap_or_else(|problems| panic!("{problems}"));
    assert_eq!(
        seeded,
        matrix.keys().map(String::as_str).collect(),
        "left: names in the crates of mutants; right: keys of suites/matrix.yaml"
    );
}

#[test]
fn every_seeded_bug_is_told_in_a_sentence() {
    let matrix = suites::matrix::checked_in().unwrap_or_else(|problems| panic!("{problems}"));
    let sentences = suites::matrix::sentences().unwrap_or_else(|problems| panic!("{problems}"));
    let told: BTreeSet<&String> = sentences.keys().collect();
    assert_eq!(
        told,
        matrix.keys().collect(),
        "suites/mutants.yaml has one sentence for each key of suites/matrix.yaml"
    );
    for (mutant, sentence) in &sentences {
        assert!(
            sentence.split_whitespace().count() >= 4 && !sentence.ends_with('.'),
            "{mutant}: {sentence}"
        );
    }
}
