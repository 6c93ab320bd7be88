//! How much of something a scenario may ask for: a typing error must not keep a machine busy for days.

use super::{Check, Step};
use crate::duration::Span;

/// Requests of one batch, whose outcomes are all kept in the history.
const MOST_REQUESTS: u32 = 100_000;

/// Requests a second of one load.
const MOST_A_SECOND: u32 = 10_000;

/// A hold or an outage.
const LONGEST: Span = Span::secs(24 * 60 * 60);

impl Check {
    pub(super) fn count(&mut self, count: u32) {
        self.at(Step::Key("count"), |check| {
            if count == 0 {
                check.complain("zero requests", Some("set `count` to at least 1"));
            } else if count > MOST_REQUESTS {
                let hint = format!("at most {MOST_REQUESTS} can be sent in one batch");
                check.complain(format!("{count} requests are too many"), Some(&hint));
            }
        });
    }

    pub(super) fn rate(&mut self, rate: u32) {
        if rate == 0 {
            self.complain("zero requests per second", Some("set `rate` to at least 1"));
        } else if rate > MOST_A_SECOND {
            let hint = format!("at most {MOST_A_SECOND} a second can be sent");
            self.complain(
                format!("{rate} requests a second are too many"),
                Some(&hint),
            );
        }
    }

    /// `what` takes some time.
    pub(super) fn lasts(&mut self, what: &str, span: Span) {
        if span.0.is_zero() {
            self.complain(format!("{what} of no time"), None);
        } else if span > LONGEST {
            let hint = format!("at most {LONGEST}");
            self.complain(format!("{what} of {span} is too long"), Some(&hint));
        }
    }
}
