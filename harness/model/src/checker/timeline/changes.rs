//! What changes in a history: who came and went, and what was written.

use crate::directory::Sidecar;
use crate::history::{Event, EventKind};
use crate::oracle::Oracle;
use std::collections::BTreeMap;

/// One life of a sidecar: from one pod UID to the next.
pub(in crate::checker) struct Life<'a> {
    /// As it was told first. Its address may be another one later: see [`at`](Self::at).
    pub(in crate::checker) sidecar: &'a Sidecar,
    pub(in crate::checker) joined: usize,
    pub(in crate::checker) left: Option<usize>,
    /// The events from which on it is told otherwise, in order, and how: a pod whose node had no power keeps its UID and its
    /// name, and comes back at another address.
    moves: Vec<(usize, &'a Sidecar)>,
}

impl<'a> Life<'a> {
    /// As it is told at an event: whether a configuration is meant for it follows from this.
    pub(in crate::checker) fn at(&self, index: usize) -> &'a Sidecar {
        self.last_move(index)
            .map_or(self.sidecar, |(_, sidecar)| sidecar)
    }

    /// The event, up to this one, from which on it has the address that it has then; none where it has had no other one.
    pub(in crate::checker) fn moved_by(&self, index: usize) -> Option<usize> {
        self.last_move(index).map(|(moved, _)| moved)
    }

    fn last_move(&self, index: usize) -> Option<(usize, &'a Sidecar)> {
        self.moves
            .iter()
            .copied()
            .rfind(|(moved, _)| *moved <= index)
    }
}

/// What became of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::checker) enum Fate {
    /// Acknowledged by the event with this index.
    Written(usize),
    /// The API server said no.
    Refused,
    /// Nobody knows.
    Unknown,
}

/// One write of a configuration.
pub(in crate::checker) struct Write {
    pub(in crate::checker) step: Option<usize>,
    pub(in crate::checker) started: usize,
    pub(in crate::checker) fate: Fate,
    pub(in crate::checker) before: Oracle,
    pub(in crate::checker) after: Oracle,
}

/// The lives of all sidecars, in the order in which they joined.
pub(super) fn lives(events: &[Event]) -> Vec<Life<'_>> {
    let mut lives: Vec<Life<'_>> = Vec::new();
    for (index, event) in events.iter().enumerate() {
        match &event.kind {
            EventKind::SidecarJoined { sidecar } => {
                // The same pod again: its life goes on, whatever was said of its end and at whichever address. Under another
                // name, which it takes over from one that it replaces, it begins anew.
                if let Some(known) = lives.iter_mut().find(|life| {
                    life.sidecar.pod_uid == sidecar.pod_uid && life.sidecar.name == sidecar.name
                }) {
                    known.left = None;
                    if known.at(index) != sidecar {
                        known.moves.push((index, sidecar));
                    }
                    continue;
                }
                // A stable name and a pod have one life at a time, even where nobody saw the end of the last.
                end(&mut lives, index, |life| {
                    life.sidecar.name == sidecar.name || life.sidecar.pod_uid == sidecar.pod_uid
                });
                lives.push(Life {
                    sidecar,
                    joined: index,
                    left: None,
                    moves: Vec::new(),
                });
            }
            EventKind::SidecarLeft { pod_uid, .. } => {
                end(&mut lives, index, |life| life.sidecar.pod_uid == *pod_uid);
            }
            _ => {}
        }
    }
    lives
}

fn end(lives: &mut [Life<'_>], index: usize, whose: impl Fn(&Life<'_>) -> bool) {
    for life in lives.iter_mut().filter(|life| whose(life)) {
        life.left.get_or_insert(index);
    }
}

/// Nothing in force. Older histories, and those of scenarios that do not speak of TLS, do not tell of modes: a change of them
/// could not have been seen there.
pub(super) fn nothing(events: &[Event]) -> Oracle {
    let tells =
        |event: &Event| matches!(&event.kind, EventKind::Observed(seen) if seen.tls.is_some());
    if events.iter().any(tells) {
        Oracle::default()
    } else {
        Oracle::without_modes()
    }
}

/// The writes with what was in force before and after each, in order; `nothing` was before all of them.
pub(super) fn writes(events: &[Event], nothing: &Oracle) -> Vec<Write> {
    let mut writes: Vec<Write> = Vec::new();
    let mut open: BTreeMap<&str, usize> = BTreeMap::new();
    let mut current = nothing.clone();
    for (index, event) in events.iter().enumerate() {
        match &event.kind {
            EventKind::WriteStarted {
                configuration,
                name,
            } => {
                let mut after = current.clone();
                match configuration {
                    Some(configuration) => after.write(configuration.clone()),
                    None => after.delete(name),
                }
                open.insert(name, writes.len());
                writes.push(Write {
                    step: event.step,
                    started: index,
                    fate: Fate::Unknown,
                    before: current.clone(),
                    after,
                });
            }
            EventKind::Written { name, .. } => {
                if let Some(write) = open.remove(name.as_str()).map(|at| &mut writes[at]) {
                    write.fate = Fate::Written(index);
                    current = write.after.clone();
                }
            }
            EventKind::WriteFailed { name, refused, .. } => {
                if *refused && let Some(at) = open.remove(name.as_str()) {
                    writes[at].fate = Fate::Refused;
                }
            }
            _ => {}
        }
    }
    writes
}
