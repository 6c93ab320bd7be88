//! The geometry of a timeline: lanes sidecar × time grouped by zone, coloured by content, with steps, markers,
//! faults and requests that were not answered. The template draws it; colours are classes, so that light and dark both work.

mod culprits;
mod legend;
mod parts;
mod tls;
mod unanswered;

use crate::timeline::{Lane, MarkKind, Timeline};
use harness_model::verdict::Finding;
use legend::{Legend, legend, shown};
use parts::{Fault, LaneView, Length, MarkView, SegmentView, Step, Tick, Zone};
use std::collections::{BTreeMap, BTreeSet};

pub(super) use parts::Drawing;

const WIDTH: f64 = 1000.0;
const LEFT: f64 = 150.0;
const RIGHT: f64 = 14.0;
const LANE: f64 = 16.0;
const LANE_GAP: f64 = 4.0;
const ZONE_HEAD: f64 = 20.0;
const ROW: f64 = 17.0;
/// A segment at least this wide carries its letter.
const LETTER_WIDTH: f64 = 18.0;
/// Steps nearer to each other than this go to another row.
const STEP_DISTANCE: f64 = 17.0;
const STEP_ROWS: usize = 5;
/// What is told of a configuration whose scope is wider than that of the scenario.
const TO_CANARIES: &str = ", for the canaries too, which proofs need on each replica";

struct Scale {
    start: u64,
    span: f64,
}

impl Scale {
    fn x(&self, at_ns: u64) -> f64 {
        let share = at_ns.saturating_sub(self.start) as f64 / self.span;
        LEFT + share.min(1.0) * (WIDTH - LEFT - RIGHT)
    }
}

/// On the run's clock, as in findings.
fn seconds(at_ns: u64) -> String {
    format!("{:.3} s", at_ns as f64 / 1e9)
}

/// Lays a timeline out, with the moments that the findings are about.
pub(super) fn draw(timeline: &Timeline, findings: &[Finding]) -> Drawing {
    let start = timeline.start_ns.unwrap_or(0);
    let scale = Scale {
        start,
        span: (timeline.end_ns.saturating_sub(start)).max(1_000_000) as f64,
    };
    let legend = legend(&timeline.contents);
    let (steps, step_rows) = steps(timeline, &scale);
    let fault_top = ROW * step_rows as f64 + 4.0;
    let top = fault_top + ROW * timeline.bands.len() as f64;

    let named = culprits::sidecars(timeline, findings);
    let mut zones = Vec::new();
    let mut lanes = Vec::new();
    let mut lane_tops: BTreeMap<&str, f64> = BTreeMap::new();
    let mut y = top;
    for (zone, members) in by_zone(timeline) {
        y += ZONE_HEAD;
        zones.push(Zone {
            name: zone.to_owned(),
            y: Length(y - 6.0),
        });
        for (name, lane) in members {
            lane_tops.insert(name, y);
            let view = lane_view(name, lane, y, timeline, &scale, &legend);
            lanes.push(LaneView {
                is_culprit: named.contains(name),
                ..view
            });
            y += LANE + LANE_GAP + tls::room(lane);
        }
    }
    let bottom = y + 2.0;
    let faults = faults(timeline, &scale, fault_top, &lane_tops);
    Drawing {
        width: Length(WIDTH),
        height: Length(bottom + 38.0),
        shade: Length(bottom - top),
        top: Length(top),
        bottom: Length(bottom),
        axis: Length(bottom + 15.0),
        axis_name: Length(bottom + 31.0),
        ticks: ticks(&scale),
        steps,
        marks: marks(timeline, &scale),
        faults,
        culprits: culprits::culprits(timeline, findings, &scale, &lane_tops),
        has_markers: timeline
            .marks
            .iter()
            .any(|m| matches!(m.kind, MarkKind::Marker(_))),
        has_given_up: timeline
            .marks
            .iter()
            .any(|m| matches!(m.kind, MarkKind::GaveUp(_))),
        to_canaries: to_canaries(timeline),
        has_tls: timeline.lanes.values().any(|l| !l.tls.is_empty()),
        has_losses: timeline.lanes.values().any(|l| !l.losses.is_empty()),
        has_refusals: timeline.lanes.values().any(|l| !l.refusals.is_empty()),
        has_unreadable: timeline.lanes.values().any(|l| !l.unreadable.is_empty()),
        zones,
        lanes,
        legend,
    }
}

fn by_zone(timeline: &Timeline) -> BTreeMap<&str, Vec<(&str, &Lane)>> {
    let mut zones: BTreeMap<&str, Vec<(&str, &Lane)>> = BTreeMap::new();
    for (name, lane) in &timeline.lanes {
        zones
            .entry(&lane.data_center)
            .or_default()
            .push((name, lane));
    }
    zones
}

fn lane_view(
    name: &str,
    lane: &Lane,
    y: f64,
    timeline: &Timeline,
    scale: &Scale,
    legend: &[Legend],
) -> LaneView {
    let segments = lane
        .segments
        .iter()
        .map(|segment| {
            let x = scale.x(segment.from_ns);
            let width = (scale.x(segment.to_ns) - x).max(1.5);
            let words = &timeline.contents[segment.content];
            let entry = legend.iter().find(|l| l.words == shown(words));
            SegmentView {
                x: Length(x),
                width: Length(width),
                class: entry.map_or_else(|| "none".to_owned(), |e| e.class.clone()),
                letter: entry
                    .filter(|e| width >= LETTER_WIDTH && !e.letter.is_empty())
                    .map(|e| e.letter.clone()),
                letter_x: Length(x + 6.0),
                title: format!(
                    "{name}: {} from {} to {}{}{}",
                    shown(words),
                    seconds(segment.from_ns),
                    seconds(segment.to_ns),
                    segment
                        .replica
                        .as_ref()
                        .map(|r| format!(", by {r}"))
                        .unwrap_or_default(),
                    segment
                        .form
                        .map(|form| format!(", over {} xDS", form.name()))
                        .unwrap_or_default()
                ),
            }
        })
        .collect();
    LaneView {
        // The zone stands above the lane already.
        label: match name.split_once('@') {
            Some((application, rest)) => match rest.split_once('#') {
                Some((_, number)) => format!("{application}#{number}"),
                None => application.to_owned(),
            },
            None => name.to_owned(),
        },
        is_culprit: false,
        label_y: Length(y + LANE - 4.0),
        y: Length(y),
        height: Length(LANE),
        segments,
        tls: tls::strip(name, &lane.tls, scale),
        tls_y: Length(y + LANE + tls::GAP),
        tls_height: Length(tls::STRIP),
        tls_text_y: Length(y + LANE + tls::GAP + tls::STRIP - 2.5),
        losses: unanswered::ticks(&lane.losses, "lost", scale),
        loss_y: Length(y + LANE - unanswered::HEIGHT),
        refusals: unanswered::ticks(&lane.refusals, "refused as wanted", scale),
        refusal_y: Length(y),
        unanswered: Length(unanswered::HEIGHT),
        unreadable: lane
            .unreadable
            .iter()
            .map(|at| Length(scale.x(*at)))
            .collect(),
    }
}

fn steps(timeline: &Timeline, scale: &Scale) -> (Vec<Step>, usize) {
    let mut last_in_row = [f64::MIN; STEP_ROWS];
    let mut rows = 0;
    let steps = timeline
        .steps
        .iter()
        .map(|(step, at)| {
            let x = scale.x(*at);
            let row = last_in_row
                .iter()
                .position(|last| x - last >= STEP_DISTANCE);
            if let Some(row) = row {
                last_in_row[row] = x;
                rows = rows.max(row + 1);
            }
            let y = ROW * (row.unwrap_or(0) as f64 + 0.5) + 1.0;
            Step {
                number: *step,
                x: Length(x),
                y: Length(y),
                text_y: Length(y + 3.5),
                labelled: row.is_some(),
            }
        })
        .collect();
    (steps, rows)
}

fn to_canaries(timeline: &Timeline) -> BTreeSet<String> {
    let marks = timeline.marks.iter();
    let written = marks.filter_map(|mark| match &mark.kind {
        MarkKind::Write { name, to_canaries } => to_canaries.then(|| name.clone()),
        MarkKind::Marker(_) | MarkKind::GaveUp(_) => None,
    });
    written.collect()
}

fn marks(timeline: &Timeline, scale: &Scale) -> Vec<MarkView> {
    timeline
        .marks
        .iter()
        .map(|mark| {
            let at = seconds(mark.at_ns);
            let (class, title) = match &mark.kind {
                MarkKind::Write { name, to_canaries } => {
                    let whom = if *to_canaries { TO_CANARIES } else { "" };
                    ("write", format!("`{name}` was written at {at}{whom}"))
                }
                MarkKind::Marker(value) => {
                    ("marker", format!("marker {value} was written at {at}"))
                }
                MarkKind::GaveUp(what) => ("gave-up", format!("gave up at {at}: {what}")),
            };
            MarkView {
                x: Length(scale.x(mark.at_ns)),
                class,
                title,
            }
        })
        .collect()
}

fn faults(
    timeline: &Timeline,
    scale: &Scale,
    top: f64,
    lane_tops: &BTreeMap<&str, f64>,
) -> Vec<Fault> {
    timeline
        .bands
        .iter()
        .enumerate()
        .map(|(row, band)| {
            let x = scale.x(band.from_ns);
            let end = scale.x(band.to_ns.unwrap_or(timeline.end_ns));
            let row_y = top + ROW * row as f64;
            // The words stand inside when the band is wide, else on the side that has room.
            let (text_x, anchor) = if x < WIDTH * 0.6 {
                (x + 6.0, "start")
            } else {
                (end - 6.0, "end")
            };
            Fault {
                x: Length(x),
                width: Length((end - x).max(2.0)),
                row_y: Length(row_y),
                text_x: Length(text_x),
                text_y: Length(row_y + 11.5),
                anchor,
                title: format!("{} ({} to {})", band.title, seconds(band.from_ns), {
                    band.to_ns.map_or_else(|| "the end".to_owned(), seconds)
                }),
                hit_lanes: band
                    .hits
                    .iter()
                    .filter_map(|hit| lane_tops.get(hit.as_str()).map(|y| Length(y - 2.0)))
                    .collect(),
                lane_height: Length(LANE + 4.0),
            }
        })
        .collect()
}

fn ticks(scale: &Scale) -> Vec<Tick> {
    let total = scale.span / 1e9;
    let rough = total / 8.0;
    let magnitude = 10_f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0]
        .into_iter()
        .map(|m| m * magnitude)
        .find(|s| *s >= rough)
        .unwrap_or(magnitude * 10.0);
    let decimals = if step >= 1.0 {
        0
    } else {
        (-step.log10().floor()) as usize
    };
    let start = scale.start as f64 / 1e9;
    let first = (start / step).ceil() as u64;
    let last = ((start + total) / step).floor() as u64;
    (first..=last)
        .map(|index| {
            let at = index as f64 * step;
            Tick {
                x: Length(LEFT + (at - start) / total * (WIDTH - LEFT - RIGHT)),
                label: format!("{at:.decimals$} s"),
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_lies_within_the_drawing() {
        for scenario in crate::fixture::record().scenarios {
            if scenario.timeline.is_empty() {
                continue;
            }
            let drawing = draw(&scenario.timeline, &[]);
            assert!(drawing.axis_name < drawing.height);
            for lane in &drawing.lanes {
                assert!(lane.y.0 + lane.height.0 <= drawing.bottom.0);
                assert!(lane.tls.is_empty(), "nobody speaks of TLS there");
                for segment in &lane.segments {
                    assert!(segment.x.0 >= LEFT, "{}", segment.title);
                    assert!(segment.x.0 + segment.width.0 <= WIDTH, "{}", segment.title);
                }
            }
        }
    }

    #[test]
    fn who_writes_for_the_canaries_too_is_told_on_the_page() {
        let mut record = crate::fixture::record();
        let page = crate::html::render(&record, 1).expect("it has a page");
        assert!(!page.contains("for the canaries too"));
        for mark in &mut record.scenarios[0].timeline.marks {
            if let MarkKind::Write { to_canaries, .. } = &mut mark.kind {
                *to_canaries = true;
            }
        }
        let page = crate::html::render(&record, 1).expect("it has a page");
        assert!(page.contains("</svg>payload was written for the canaries too"));
    }

    #[test]
    fn ticks_are_round_and_few() {
        for span in [3_000_000.0, 402e6, 1.523e9, 4.6e9, 61e9] {
            for start in [0, 46_583_123_456] {
                let ticks = ticks(&Scale { start, span });
                assert!((3..=10).contains(&ticks.len()), "{span}: {}", ticks.len());
                assert!(ticks.iter().all(|t| (LEFT..=WIDTH).contains(&t.x.0)));
            }
        }
    }
}
