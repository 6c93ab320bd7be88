//! Findings name the expectations that they are about.

use super::requests::{TRAFFIC, answered, batch, recorder};
use crate::checker::judge;
use crate::expectation::Expectation;
use crate::patience::Patience;
use crate::scenario::Scenario;
use crate::testing::scenario;

#[test]
fn each_finding_names_its_expectation_as_a_scenario_file_has_it() {
    let scenario = Scenario {
        then: vec![
            Expectation::StatusIsTrue,
            answered(0),
            answered(1),
            Expectation::PassesBothSidecars {
                traffic: TRAFFIC.to_owned(),
            },
        ],
        ..scenario(vec![batch(1)])
    };
    let judgement = judge(&scenario, &recorder().whole().events, &Patience::default());
    let findings = judgement.findings.iter();
    let named: Vec<Option<&str>> = findings.map(|it| it.expectation.as_deref()).collect();
    assert_eq!(
        named,
        [
            Some("then[0] statusIsTrue"),
            Some("then[1] answered"),
            Some("then[2] answered"),
            Some("then[3] passesBothSidecars"),
        ]
    );
}
