//! How much of something a scenario may ask for, since a typing error must not keep a machine busy for days; and how much an
//! expectation may grant, since one that nothing can fail says nothing.

use super::{Check, Step};
use crate::duration::Span;
use crate::scenario::{Act, Scenario};

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

    /// What waits must arrive while others wait still, or it is only ever late once.
    pub(super) fn is_shorter(&mut self, delay: Span, duration: Span) {
        self.lasts("a delay", delay);
        if delay >= duration {
            let hint = format!("write less than {duration}, or let the fault last longer");
            self.complain(
                format!("nothing that is held back for {delay} arrives in {duration}"),
                Some(&hint),
            );
        }
    }

    /// Where as many requests of a batch may be lost as are sent, `answered` holds whatever happens. How many a load sends
    /// is known at its end.
    pub(super) fn loses_less_than_all(&mut self, name: &str, lost: u64, scenario: &Scenario) {
        let count = scenario.when.iter().find_map(|act| match act {
            Act::Request(traffic) if traffic.name == name => Some(u64::from(traffic.count)),
            _ => None,
        });
        let Some(count) = count.filter(|count| (1..=lost).contains(count)) else {
            return;
        };
        self.at(Step::Key("answered"), |check| {
            check.at(Step::Key("lost"), |check| {
                let hint = format!("write less than {count}, or leave `lost` out");
                check.complain_of_others(
                    format!("{lost} of {count} requests may be lost, so it cannot fail"),
                    Some(&hint),
                );
            });
        });
    }

    /// Requests are judged from `within` after the beginning of a fault until its end: there must be such a time.
    pub(super) fn leaves_time(&mut self, within: Span, scenario: &Scenario) {
        let shortest = scenario
            .when
            .iter()
            .filter_map(|act| match act {
                Act::Inject(fault) => fault.duration(),
                _ => None,
            })
            .min();
        let Some(shortest) = shortest.filter(|shortest| *shortest <= within) else {
            return;
        };
        self.at(Step::Key("failsOver"), |check| {
            check.at(Step::Key("within"), |check| {
                let hint = format!("write less than {shortest}, or let the fault last longer");
                check.complain_of_others(
                    format!("a fault is over after {shortest}, and nothing is left to be judged"),
                    Some(&hint),
                );
            });
        });
    }
}
