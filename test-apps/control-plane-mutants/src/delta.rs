//! Bugs that only streams in the delta form show.

use crate::delivery::covers_everybody;
use control_plane::behaviour::{Behaviour, DeltaHandling, Recipient};
use control_plane::effective::{Effective, Resolution, resolve};
use control_plane::stream::Form;
use control_plane::world::World;

/// Every policy reaches everybody who speaks delta.
pub(crate) struct LeakInDelta;

impl Behaviour for LeakInDelta {
    fn effective(&self, world: &World, recipient: &Recipient) -> Effective {
        let mut resolution = Resolution::FAITHFUL;
        if recipient.form == Form::Delta {
            resolution.covers = covers_everybody;
        }
        resolve(world, &recipient.sidecar, resolution)
    }
}

/// A part of the protocol is left out.
pub(crate) enum DeltaMistake {
    /// What a client brings along is never sent to it again.
    ResumeBelieved,
    /// What a client rejects counts as accepted.
    RejectionsIgnored,
    /// What there is no more is not told as gone.
    RemovalsUntold,
}

impl Behaviour for DeltaMistake {
    fn delta(&self) -> DeltaHandling {
        let mut handling = DeltaHandling::default();
        match self {
            Self::ResumeBelieved => handling.versions_count = false,
            Self::RejectionsIgnored => handling.rejections_count = false,
            Self::RemovalsUntold => handling.removals_are_told = false,
        }
        handling
    }
}
