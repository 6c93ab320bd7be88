//! Parts that run at the same time: a run waits most of its time, for certificates to be renewed and for what was broken to
//! come back, so a small machine bears several of them, and makes the node image for kind meanwhile.

use super::Part;
use crate::junit::Count;
use crate::system::CannotHere;
use anyhow::Context as _;
use std::collections::VecDeque;
use std::io::{BufRead as _, BufReader, Read};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// What runs at the same time where it is asked for together.
const TOGETHER: [Part; 5] = [
    Part::Run,
    Part::Selftest,
    Part::Delta,
    Part::Kind,
    Part::Foreign,
];
/// What of it needs a container engine with the node image for kind. One at a time: the engine's clusters are heavier than ours.
const ON_KIND: [Part; 2] = [Part::Kind, Part::Foreign];
/// How many clusters there are at the same time. With a third one, tried on a kind cluster beside two of ours, two cores had
/// connections time out.
const AT_ONCE: usize = 2;
/// What runs by itself: two cores do not suffice for the gate on kind and for scenarios beside it. Pods of kind had to wait ten to
/// forty times as long as they ran, requests were not answered for five seconds, and the mesh was blamed for it.
const ALONE: [Part; 1] = [Part::Kind];
/// What takes longer than any other piece: what runs alone does not keep others from beginning until this has ended, for as long as
/// it has to wait for it anyhow.
const LONGEST: Part = Part::Run;
/// Each Envoy has four instances of inotify, and a user 128 of them unless the machine is told otherwise, which a container engine
/// of ours does: enough for a cluster on kind beside one of ours.
const INSTANCES: u64 = 256;
/// How long a delivery may take where clusters share the machine: on two slow cores the default of five seconds was missed.
pub(super) const DELIVERY: &str = "--delivery=10s";
/// The run of everything.
pub(super) const RUN: [&str; 4] = ["run", "--set", "xds=mixed", DELIVERY];
/// The self-test, without comparisons that nothing rests on: they are too much for the time that CI has.
pub(super) const SELFTEST: [&str; 2] = ["selftest", "--without-extra"];
/// The gate over delta.
pub(super) const DELTA: [&str; 6] = ["run", "--tag", "gate", "--set", "xds=delta", DELIVERY];
/// Into how many pieces the self-test is cut, so that whoever has nothing left to do finds something, and that none is under way for
/// long when no more may begin.
pub(super) const SELFTESTS: u32 = 9;

/// A part that has ended.
pub(super) struct Ended {
    pub(super) part: Part,
    pub(super) outcome: anyhow::Result<Count>,
    /// From the begin of its first piece to the end of its last one.
    pub(super) took: Duration,
    /// Why pieces of it were not tested, where others were.
    pub(super) not_tested: Vec<String>,
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

/// What of a stage has not begun, and what it has to wait for.
struct Queue {
    left: VecDeque<Piece>,
    /// How many pieces run.
    running: usize,
    /// One of them is on kind.
    on_kind: bool,
    /// The node image is made, or could not be, which those that need it tell then.
    prepared: bool,
    /// There may be clusters beside one on kind.
    has_room: bool,
    /// One of them does not bear others beside it.
    alone: bool,
    /// One of them is the longest.
    longest: bool,
}

impl Queue {
    /// Takes the first piece that may begin.
    fn take(&mut self) -> Option<Piece> {
        let kind_may = self.prepared && !self.on_kind;
        // Others would begin one after the other for as long as there are some, and what runs alone be what there is no time for.
        let mut left = self.left.iter();
        let one_waits =
            self.prepared && !self.longest && left.any(|(part, _)| ALONE.contains(part));
        let may_begin = |&(part, _): &Piece| {
            let has_room = if self.bears_others(part) {
                !self.alone
            } else {
                self.running == 0
            };
            let is_its_turn = if is_on_kind(part) {
                kind_may
            } else {
                !one_waits
            };
            has_room && is_its_turn
        };
        let piece = self.left.iter().position(may_begin)?;
        let piece = self.left.remove(piece)?;
        self.running += 1;
        self.on_kind |= is_on_kind(piece.0);
        self.alone = !self.bears_others(piece.0);
        self.longest |= piece.0 == LONGEST;
        Some(piece)
    }

    fn bears_others(&self, part: Part) -> bool {
        !ALONE.contains(&part) && (self.has_room || !is_on_kind(part))
    }

    fn ended(&mut self, part: Part) {
        self.running -= 1;
        self.on_kind &= !is_on_kind(part);
        self.alone = false;
        self.longest &= part != LONGEST;
    }
}

fn is_on_kind(part: Part) -> bool {
    ON_KIND.contains(&part)
}

/// A change of the queue that is made in any case: whoever waits for it would wait for ever after a panic.
struct Afterwards<'q, F: FnMut(&mut Queue)> {
    queue: &'q (Mutex<Queue>, Condvar),
    change: F,
}

impl<F: FnMut(&mut Queue)> Drop for Afterwards<'_, F> {
    fn drop(&mut self) {
        let (queue, changed) = self.queue;
        (self.change)(&mut of(queue));
        changed.notify_all();
    }
}

/// Runs the parts of a stage, piece by piece, and returns when all have ended. Those that need kind begin when `prepare` has
/// ended, which is called at once and only for them.
pub(super) fn run(
    stage: &[Part],
    run: &(dyn Fn(Part, u32) -> anyhow::Result<Count> + Sync),
    prepare: &(dyn Fn() + Sync),
) -> Vec<Ended> {
    let pieces = stage.iter().flat_map(|&part| {
        let pieces = if part == Part::Selftest { SELFTESTS } else { 1 };
        (1..=pieces).map(move |number| (part, number))
    });
    let queue = Queue {
        left: pieces.collect(),
        running: 0,
        on_kind: false,
        prepared: false,
        has_room: false,
        alone: false,
        longest: false,
    };
    let (queue, done) = ((Mutex::new(queue), Condvar::new()), Mutex::new(Vec::new()));
    let work = || {
        while let Some((part, number)) = next(&queue) {
            let _ended = Afterwards {
                queue: &queue,
                change: |queue| queue.ended(part),
            };
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
        if stage.iter().any(|&part| is_on_kind(part)) {
            scope.spawn(|| {
                let _prepared = Afterwards {
                    queue: &queue,
                    change: |queue| {
                        queue.prepared = true;
                        queue.has_room = instances() >= INSTANCES;
                    },
                };
                prepare();
            });
        }
        for _ in 0..AT_ONCE {
            scope.spawn(work);
        }
    });
    let mut done = std::mem::take(&mut *of(&done));
    stage.iter().map(|&part| sum(part, &mut done)).collect()
}

/// Waits for a piece that may begin; none when all have begun.
fn next((queue, changed): &(Mutex<Queue>, Condvar)) -> Option<Piece> {
    let mut queue = of(queue);
    while !queue.left.is_empty() {
        match queue.take() {
            None => queue = changed.wait(queue).unwrap_or_else(PoisonError::into_inner),
            piece => return piece,
        }
    }
    None
}

/// How many instances of inotify a user may have.
fn instances() -> u64 {
    let limit = std::fs::read_to_string("/proc/sys/fs/inotify/max_user_instances");
    limit.map_or(0, |text| text.trim().parse().unwrap_or_default())
}

/// What a lock guards; a panic elsewhere leaves it usable.
pub(super) fn of<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What its pieces came to together.
fn sum(part: Part, done: &mut Vec<Done>) -> Ended {
    let pieces: Vec<Done> = done.extract_if(.., |piece| piece.part == part).collect();
    let begun = pieces.iter().map(|piece| piece.begun).min();
    let ended = pieces.iter().map(|piece| piece.ended).max();
    let took = ended.zip(begun).map(|(ended, begun)| ended - begun);
    let mut not_tested = Vec::new();
    let cannot = |outcome: &anyhow::Result<Count>| {
        let error = outcome.as_ref().err();
        error.is_some_and(|error| error.is::<CannotHere>())
    };
    let some_were_tried = pieces.iter().any(|piece| !cannot(&piece.outcome));
    let outcome = pieces
        .into_iter()
        .try_fold(Count::default(), |mut total, piece| {
            total += match piece.outcome {
                Err(error) if some_were_tried && error.is::<CannotHere>() => {
                    not_tested.push(format!("a piece of it: {error:#}"));
                    Count::ONE_SKIPPED
                }
                outcome => outcome?,
            };
            Ok(total)
        });
    Ended {
        part,
        outcome,
        took: took.unwrap_or_default(),
        not_tested,
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
mod tests;
