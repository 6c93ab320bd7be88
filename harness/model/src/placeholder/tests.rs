//! What placeholders in scenarios mean.

use super::*;
use crate::testing::{configuration, directory, entry_ip, scenario};
use std::collections::BTreeMap;

fn resolve_ip(ip: &str) -> Result<String, Vec<Unresolved>> {
    let configuration = Configuration {
        name: "c".to_owned(),
        scope: Scope {
            entries: vec![entry_ip(ip)],
            except: vec![],
        },
        priority: 0,
        toggles: BTreeMap::new(),
        rules: BTreeMap::new(),
        tls: None,
    };
    match resolve_act(&Act::Apply(configuration), &directory())? {
        Act::Apply(resolved) => Ok(resolved.scope.entries[0].ip.clone().unwrap_or_default()),
        act => unreachable!("it stays the same act: {act:?}"),
    }
}

#[test]
fn an_address_is_that_of_the_workload() {
    assert_eq!(
        resolve_ip("$ip:checkout@$zone1"),
        Ok("10.101.1.2".to_owned())
    );
    assert_eq!(
        resolve_ip("$ip:checkout@$zone2/24"),
        Ok("10.102.1.0/24".to_owned())
    );
    assert_eq!(resolve_ip("10.1.1.1/8"), Ok("10.1.1.1/8".to_owned()));
}

#[test]
fn what_means_nothing_is_listed() {
    let reasons = |ip: &str| -> Vec<String> {
        resolve_ip(ip)
            .expect_err("it means nothing")
            .into_iter()
            .map(|u| format!("{}: {}", u.text, u.reason))
            .collect()
    };
    assert_eq!(
        reasons("$ip:ghost@$zone1"),
        ["ghost@zone1: there is no such workload"]
    );
    assert_eq!(
        reasons("$ip:checkout@$zone9"),
        ["$zone9: there is no such data center"]
    );
    assert_eq!(
        reasons("$ip:checkout@$zone0"),
        ["$zone0: there is no such data center"]
    );
    assert_eq!(
        reasons("$ip:checkout@$zone1/33"),
        ["$ip:checkout@$zone1/33: the prefix is not between 0 and 32"]
    );
    assert_eq!(
        reasons("$ip:checkout"),
        ["checkout: a workload is written `application@data-center`"]
    );
}

#[test]
fn a_name_that_is_said_to_be_unknown_is_written_as_it_is() {
    let entry = ScopeEntry {
        data_center: Some("$unknown:there".to_owned()),
        cluster: Some("$unknown:elsewhere".to_owned()),
        application: Some("$unknown:ghost".to_owned()),
        ip: None,
    };
    let given = scenario(vec![Act::Apply(configuration("c", vec![entry], "v"))]);
    let resolved = resolve_scenario(&given, &directory()).expect("it resolves");
    let Act::Apply(resolved) = &resolved.when[0] else {
        unreachable!("it stays the same act")
    };
    let entry = &resolved.scope.entries[0];
    assert_eq!(entry.data_center.as_deref(), Some("there"));
    assert_eq!(entry.cluster.as_deref(), Some("elsewhere"));
    assert_eq!(entry.application.as_deref(), Some("ghost"));
}

#[test]
fn places_in_every_act_are_resolved() {
    let mut given = scenario(vec![
        Act::Join {
            application: "checkout".to_owned(),
            data_center: "$zone3".to_owned(),
        },
        Act::Leave {
            application: "checkout".to_owned(),
            data_center: "$zone2".to_owned(),
        },
        Act::Inject(Fault::ZoneOutage {
            data_center: "$zone1".to_owned(),
            duration: crate::duration::Span::secs(1),
            without: None,
        }),
        Act::Inject(Fault::PodKill {
            selector: PodSelector::Workload("frontend@$zone1".to_owned()),
        }),
    ]);
    let text = serde_json::to_string(&resolve_scenario(&given, &directory()).expect("resolves"))
        .expect("serialises");
    assert!(!text.contains('$'), "{text}");
    assert!(text.contains("frontend@zone1"));
    given.when.push(Act::Leave {
        application: "ghost".to_owned(),
        data_center: "$zone1".to_owned(),
    });
    given.when.push(Act::Join {
        application: "checkout".to_owned(),
        data_center: "$cluster1".to_owned(),
    });
    given.when.push(Act::Join {
        application: "checkout".to_owned(),
        data_center: "$moon".to_owned(),
    });
    let unresolved = resolve_scenario(&given, &directory()).expect_err("two mean nothing");
    let texts: Vec<&str> = unresolved.iter().map(|u| u.text.as_str()).collect();
    assert_eq!(texts, ["$moon", "ghost@zone1"]);
}
