//! Expectations of one scenario that cannot stand beside each other.

use super::{Check, Step};
use crate::expectation::Expectation;

impl Check {
    /// What an expectation says must not be said by one before it, nor can it be the opposite.
    pub(super) fn beside(&mut self, expectation: &Expectation, before: &[Expectation]) {
        if before.contains(expectation) {
            self.complain("the same expectation twice", None);
        }
        for other in before {
            let contradictory = match (other, expectation) {
                (Expectation::OverTls { traffic: a }, Expectation::InPlaintext { traffic: b })
                | (Expectation::InPlaintext { traffic: a }, Expectation::OverTls { traffic: b }) => {
                    (a == b).then_some(("overTls", "inPlaintext", a))
                }
                (
                    Expectation::Refused { traffic: a, .. },
                    Expectation::Answered { traffic: b, .. },
                )
                | (
                    Expectation::Answered { traffic: a, .. },
                    Expectation::Refused { traffic: b, .. },
                ) => (a == b).then_some(("answered", "refused", a)),
                _ => None,
            };
            if let Some((one, opposite, traffic)) = contradictory {
                self.complain(
                    format!("`{one}` and `{opposite}` for the same traffic `{traffic}`"),
                    Some("both cannot hold; send what must end otherwise under another name"),
                );
            }
            if let (Some(a), Some(b)) = (ends(other), ends(expectation))
                && a == b
                && other != expectation
            {
                self.complain(
                    format!("two ends of the same handshake `{a}`"),
                    Some("both cannot hold; give what must end otherwise another name"),
                );
            }
            if let (
                Expectation::Refused {
                    traffic: a,
                    because: one,
                },
                Expectation::Refused {
                    traffic: b,
                    because: another,
                },
            ) = (other, expectation)
                && a == b
                && one != another
            {
                self.at(Step::Key("refused"), |check| {
                    check.at(Step::Key("because"), |check| {
                        check.complain(
                            format!("two causes why the same traffic `{a}` is refused"),
                            Some("both cannot hold: each request is refused for one; send what is refused for another under another name"),
                        );
                    });
                });
            }
        }
    }
}

/// The handshake whose end this is.
fn ends(expectation: &Expectation) -> Option<&str> {
    match expectation {
        Expectation::HandshakeAnswered { handshake }
        | Expectation::HandshakeRefused { handshake, .. } => Some(handshake),
        _ => None,
    }
}
