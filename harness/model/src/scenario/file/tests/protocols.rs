//! What applications speak in scenario files.

use super::*;

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
