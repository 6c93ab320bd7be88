//! What an act means when it is carried out.

use super::*;
use harness_model::configuration::Scope;
use harness_model::scenario::{Disturbs, Given};

fn scoped(ip: &str) -> Act {
    Act::Apply(Configuration {
        name: "scoped".to_owned(),
        scope: Scope {
            entries: vec![ScopeEntry {
                ip: Some(ip.to_owned()),
                ..ScopeEntry::default()
            }],
            except: Vec::new(),
        },
        priority: 0,
        toggles: BTreeMap::new(),
        rules: BTreeMap::new(),
        tls: None,
    })
}

fn script() -> Script {
    Script {
        scenario: Scenario {
            name: "suite/name".to_owned(),
            claim: "an address is that of the pod that is there".to_owned(),
            tags: Vec::new(),
            requires: Vec::new(),
            disturbs: Disturbs::Everything,
            given: Given::default(),
            when: vec![scoped("10.0.0.1")],
            then: Vec::new(),
        },
        written: vec![scoped("$ip:checkout@alpha")],
    }
}

fn directory(addresses: &[&str]) -> Directory {
    Directory {
        data_centers: vec!["alpha".to_owned()],
        sidecars: addresses
            .iter()
            .map(|ip| Sidecar {
                name: "checkout@alpha".to_owned(),
                pod: "checkout".to_owned(),
                pod_uid: (*ip).to_owned(),
                cluster: "one".to_owned(),
                data_center: "alpha".to_owned(),
                node: "node".to_owned(),
                application: "checkout".to_owned(),
                ip: (*ip).to_owned(),
                identity: None,
            })
            .collect(),
    }
}

#[test]
fn an_act_means_the_address_of_the_pod_that_is_there_now() {
    assert_eq!(
        script().act(0, &directory(&["10.0.0.2"])),
        scoped("10.0.0.2")
    );
}

#[test]
fn an_act_about_a_pod_that_is_away_means_what_it_meant_at_the_beginning() {
    assert_eq!(script().act(0, &directory(&[])), scoped("10.0.0.1"));
}
