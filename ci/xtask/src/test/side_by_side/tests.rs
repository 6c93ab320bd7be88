//! Which pieces run at the same time, and that nothing of what they say is lost.

use super::*;
use std::sync::Barrier;

#[test]
fn parts_that_bear_each_other_are_one_stage() {
    use Part::{Kind, Live, Parity, Run, Selftest, Unit};
    let stages = |parts: &[Part]| -> Vec<Vec<Part>> { stages(parts).map(<[_]>::to_vec).collect() };
    assert_eq!(
        stages(&[Unit, Run, Selftest, Kind, Parity, Live]),
        [
            vec![Unit],
            vec![Run, Selftest, Kind],
            vec![Parity],
            vec![Live]
        ]
    );
    assert_eq!(stages(&[Selftest, Live]), [[Selftest], [Live]]);
}

#[test]
fn parts_of_a_stage_run_at_the_same_time_and_each_has_its_outcome() {
    let both = Barrier::new(2);
    let both_begin = |part, piece| {
        if part == Part::Run || piece == 1 {
            both.wait();
        }
        match part {
            Part::Run => anyhow::bail!("no"),
            _ => Ok(Count::ONE_PASSED),
        }
    };
    let ended = run(&[Part::Run, Part::Selftest], &both_begin, &|| {
        panic!("none of them needs kind");
    });
    let [run, selftest] = ended.as_slice() else {
        panic!("two parts have ended");
    };
    assert_eq!((run.part, selftest.part), (Part::Run, Part::Selftest));
    assert!(run.outcome.is_err());
    let count = selftest.outcome.as_ref().expect("every piece ended well");
    assert_eq!(count.passed, SELFTESTS as usize);
}

#[test]
fn a_piece_that_could_not_run_is_not_lost_in_the_sum() {
    let all_but_one = |_, piece| {
        anyhow::ensure!(piece != 2, "no");
        Ok(Count::ONE_PASSED)
    };
    let ended = run(&[Part::Selftest], &all_but_one, &|| {});
    assert!(ended.iter().all(|ended| ended.outcome.is_err()));
}

#[test]
fn what_needs_kind_waits_for_the_node_image_while_others_run() {
    // Those on kind come first and would be begun first. The image is made no sooner than the other part runs.
    let beside = Barrier::new(2);
    let order = Mutex::new(Vec::new());
    let begin = |part, _| {
        if part == Part::Run {
            beside.wait();
        }
        of(&order).push(part);
        Ok(Count::ONE_PASSED)
    };
    let ended = run(&[Part::Kind, Part::Run], &begin, &|| {
        beside.wait();
        of(&order).push(Part::Parity);
    });
    let order = order.into_inner().expect("nobody has panicked");
    let place = |part| order.iter().position(|one| *one == part);
    assert!(place(Part::Kind) > place(Part::Parity), "{order:?}");
    assert_eq!(ended.len(), 2);
}

fn queue(has_room: bool) -> Queue {
    Queue {
        left: [(Part::Kind, 1), (Part::Foreign, 1), (Part::Delta, 1)].into(),
        running: 0,
        on_kind: false,
        prepared: true,
        has_room,
        alone: false,
        longest: false,
    }
}

#[test]
fn the_gate_on_kind_is_alone_and_is_waited_for() {
    let mut queue = queue(true);
    queue.prepared = false;
    assert_eq!(queue.take(), Some((Part::Delta, 1)));
    queue.left.push_back((Part::Selftest, 1));
    queue.prepared = true;
    assert_eq!(queue.take(), Some((Part::Foreign, 1)));
    queue.ended(Part::Foreign);
    assert_eq!(queue.take(), None, "the gate on kind would never begin");
    queue.ended(Part::Delta);
    assert_eq!(queue.take(), Some((Part::Kind, 1)));
    assert_eq!(queue.take(), None);
    queue.ended(Part::Kind);
    assert_eq!(queue.take(), Some((Part::Selftest, 1)));
}

#[test]
fn others_begin_while_the_gate_on_kind_waits_for_the_longest() {
    let mut queue = queue(true);
    queue.left = [Part::Kind, Part::Run, Part::Selftest, Part::Selftest]
        .map(|part| (part, 1))
        .into();
    queue.prepared = false;
    assert_eq!(queue.take(), Some((Part::Run, 1)));
    queue.prepared = true;
    assert_eq!(queue.take(), Some((Part::Selftest, 1)));
    queue.ended(Part::Run);
    assert_eq!(queue.take(), None, "the gate on kind would never begin");
    queue.ended(Part::Selftest);
    assert_eq!(queue.take(), Some((Part::Kind, 1)));
}

#[test]
fn without_room_nothing_is_beside_kind() {
    let mut queue = queue(false);
    queue.prepared = false;
    assert_eq!(queue.take(), Some((Part::Delta, 1)));
    queue.prepared = true;
    queue.left.pop_front();
    assert_eq!(queue.take(), None);
    queue.ended(Part::Delta);
    assert_eq!(queue.take(), Some((Part::Foreign, 1)));
    queue.left.push_back((Part::Delta, 1));
    assert_eq!(queue.take(), None);
}

#[test]
fn what_went_wrong_is_not_hidden_by_what_was_not_tried() {
    // The first piece begins first and ends when the last one has been refused.
    let both = Barrier::new(2);
    let ended = run(
        &[Part::Selftest],
        &|_, piece| {
            if piece == 1 || piece == SELFTESTS {
                both.wait();
            }
            if piece == 1 {
                anyhow::bail!("broken");
            }
            Err(CannotHere::because("no time".to_owned()))
        },
        &|| {},
    );
    let error = ended[0].outcome.as_ref().expect_err("one is broken");
    assert_eq!(error.to_string(), "broken");
}

#[test]
fn a_panic_ends_the_stage() {
    let ended = std::panic::catch_unwind(|| {
        run(
            &[Part::Kind, Part::Foreign],
            &|_, _| panic!("broken"),
            &|| {},
        );
    });
    assert!(ended.is_err());
}

#[test]
fn a_piece_for_which_there_was_no_time_is_skipped_and_told() {
    let all_but_one = |_, piece| {
        if piece == 2 {
            return Err(CannotHere::because("no time".to_owned()));
        }
        Ok(Count::ONE_PASSED)
    };
    let ended = run(&[Part::Selftest], &all_but_one, &|| {});
    let count = ended[0].outcome.as_ref().expect("the others were tested");
    assert_eq!((count.passed, count.skipped), (SELFTESTS as usize - 1, 1));
    assert_eq!(ended[0].not_tested, ["a piece of it: no time"]);
    let none = |_, _| Err(CannotHere::because("no time".to_owned()));
    let ended = run(&[Part::Selftest], &none, &|| {});
    let error = ended[0].outcome.as_ref().expect_err("nothing was tested");
    assert!(error.is::<CannotHere>());
}

#[test]
fn a_command_is_heard_to_its_end() {
    let mut command = Command::new("sh");
    command.args(["-c", "echo out; echo err >&2; exit 3"]);
    let status = status(&mut command, "it").expect("sh starts");
    assert_eq!(status.code(), Some(3));
}
