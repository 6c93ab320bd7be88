//! Requests that were not answered, in the lane of whoever sent them: those that were lost at its lower edge, those that were
//! refused as the scenario wants it at its upper one, so that they are told apart without colours, too.

use super::parts::{Length, Unanswered};
use super::{Scale, seconds};
use std::collections::BTreeMap;

/// Height of a tick.
pub(super) const HEIGHT: f64 = 5.0;
/// Requests nearer to each other than this are one tick.
const BIN: f64 = 2.0;

/// One tick for each bin in which requests were due that ended like this.
pub(super) fn ticks(due_ns: &[u64], ended: &str, scale: &Scale) -> Vec<Unanswered> {
    let mut bins: BTreeMap<u64, (u64, u64)> = BTreeMap::new();
    for at in due_ns {
        let bin = bins.entry((scale.x(*at) / BIN) as u64).or_insert((0, *at));
        bin.0 += 1;
    }
    bins.into_iter()
        .map(|(bin, (count, first))| Unanswered {
            x: Length(bin as f64 * BIN),
            title: format!("{count} {ended} at {}", seconds(first)),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::draw;
    use crate::html::render;
    use crate::timeline::{Timeline, refusals};

    #[test]
    fn what_is_refused_as_wanted_is_drawn_as_that_and_not_as_lost() {
        let drawing = draw(&refusals(), &[]);
        assert!(drawing.has_losses && drawing.has_refusals);
        let [lane] = &drawing.lanes[..] else {
            panic!("one sidecar sends");
        };
        let titles = |ticks: &[super::Unanswered]| -> Vec<String> {
            ticks.iter().map(|tick| tick.title.clone()).collect()
        };
        assert_eq!(titles(&lane.refusals), ["2 refused as wanted at 1.000 s"]);
        assert_eq!(
            titles(&lane.losses),
            [
                "1 lost at 5.000 s",
                "1 lost at 6.000 s",
                "1 lost at 7.000 s"
            ]
        );
        // One above the other, within the lane.
        assert!(lane.y <= lane.refusal_y);
        assert!(lane.refusal_y.0 + lane.unanswered.0 < lane.loss_y.0);
        assert!(lane.loss_y.0 + lane.unanswered.0 <= lane.y.0 + lane.height.0);
    }

    #[test]
    fn the_page_tells_it_without_scripts_and_has_no_legend_for_what_is_not_there() {
        let legend = "</svg>request refused, as wanted</li>";
        let mut record = crate::fixture::record();
        let page = render(&record, 1).expect("it has a page");
        assert!(page.contains("</svg>request lost</li>"), "{page}");
        assert!(!page.contains(legend) && !page.contains("class=\"refusal\""));
        for scenario in &mut record.scenarios {
            scenario.timeline = Timeline::default();
        }
        record.scenarios[0].timeline = refusals();
        let page = render(&record, 1).expect("it has a page");
        let (shown, _) = page.split_once("<script>").expect("it has one");
        assert_eq!(shown.matches(legend).count(), 1, "{shown}");
        // One in the lane, and one in the legend.
        assert_eq!(shown.matches("class=\"refusal\"").count(), 2, "{shown}");
        assert!(shown.contains("<title>2 refused as wanted at 1.000 s</title>"));
        let line = "<li>denied: 5 requests, 2 refused as wanted, 2 lost, answered in p50 ";
        assert!(shown.contains(line), "{shown}");
        assert!(shown.contains("<li>other: 1 requests, 1 lost</li>"));
    }
}
