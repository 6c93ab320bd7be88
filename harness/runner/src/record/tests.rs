//! What is recorded, and what is left out.

use super::*;

fn sidecar(name: &str, uid: &str) -> Sidecar {
    Sidecar {
        name: name.to_owned(),
        pod: format!("{name}-pod"),
        pod_uid: uid.to_owned(),
        cluster: "one".to_owned(),
        data_center: "alpha".to_owned(),
        node: "node".to_owned(),
        application: "checkout".to_owned(),
        ip: "10.0.0.1".to_owned(),
        identity: None,
    }
}

fn holding(name: &str, uid: &str, value: &str) -> Observation {
    Observation {
        sidecar: name.to_owned(),
        pod_uid: uid.to_owned(),
        toggles: BTreeMap::from([("color".to_owned(), value.to_owned())]),
        ..Observation::default()
    }
}

fn recorder() -> Recorder {
    let (events, _) = tokio::sync::mpsc::unbounded_channel();
    Recorder::new(
        Clock::new(Instant::now()),
        "suite/name".to_owned(),
        1,
        events,
    )
}

fn kinds(recorder: &Recorder) -> Vec<&'static str> {
    recorder
        .history()
        .iter()
        .map(|event| match event.kind {
            EventKind::StepStarted => "step",
            EventKind::SidecarJoined { .. } => "joined",
            EventKind::SidecarLeft { .. } => "left",
            EventKind::Observed(_) => "observed",
            EventKind::ObservationFailed { .. } => "failed",
            _ => "other",
        })
        .collect()
}

#[test]
fn an_unchanged_reading_is_recorded_once_for_each_step() {
    let recorder = recorder();
    recorder.joined(sidecar("a", "1"));
    recorder.read("a", "1", Ok(holding("a", "1", "red")));
    recorder.read("a", "1", Ok(holding("a", "1", "red")));
    recorder.begin(Some(0));
    recorder.read("a", "1", Ok(holding("a", "1", "red")));
    recorder.read("a", "1", Ok(holding("a", "1", "red")));
    recorder.read("a", "1", Ok(holding("a", "1", "blue")));
    assert_eq!(
        kinds(&recorder),
        ["joined", "observed", "step", "observed", "observed"]
    );
}

#[test]
fn what_was_read_before_a_write_or_the_end_is_read_again_after_it() {
    let recorder = recorder();
    recorder.joined(sidecar("a", "1"));
    recorder.begin(None);
    recorder.read("a", "1", Ok(holding("a", "1", "red")));
    recorder.push_and_ask_again(EventKind::Finished);
    assert_eq!(recorder.unread_in_step().len(), 1);
    recorder.read("a", "1", Ok(holding("a", "1", "red")));
    recorder.read("a", "1", Ok(holding("a", "1", "red")));
    assert_eq!(
        kinds(&recorder),
        ["joined", "observed", "other", "observed"]
    );
}

#[test]
fn a_reading_of_an_earlier_life_is_not_one_of_the_next() {
    let recorder = recorder();
    recorder.joined(sidecar("a", "1"));
    recorder.joined(sidecar("a", "2"));
    recorder.read("a", "1", Ok(holding("a", "1", "red")));
    recorder.left("a", "1");
    assert_eq!(
        kinds(&recorder),
        ["joined", "joined"],
        "neither reading nor departure"
    );
    assert!(recorder.observation("a").is_none());
}

#[test]
fn a_sidecar_that_cannot_be_read_is_not_one_that_holds_nothing() {
    let recorder = recorder();
    recorder.joined(sidecar("a", "1"));
    recorder.read("a", "1", Err("no answer".to_owned()));
    assert_eq!(kinds(&recorder), ["joined", "failed"]);
    assert!(recorder.observation("a").is_none());
    assert_eq!(recorder.unread_in_step().len(), 1);
}

#[tokio::test]
async fn a_wait_tells_who_is_missing_when_it_is_over() {
    let recorder = recorder();
    recorder.joined(sidecar("a", "1"));
    let missing = recorder
        .wait_until_nobody(Instant::now(), |sidecars, seen| {
            sidecars
                .iter()
                .filter(|sidecar| !seen.contains_key(&sidecar.name))
                .map(|sidecar| sidecar.name.clone())
                .collect()
        })
        .await;
    assert_eq!(missing, ["a"]);
}

#[test]
fn what_nobody_wants_to_hear_any_more_is_not_told() {
    let (events, mut told) = tokio::sync::mpsc::unbounded_channel();
    let recorder = Recorder::new(Clock::new(Instant::now()), "a/b".to_owned(), 1, events);
    recorder.push(EventKind::Finished);
    recorder.fall_silent();
    recorder.push(EventKind::Finished);
    assert!(told.try_recv().is_ok());
    assert!(told.try_recv().is_err());
    assert_eq!(recorder.history().len(), 2);
}
