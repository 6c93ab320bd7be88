//! Lines for people, outcome by outcome.

use super::*;
use harness_model::in_vain::VainWait;
use harness_model::patience::Whose;
use harness_model::verdict::Detail;

fn plain(quiet: bool) -> String {
    let mut out = Vec::new();
    let mut terminal = Terminal::new(&mut out, crate::fixture::context(), quiet);
    for event in crate::fixture::events() {
        terminal.on(&event).expect("a vector takes everything");
    }
    without_colour(out)
}

fn without_colour(out: Vec<u8>) -> String {
    let coloured = String::from_utf8(out).expect("lines are UTF-8");
    // Colour codes are `ESC [ ... m`.
    coloured
        .split('\u{1b}')
        .enumerate()
        .map(|(index, part)| match (index, part.split_once('m')) {
            (0, _) | (_, None) => part,
            (_, Some((_, rest))) => rest,
        })
        .collect()
}

#[test]
fn every_outcome_has_its_line_and_failures_come_again_at_the_end() {
    insta::assert_snapshot!(plain(false), @"
    PASS delivery-scope/everybody [0.40s]
    FAIL delivery-scope/data-center [1.52s]
    PASS routing/both-sidecars [0.38s]
    INCONCLUSIVE resilience/zone-outage [4.60s]
    SKIP routing/own-zone (needs at least three zones, the environment has two)

    INCONCLUSIVE resilience/zone-outage
      traffic fails over while a zone is cut off
      then[1] unchanged inconclusive, 0 observations
        at        checkout@zone-b; step 1 (cut zone 2 off for 3s)
        expected  at least one reading while the fault lasted
        observed  none: probe did not answer in 5s
      in vain   step 2 (wait until every fault has ended and what it hit is back), until 10.500 s: every sidecar to have its control plane again; missing: 1 of 9 sidecars (checkout@zone-b)
      machine   something waited for a processor 97 % of the time, for a disk 4 %, load 31.2 on 2 processors
      history   artifacts/2026-11-23t14-05-00z-ab12/scenarios/resilience/zone-outage/history.jsonl
      rerun     meshproof run resilience/zone-outage --topology three-zones --seed 42

    FAIL delivery-scope/data-center
      a configuration scoped to one data center reaches its sidecars and no other
      then[1] confined failed, 54 observations
        at        inventory@zone-c; step 1 (apply `payload`)
        expected  no toggle banner, no rule reroute
        observed  toggle banner = off since 0.790 s on control-plane-1, still at the end
      history   artifacts/2026-11-23t14-05-00z-ab12/scenarios/delivery-scope/data-center/history.jsonl
      rerun     meshproof run delivery-scope/data-center --topology three-zones --seed 42

    report    artifacts/2026-11-23t14-05-00z-ab12/report.html
    seed      42, 14.87s in all
    2 passed, 1 failed, 1 inconclusive, 1 skipped
    ");
}

#[test]
fn what_kept_the_run_from_beginning_is_told_with_its_cause() {
    let mut out = Vec::new();
    let mut terminal = Terminal::new(&mut out, Context::default(), true);
    let summary = Summary {
        environment_error: Some(
            "bring up the cluster\n  caused by: start etcd\n  caused by: no space\nhint: tidy up"
                .to_owned(),
        ),
        not_run: 3,
        ..Summary::default()
    };
    terminal
        .on(&RunEvent::RunFinished { summary })
        .expect("a vector takes everything");
    let text = String::from_utf8(out).expect("lines are UTF-8");
    assert!(text.contains("the environment could not be prepared: failed to bring up the cluster: start etcd: no space\n"), "{text}");
    assert!(text.ends_with("0 skipped, 3 not run\n"), "{text}");
}

#[test]
fn what_failed_comes_before_what_could_not_be_decided() {
    let finding = |checker: &str, verdict, observed: &[&str]| Finding {
        checker: checker.to_owned(),
        expectation: None,
        verdict,
        observations: 3,
        details: observed
            .iter()
            .map(|observed| Detail {
                sidecar: None,
                step: None,
                expected: "x".to_owned(),
                observed: (*observed).to_owned(),
                event: None,
            })
            .collect(),
    };
    let mut judgement = Judgement {
        verdict: Verdict::Failed,
        findings: vec![
            finding("confined", Verdict::Inconclusive, &["a", "b", "c"]),
            finding("delivered", Verdict::Passed, &[]),
            finding("answered", Verdict::Failed, &["lost"]),
        ],
        waited_in_vain: Vec::new(),
    };
    let told = |judgement: &Judgement| {
        let mut out = Vec::new();
        findings(&mut out, judgement, Setting::default()).expect("a vector takes everything");
        without_colour(out)
    };
    insta::assert_snapshot!(told(&judgement), @"
      answered failed, 3 observations
        expected  x
        observed  lost
      confined inconclusive besides: wanted x, had a, and 2 more
    ");
    judgement.findings[0].details[0].observed = "(c) not read".to_owned();
    let words = "    needed    (c) marker and absence come from one reading";
    assert!(told(&judgement).contains(words), "{}", told(&judgement));
    judgement.findings[0].details[0].observed = "a".to_owned();
    judgement.findings.pop();
    judgement.verdict = Verdict::Inconclusive;
    insta::assert_snapshot!(told(&judgement), @"
      confined inconclusive, 3 observations
        expected  x
        observed  a
        expected  x
        observed  b
        expected  x
        observed  c
    ");
}

/// What is told of one finding with these details.
fn told(details: Vec<Detail>) -> String {
    let judgement = Judgement {
        verdict: Verdict::Failed,
        findings: vec![Finding {
            checker: "renewed".to_owned(),
            expectation: Some("then[2] renewed".to_owned()),
            verdict: Verdict::Failed,
            observations: 6,
            details,
        }],
        waited_in_vain: Vec::new(),
    };
    let mut out = Vec::new();
    findings(&mut out, &judgement, Setting::default()).expect("a vector takes everything");
    without_colour(out)
}

fn late(number: usize) -> Detail {
    Detail {
        sidecar: Some(format!("a@z{number}")),
        step: None,
        expected: "another".to_owned(),
        observed: format!("the same still at {number}.024 s, until {number}.000 s"),
        event: None,
    }
}

#[test]
fn of_what_is_alike_the_first_few_are_told_and_the_others_named() {
    let other = Detail {
        observed: "none".to_owned(),
        ..late(6)
    };
    let details = vec![late(1), other, late(2), late(3), late(4), late(5)];
    insta::assert_snapshot!(told(details), @"
      then[2] renewed failed, 6 observations
        at        a@z1
        expected  another
        observed  the same still at 1.024 s, until 1.000 s
        at        a@z2
        expected  another
        observed  the same still at 2.024 s, until 2.000 s
        at        a@z3
        expected  another
        observed  the same still at 3.024 s, until 3.000 s
        and 2 more like this: a@z4, a@z5
        at        a@z6
        expected  another
        observed  none
    ");
}

#[test]
fn of_what_differs_the_first_eight_are_told_and_the_others_counted() {
    let cause = |number| Detail {
        observed: format!("cause {number}"),
        ..late(number)
    };
    let text = told((1..=10).map(cause).collect());
    assert_eq!(text.matches("observed  cause").count(), 8, "{text}");
    assert!(text.ends_with("    and 2 more\n"), "{text}");
}

#[test]
fn of_what_was_waited_for_in_vain_the_first_five_are_told_below_the_findings() {
    let waits = |count: usize| Judgement {
        verdict: Verdict::Inconclusive,
        findings: vec![],
        waited_in_vain: (0..count)
            .map(|step| VainWait {
                step: Some(step),
                during: format!("step {step}"),
                at_ns: 1_500_000_000,
                whose: Whose::Mesh,
                waited_for: "all of it".to_owned(),
                event: step,
            })
            .collect(),
    };
    let told = |count| {
        let mut out = Vec::new();
        findings(&mut out, &waits(count), Setting::default()).expect("a vector takes everything");
        without_colour(out)
    };
    assert_eq!(told(0), "");
    assert_eq!(told(1), "  in vain   step 0, until 1.500 s: all of it\n");
    assert_eq!(told(5).lines().count(), 5);
    let text = told(7);
    assert_eq!(text.matches("  in vain   ").count(), 5, "{text}");
    assert!(text.ends_with("    and 2 more\n"), "{text}");
}

#[test]
fn quiet_leaves_out_what_needs_no_attention() {
    let lines = plain(true);
    assert!(
        !lines.contains("PASS ") && !lines.contains("SKIP "),
        "{lines}"
    );
    assert!(lines.contains("FAIL delivery-scope/data-center"));
    assert!(lines.ends_with("2 passed, 1 failed, 1 inconclusive, 1 skipped\n"));
}
