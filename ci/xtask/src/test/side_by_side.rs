//! Parts that run at the same time: a run waits most of its time, for certificates to be renewed and for what was broken to
//! come back, so a small machine bears several of them.

use super::Part;
use crate::junit::Count;
use anyhow::Context as _;
use std::collections::VecDeque;
use std::io::{BufRead as _, BufReader, Read};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// What runs at the same time where it is asked for together.
const TOGETHER: [Part; 3] = [Part::Run, Part::Selftest, Part::Delta];
/// How many clusters there are at the same time. Each Envoy has four instances of inotify, and a user 128 of them unless
/// the machine is told otherwise: three clusters are too many.
const AT_ONCE: usize = 2;
/// How long a delivery may take where clusters share the machine: on two slow cores the default of five seconds was missed.
const DELIVERY: &str = "--delivery=10s";
/// The run of everything.
pub(super) const RUN: [&str; 4] = ["run", "--set", "xds=mixed", DELIVERY];
/// The gate over delta.
pub(super) const DELTA: [&str; 6] = ["run", "--tag", "gate", "--set", "xds=delta", DELIVERY];
/// Into how many pieces the self-test is cut, so that whoever has nothing left to do finds something.
pub(super) const SELFTESTS: u32 = 3;

/// A part that has ended.
pub(super) struct Ended {
    pub(super) part: Part,
    pub(super) outcome: anyhow::Result<Count>,
    /// From the begin of its first piece to the end of its last one.
    pub(super) took: Duration,
}

/// The parts in their order, those that run at the same time in one slice.
pub(super) fn stages(parts: &[Part]) -> impl Iterator<Item = &[Part]> {
    parts.chunk_by(|one, next| [one, next].iter().all(|part| TOGETHER.contains(part)))
}

/// A part, and which piece of it.
type Piece = (Part, u32);

/// What came of a piece, and when.
struct Done {
    part: Part,
    outcome: anyhow::Result<Count>,
    begun: Instant,
    ended: Instant,
}

/// Runs the parts of a stage, piece by piece, and returns when all have ended.
pub(super) fn run(
    stage: &[Part],
    run: &(dyn Fn(Part, u32) -> anyhow::Result<Count> + Sync),
) -> Vec<Ended> {
    let pieces: VecDeque<Piece> = stage
        .iter()
        .flat_map(|&part| {
            let pieces = if part == Part::Selftest { SELFTESTS } else { 1 };
            (1..=pieces).map(move |number| (part, number))
        })
        .collect();
    let (left, done) = (Mutex::new(pieces), Mutex::new(Vec::new()));
    let next = || of(&left).pop_front();
    let work = || {
        while let Some((part, number)) = next() {
            let begun = Instant::now();
            let outcome = run(part, number);
            of(&done).push(Done {
                part,
                outcome,
                begun,
                ended: Instant::now(),
            });
        }
    };
    thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(work);
        }
    });
    let mut done = std::mem::take(&mut *of(&done));
    stage.iter().map(|&part| sum(part, &mut done)).collect()
}

fn of<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What its pieces came to together.
fn sum(part: Part, done: &mut Vec<Done>) -> Ended {
    let pieces: Vec<Done> = done.extract_if(.., |piece| piece.part == part).collect();
    let begun = pieces.iter().map(|piece| piece.begun).min();
    let ended = pieces.iter().map(|piece| piece.ended).max();
    let took = ended.zip(begun).map(|(ended, begun)| ended - begun);
    let outcome = pieces
        .into_iter()
        .try_fold(Count::default(), |mut total, piece| {
            total += piece.outcome?;
            Ok(total)
        });
    Ended {
        part,
        outcome,
        took: took.unwrap_or_default(),
    }
}

/// Runs a command to its end, each line of what it says with `name` before it.
pub(super) fn status(command: &mut Command, name: &str) -> anyhow::Result<ExitStatus> {
    let program = command.get_program().to_owned();
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("start {}", program.display()))?;
    let (output, errors) = (child.stdout.take(), child.stderr.take());
    thread::scope(|scope| {
        scope.spawn(|| output.map(|output| tell(output, |line| println!("{name} | {line}"))));
        scope.spawn(|| errors.map(|errors| tell(errors, |line| eprintln!("{name} | {line}"))));
    });
    child.wait().context("wait for a program")
}

fn tell(from: impl Read, say: impl Fn(&str)) {
    let mut lines = BufReader::new(from).split(b'\n');
    while let Some(Ok(line)) = lines.next() {
        say(String::from_utf8_lossy(&line).trim_end());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Barrier;

    #[test]
    fn parts_that_bear_each_other_are_one_stage() {
        use Part::{Clusters, Live, Parity, Run, Selftest};
        let stages =
            |parts: &[Part]| -> Vec<Vec<Part>> { stages(parts).map(<[_]>::to_vec).collect() };
        assert_eq!(
            stages(&[Clusters, Run, Selftest, Parity, Live]),
            [
                vec![Clusters],
                vec![Run, Selftest],
                vec![Parity],
                vec![Live]
            ]
        );
        assert_eq!(stages(&[Selftest, Live]), [[Selftest], [Live]]);
    }

    #[test]
    fn parts_of_a_stage_run_at_the_same_time_and_each_has_its_outcome() {
        let both = Barrier::new(2);
        let ended = run(&[Part::Run, Part::Selftest], &|part, piece| {
            if part == Part::Run || piece == 1 {
                both.wait();
            }
            match part {
                Part::Run => anyhow::bail!("no"),
                _ => Ok(Count::ONE_PASSED),
            }
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
        let ended = run(&[Part::Selftest], &|_, piece| {
            anyhow::ensure!(piece != 2, "no");
            Ok(Count::ONE_PASSED)
        });
        assert!(ended.iter().all(|ended| ended.outcome.is_err()));
    }

    #[test]
    fn a_command_is_heard_to_its_end() {
        let mut command = Command::new("sh");
        command.args(["-c", "echo out; echo err >&2; exit 3"]);
        let status = status(&mut command, "it").expect("sh starts");
        assert_eq!(status.code(), Some(3));
    }
}
