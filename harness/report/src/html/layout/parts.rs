//! The parts of a drawing, as the template needs them.

use super::legend::Legend;
use std::collections::BTreeSet;
use std::fmt;

/// A length in SVG units, printed with one decimal.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub(in crate::html) struct Length(pub(super) f64);

impl fmt::Display for Length {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.1}", self.0)
    }
}

/// Everything the template needs.
pub(in crate::html) struct Drawing {
    pub(in crate::html) width: Length,
    pub(in crate::html) height: Length,
    pub(in crate::html) shade: Length,
    pub(in crate::html) top: Length,
    pub(in crate::html) bottom: Length,
    pub(in crate::html) axis: Length,
    pub(in crate::html) axis_name: Length,
    pub(in crate::html) zones: Vec<Zone>,
    pub(in crate::html) lanes: Vec<LaneView>,
    pub(in crate::html) ticks: Vec<Tick>,
    pub(in crate::html) steps: Vec<Step>,
    pub(in crate::html) marks: Vec<MarkView>,
    pub(in crate::html) faults: Vec<Fault>,
    pub(in crate::html) legend: Vec<Legend>,
    pub(in crate::html) culprits: Vec<Culprit>,
    pub(in crate::html) has_markers: bool,
    /// The configurations that were written for the canaries, too.
    pub(in crate::html) to_canaries: BTreeSet<String>,
    pub(in crate::html) has_tls: bool,
    pub(in crate::html) has_losses: bool,
    pub(in crate::html) has_refusals: bool,
    pub(in crate::html) has_given_up: bool,
    pub(in crate::html) has_unreadable: bool,
}

/// A moment in a lane at which a finding points.
pub(in crate::html) struct Culprit {
    pub(in crate::html) x: Length,
    pub(in crate::html) y: Length,
    /// To where the sidecar went on showing it.
    pub(in crate::html) width: Length,
    pub(in crate::html) height: Length,
    /// The three corners of the mark.
    pub(in crate::html) corners: String,
    pub(in crate::html) title: String,
}

pub(in crate::html) struct Zone {
    pub(in crate::html) name: String,
    pub(in crate::html) y: Length,
}

pub(in crate::html) struct LaneView {
    pub(in crate::html) label: String,
    /// A finding points at it.
    pub(in crate::html) is_culprit: bool,
    pub(in crate::html) label_y: Length,
    pub(in crate::html) y: Length,
    pub(in crate::html) height: Length,
    pub(in crate::html) segments: Vec<SegmentView>,
    /// How it was set up for TLS, in a strip below it.
    pub(in crate::html) tls: Vec<TlsView>,
    pub(in crate::html) tls_y: Length,
    pub(in crate::html) tls_height: Length,
    pub(in crate::html) tls_text_y: Length,
    pub(in crate::html) losses: Vec<Unanswered>,
    pub(in crate::html) loss_y: Length,
    /// Refused, as the scenario wants it.
    pub(in crate::html) refusals: Vec<Unanswered>,
    pub(in crate::html) refusal_y: Length,
    /// Height of the ticks of both.
    pub(in crate::html) unanswered: Length,
    pub(in crate::html) unreadable: Vec<Length>,
}

pub(in crate::html) struct SegmentView {
    pub(in crate::html) x: Length,
    pub(in crate::html) width: Length,
    pub(in crate::html) class: String,
    pub(in crate::html) letter: Option<String>,
    pub(in crate::html) letter_x: Length,
    pub(in crate::html) title: String,
}

pub(in crate::html) struct TlsView {
    pub(in crate::html) x: Length,
    pub(in crate::html) width: Length,
    /// What fits into it.
    pub(in crate::html) words: Option<String>,
    pub(in crate::html) words_x: Length,
    pub(in crate::html) title: String,
}

/// Requests that ended alike at about the same time.
pub(in crate::html) struct Unanswered {
    pub(in crate::html) x: Length,
    pub(in crate::html) title: String,
}

pub(in crate::html) struct Tick {
    pub(in crate::html) x: Length,
    pub(in crate::html) label: String,
}

pub(in crate::html) struct Step {
    pub(in crate::html) number: usize,
    pub(in crate::html) x: Length,
    pub(in crate::html) y: Length,
    pub(in crate::html) text_y: Length,
    pub(in crate::html) labelled: bool,
}

pub(in crate::html) struct MarkView {
    pub(in crate::html) x: Length,
    pub(in crate::html) class: &'static str,
    pub(in crate::html) title: String,
}

pub(in crate::html) struct Fault {
    pub(in crate::html) x: Length,
    pub(in crate::html) width: Length,
    pub(in crate::html) row_y: Length,
    pub(in crate::html) text_x: Length,
    pub(in crate::html) text_y: Length,
    pub(in crate::html) anchor: &'static str,
    pub(in crate::html) title: String,
    pub(in crate::html) hit_lanes: Vec<Length>,
    pub(in crate::html) lane_height: Length,
}
