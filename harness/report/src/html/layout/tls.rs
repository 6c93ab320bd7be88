//! The strips below lanes: how sidecars were set up for TLS, in words where they fit, so that nobody needs to point at them.

use super::parts::{Length, TlsView};
use super::{Scale, seconds};
use crate::timeline::{Lane, TlsShown, TlsSpan};

/// Height of a strip.
pub(super) const STRIP: f64 = 12.0;
/// Between a lane and its strip.
pub(super) const GAP: f64 = 1.0;
/// A letter in a strip takes at most so much, on average.
const LETTER: f64 = 5.6;
/// Before and after the words.
const MARGIN: f64 = 4.0;

/// What the strip of a lane takes below it; nothing where it has none.
pub(super) fn room(lane: &Lane) -> f64 {
    if lane.tls.is_empty() {
        0.0
    } else {
        GAP + STRIP
    }
}

/// The boxes of a strip, one for each certificate with its modes.
pub(super) fn strip(name: &str, spans: &[TlsSpan], scale: &Scale) -> Vec<TlsView> {
    spans
        .iter()
        .map(|span| {
            let x = scale.x(span.from_ns);
            let width = (scale.x(span.to_ns) - x).max(1.5);
            TlsView {
                x: Length(x),
                width: Length(width),
                words: fitting(&span.shown, width),
                words_x: Length(x + MARGIN),
                title: format!(
                    "{name}: {} from {} to {}",
                    span.shown.in_words(),
                    seconds(span.from_ns),
                    seconds(span.to_ns)
                ),
            }
        })
        .collect()
}

/// As much as there is room for: all of it, or the certificate alone.
fn fitting(shown: &TlsShown, width: f64) -> Option<String> {
    let fits = |words: &String| words.chars().count() as f64 * LETTER + 2.0 * MARGIN <= width;
    let certificate = || shown.certificate_in_short().to_owned();
    Some(shown.in_short())
        .filter(fits)
        .or_else(|| Some(certificate()).filter(fits))
}

#[cfg(test)]
mod tests {
    use super::super::draw;
    use crate::html::render;
    use crate::timeline::{Timeline, reading_of_tls};

    /// Of two sidecars, one of which has another certificate after a while.
    fn timeline() -> Timeline {
        let mut timeline = Timeline::default();
        for event in [
            reading_of_tls(0, "checkout@zone-a", Some("aaaaaa1111")),
            reading_of_tls(0, "frontend@zone-a", None),
            reading_of_tls(9_000_000_000, "checkout@zone-a", Some("bbbbbb2222")),
            reading_of_tls(10_000_000_000, "frontend@zone-a", None),
        ] {
            timeline.on(&event);
        }
        timeline.finish();
        timeline
    }

    #[test]
    fn a_certificate_is_told_below_its_lane_as_far_as_there_is_room() {
        let drawing = draw(&timeline(), &[]);
        assert!(drawing.has_tls);
        let [checkout, frontend] = &drawing.lanes[..] else {
            panic!("there are two lanes");
        };
        let words: Vec<Option<&str>> = checkout
            .tls
            .iter()
            .map(|view| view.words.as_deref())
            .collect();
        assert_eq!(
            words,
            [Some("aaaaaa · in strict · out permissive"), Some("bbbbbb")]
        );
        assert!(checkout.tls[1].title.contains("certificate bbbbbb2222"));
        assert!(frontend.tls.is_empty());
        // The strip is between the lanes.
        assert!(checkout.y.0 + checkout.height.0 < checkout.tls_y.0);
        assert!(checkout.tls_y.0 + checkout.tls_height.0 < frontend.y.0);
    }

    #[test]
    fn the_page_shows_it_without_scripts_where_a_scenario_speaks_of_tls() {
        let mut record = crate::fixture::record();
        let page = render(&record, 1).expect("it has a page");
        assert!(!page.contains("class=\"tls"), "nobody speaks of TLS");
        record.scenarios[0].timeline = timeline();
        let page = render(&record, 1).expect("it has a page");
        let (shown, _) = page.split_once("<script>").expect("it has one");
        assert!(shown.contains(">aaaaaa · in strict · out permissive</text>"));
        assert!(shown.contains("first digits of its serial number"));
        assert_eq!(shown.matches("class=\"tls-words\"").count(), 2);
    }
}
