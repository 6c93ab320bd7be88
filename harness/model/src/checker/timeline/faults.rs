//! When faults were in force.

use super::{Point, Timeline};
use crate::duration::Span;
use crate::history::{Event, EventKind};

impl<'a> Timeline<'a> {
    /// The last end of a fault within a point.
    pub(in crate::checker) fn recovered_in(&self, point: &Point) -> Option<usize> {
        point
            .indices
            .iter()
            .copied()
            .rfind(|index| matches!(self.events[*index].kind, EventKind::FaultEnded { .. }))
    }

    /// The faults under which everything up to the recovery is done, as they began, and how long each was in force from then
    /// on.
    pub(in crate::checker) fn lasting_until_recovery(
        &self,
    ) -> impl Iterator<Item = (&'a Event, Span)> {
        self.events.iter().filter_map(|event| match &event.kind {
            EventKind::FaultStarted { spec, left, .. } if spec.lasts_until_recovery() => {
                Some((event, (*left).or_else(|| spec.duration())?))
            }
            _ => None,
        })
    }

    /// Whether the event with this index was to be under a fault whose time was over by then.
    pub(in crate::checker) fn came_after_its_fault(&self, index: usize) -> bool {
        let at_ns = self.events[index].at_ns;
        let is_begun = |number: usize| {
            let before = self.events[..index].iter();
            before.rev().find_map(|event| match event.kind {
                EventKind::FaultStarted { fault, .. } if fault == number => Some(true),
                EventKind::FaultEnded { fault } if fault == number => Some(false),
                _ => None,
            }) == Some(true)
        };
        self.lasting_until_recovery().any(|(begin, lasted)| {
            let end_ns = begin.at_ns.saturating_add(lasted.as_nanos());
            matches!(begin.kind, EventKind::FaultStarted { fault, .. } if is_begun(fault))
                && at_ns >= end_ns
        })
    }

    /// Whether the event with this index was to be under a fault that was measured to have no effect.
    pub(in crate::checker) fn lacked_its_fault(&self, index: usize) -> bool {
        let before = self.events[..index].iter();
        let last = before.rev().find(|event| {
            matches!(
                event.kind,
                EventKind::FaultWithoutEffect { .. } | EventKind::FaultEnded { .. }
            )
        });
        last.is_some_and(|event| matches!(event.kind, EventKind::FaultWithoutEffect { .. }))
    }

    /// When the last of the faults ended that were in force at the event with this index: none when none was, the end of
    /// time when one never ended.
    pub(in crate::checker) fn end_of_fault_at(&self, index: usize) -> Option<u64> {
        let begun = self.events[..index].iter().enumerate();
        begun
            .filter_map(|(begin, event)| match event.kind {
                EventKind::FaultStarted { fault, ref spec, .. } if !spec.is_to_be_borne() => {
                    Some((begin, fault))
                }
                _ => None,
            })
            .filter_map(|(begin, number)| {
                let is_its_end = |event: &&Event| matches!(event.kind, EventKind::FaultEnded { fault } if fault == number);
                if self.events[begin..index].iter().any(|event| is_its_end(&event)) {
                    return None;
                }
                let end = self.events[index..].iter().find(is_its_end);
                Some(end.map_or(u64::MAX, |end| end.at_ns))
            })
            .max()
    }
}
