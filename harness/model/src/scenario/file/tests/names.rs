//! Names of what an environment has: places, parts of the mesh, and what a scenario needs for its faults.

use super::*;

#[test]
fn a_component_that_nobody_has_is_told() {
    let killing = |name: &str| {
        let selector = PodSelector::Component(name.to_owned());
        let mut scenario = scenario(vec![Act::Inject(Fault::PodKill { selector }), Act::Recover]);
        scenario.disturbs = Disturbs::Everything;
        check_for(&scenario, &known())
    };
    assert_eq!(killing("node-agent"), Vec::<String>::new());
    let told = killing("node-agents");
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(
        told[0].contains("there is no component `node-agents`"),
        "{told:?}"
    );
}

#[test]
fn the_names_in_every_fault_and_rollout_are_looked_at() {
    let duration = crate::duration::Span::secs(1);
    let told = |act: Act| {
        let mut scenario = scenario(vec![act, Act::Recover]);
        scenario.disturbs = Disturbs::Everything;
        check_for(&scenario, &known())
    };
    let component = || "node-agents".to_owned();
    let acts = [
        Act::Inject(Fault::PodFreeze {
            selector: PodSelector::Component(component()),
            duration,
        }),
        Act::Inject(Fault::ComponentOutage {
            component: component(),
            duration,
        }),
        Act::Inject(Fault::NodeOutage {
            data_center: "moon".to_owned(),
            duration,
        }),
        Act::Inject(Fault::SocketFault {
            component: component(),
            data_center: "$zone1".to_owned(),
            how: SocketHarm::Unlinked,
            duration,
        }),
        Act::Inject(Fault::DiskFull {
            component: component(),
            data_center: "$zone1".to_owned(),
            duration,
        }),
        Act::Restart(Rollout::Component(component())),
        Act::Restart(Rollout::Application("forntend".to_owned())),
    ];
    for act in acts {
        let told = told(act.clone());
        assert_eq!(told.len(), 1, "{act:?}: {told:?}");
        assert!(told[0].contains("there is no"), "{told:?}");
    }
    let nothing = crate::duration::Span::secs(0);
    let told = told(Act::Inject(Fault::EtcdFreeze { duration: nothing }));
    assert!(told[0].contains("an outage of no time"), "{told:?}");
}

#[test]
fn a_component_without_what_a_fault_is_to_is_told() {
    let duration = crate::duration::Span::secs(1);
    let told = |component: &str, is_of_socket: bool| {
        let (component, data_center) = (component.to_owned(), "east".to_owned());
        let fault = if is_of_socket {
            let how = SocketHarm::Unlinked;
            Fault::SocketFault {
                component,
                data_center,
                how,
                duration,
            }
        } else {
            Fault::DiskFull {
                component,
                data_center,
                duration,
            }
        };
        let mut scenario = scenario(vec![Act::Inject(fault), Act::Recover]);
        scenario.disturbs = Disturbs::Everything;
        check_for(&scenario, &known())
    };
    assert_eq!(told("node-agent", true), Vec::<String>::new());
    assert_eq!(
        told("authority", true),
        [
            "when[0].inject.socketFault.component: `authority` has no socket (the mesh definition says with `socket` where it is)"
        ]
    );
    assert_eq!(
        told("node-agent", false),
        [
            "when[0].inject.diskFull.component: `node-agent` has no folder (the mesh definition says with `folder` where it is)"
        ]
    );
}

#[test]
fn only_a_client_that_is_listed_can_be_denied() {
    let told = |component: &str, client: &str| {
        let fault = Fault::ClientDenial {
            component: component.to_owned(),
            client: client.to_owned(),
            duration: crate::duration::Span::secs(1),
        };
        let mut scenario = scenario(vec![Act::Inject(fault), Act::Recover]);
        scenario.disturbs = Disturbs::Everything;
        check_for(&scenario, &known())
    };
    assert_eq!(told("node-agent", "authority"), Vec::<String>::new());
    assert_eq!(
        told("node-agent", "authorit"),
        [
            "when[0].inject.clientDenial.client: `authorit` is no client of `node-agent` (did you mean `authority`?)"
        ]
    );
    assert_eq!(
        told("authority", "node-agent"),
        [
            "when[0].inject.clientDenial.component: `authority` has no list of clients (the mesh definition says with `clients` where it is)"
        ]
    );
}

#[test]
fn a_scenario_needs_what_its_faults_take() {
    let duration = crate::duration::Span::secs(1);
    let mut scenario = scenario(vec![
        Act::Inject(Fault::ApiServerOutage { duration }),
        Act::Inject(Fault::PodKill {
            selector: PodSelector::ControlPlaneReplica,
        }),
    ]);
    scenario.requires = vec![Capability::ThreeZones];
    let needs: Vec<Capability> = scenario.needs().into_iter().collect();
    assert_eq!(
        needs,
        [Capability::ThreeZones, Capability::KubernetesOutage]
    );
}

#[test]
fn names_that_somebody_has_are_accepted() {
    assert_eq!(
        parse_for("my.yaml", SAMPLE, &known()),
        parse("my.yaml", SAMPLE)
    );
    let named = sample_with(
        "dataCenter: $zone1",
        "{application: checkout, cluster: local, dataCenter: west}",
    );
    assert!(parse_for("my.yaml", &named, &known()).is_ok());
}

#[rstest::rstest]
#[case(
    "- dataCenter: $zone1",
    "- application: forntend",
    "17:22: there is no application `forntend` (hint: did you mean `frontend`?)"
)]
#[case(
    "- dataCenter: $zone1",
    "- dataCenter: esat",
    "17:21: there is no data center `esat` (hint: did you mean `east`?)"
)]
#[case(
    "- dataCenter: $zone1",
    "- dataCenter: $zone3",
    "17:21: there is no data center `$zone3` (hint: there are: $zone1, $zone2)"
)]
#[case(
    "- dataCenter: $zone1",
    "- dataCenter: $zone0",
    "17:21: there is no data center `$zone0` (hint: there are: $zone1, $zone2)"
)]
#[case(
    "- dataCenter: $zone1",
    "- cluster: $cluster2",
    "17:18: there is no cluster `$cluster2` (hint: there is one: $cluster1)"
)]
#[case(
    "- ip: $ip:checkout@$zone1",
    "- ip: $ip:chekout@$zone9/24",
    "19:13: there is no application `chekout` (hint: did you mean `checkout`?)\nmy.yaml:19:13: there is no data center `$zone9` (hint: there are: $zone1, $zone2)"
)]
#[case(
    "join: {application: checkout",
    "join: {application: chekout",
    "27:23: there is no application `chekout` (hint: did you mean `checkout`?)"
)]
#[case(
    "leave: {application: checkout, dataCenter: $zone2}",
    "leave: {application: checkout, dataCenter: $zone7}",
    "28:46: there is no data center `$zone7` (hint: there are: $zone1, $zone2)"
)]
#[case(
    "name: batch, from: frontend@$zone1",
    "name: batch, from: fronted@$zone1",
    "31:32: there is no application `fronted` (hint: did you mean `frontend`?)"
)]
#[case(
    "workload: checkout@$zone1",
    "workload: checkout@nowhere",
    "38:28: there is no data center `nowhere` (hint: there are: east, west)"
)]
#[case(
    "zoneOutage: {dataCenter: $zone1",
    "zoneOutage: {dataCenter: $zone5",
    "40:30: there is no data center `$zone5` (hint: there are: $zone1, $zone2)"
)]
#[case(
    "application: checkout}\n- sharedBy",
    "application: chekout}\n- sharedBy",
    "55:45: there is no application `chekout` (hint: did you mean `checkout`?)"
)]
#[case(
    "{checkout: 80",
    "{chekout: 80",
    "56:51: there is no application `chekout` (hint: did you mean `checkout`?)"
)]
#[case(
    "- dataCenter: $zone1",
    "- application: $unknown:checkout",
    "17:22: the application `checkout` is said to be unknown and is there (hint: choose a name that nobody has)"
)]
fn a_name_that_nobody_has_is_told_with_its_place(
    #[case] from: &str,
    #[case] to: &str,
    #[case] told: &str,
) {
    let text = sample_with(from, to);
    let problems = parse_for("my.yaml", &text, &known()).expect_err("nobody has the name");
    assert_eq!(problems.to_string(), format!("my.yaml:{told}"));
    assert!(parse("my.yaml", &text).is_ok(), "it is fine elsewhere");
}

#[test]
fn a_name_can_be_said_to_be_unknown() {
    for key in ["application", "dataCenter", "cluster"] {
        let text = sample_with(
            "- dataCenter: $zone1",
            &format!("- {key}: $unknown:elsewhere"),
        );
        let read = parse_for("my.yaml", &text, &known()).unwrap_or_else(|p| panic!("{p}"));
        assert_eq!(parse("my.yaml", &print(&read)), Ok(read));
    }
}

#[test]
fn what_is_no_place_holder_is_told_without_an_environment() {
    let text = sample_with(
        "- dataCenter: $zone1",
        "- {dataCenter: $moon, application: \"$unknown:\"}",
    );
    assert_eq!(
        mistakes(&text),
        [
            "my.yaml:17:22: `$moon` is no data center (hint: write a name, or `$zone1` for the first)",
            "my.yaml:17:42: `$unknown:` does not name anything (hint: write the name that nobody has behind it, for example `$unknown:elsewhere`)",
        ]
    );
}

#[test]
fn without_places_only_applications_are_looked_at() {
    let nowhere = Names {
        places: None,
        ..known()
    };
    let scenario = scenario(vec![Act::Join {
        application: "chekout".to_owned(),
        data_center: "$zone9".to_owned(),
    }]);
    let about_names = |names: &Names| -> Vec<String> {
        let told = check_for(&scenario, names).into_iter();
        told.filter(|mistake| mistake.contains("there is no"))
            .collect()
    };
    let application =
        "when[0].join.application: there is no application `chekout` (did you mean `checkout`?)";
    assert_eq!(about_names(&nowhere), [application]);
    assert_eq!(
        about_names(&known()),
        [
            application,
            "when[0].join.dataCenter: there is no data center `$zone9` (there are: $zone1, $zone2)"
        ]
    );
}
