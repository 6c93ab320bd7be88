//! Expectations of one scenario that cannot stand beside each other. Each mistake tells the places of both.

use super::{About, Check, Step};
use crate::expectation::Expectation;

impl Check {
    /// What an expectation says must not be said by one before it, nor can it be the opposite.
    pub(super) fn beside(&mut self, expectation: &Expectation, before: &[Expectation]) {
        if let Some(index) = before.iter().position(|other| other == expectation) {
            self.complain_of_both(index, &[], "the same expectation twice".to_owned(), None);
        }
        for (index, other) in before.iter().enumerate() {
            let contradictory = match (other, expectation) {
                (Expectation::OverTls { traffic: a }, Expectation::InPlaintext { traffic: b })
                | (Expectation::InPlaintext { traffic: a }, Expectation::OverTls { traffic: b }) => {
                    (a == b).then_some(("overTls", "inPlaintext", "traffic", a))
                }
                (
                    Expectation::Refused { traffic: a, .. },
                    Expectation::Answered { traffic: b, .. },
                )
                | (
                    Expectation::Answered { traffic: a, .. },
                    Expectation::Refused { traffic: b, .. },
                ) => (a == b).then_some(("answered", "refused", "traffic", a)),
                (Expectation::Granted { ask: a, .. }, Expectation::Denied { ask: b, .. })
                | (Expectation::Denied { ask: a, .. }, Expectation::Granted { ask: b, .. }) => {
                    (a == b).then_some(("granted", "denied", "ask", a))
                }
                _ => None,
            };
            if let Some((one, opposite, what, name)) = contradictory {
                self.complain_of_both(
                    index,
                    &[],
                    format!("`{one}` and `{opposite}` for the same {what} `{name}`"),
                    Some("both cannot hold; give what must end otherwise another name"),
                );
            }
            if let (Some(a), Some(b)) = (ends(other), ends(expectation))
                && a == b
                && other != expectation
            {
                self.complain_of_both(
                    index,
                    &[],
                    format!("two ends of the same handshake `{a}`"),
                    Some("both cannot hold; give what must end otherwise another name"),
                );
            }
            self.causes(expectation, index, other);
        }
    }

    /// Requests are refused, and identities denied, for one cause each.
    fn causes(&mut self, expectation: &Expectation, index: usize, other: &Expectation) {
        let (key, told, hint) = match (other, expectation) {
            (
                Expectation::Refused {
                    traffic: a,
                    because: one,
                },
                Expectation::Refused {
                    traffic: b,
                    because: another,
                },
            ) if a == b && one != another => (
                "refused",
                format!("two causes why the same traffic `{a}` is refused"),
                "both cannot hold: each request is refused for one; send what is refused for another under another name",
            ),
            (
                Expectation::Denied {
                    ask: a,
                    because: one,
                },
                Expectation::Denied {
                    ask: b,
                    because: another,
                },
            ) if a == b && one != another => (
                "denied",
                format!("two causes why the same ask `{a}` is denied"),
                "both cannot hold: it is denied for one; ask for what is denied for another under another name",
            ),
            _ => return,
        };
        self.complain_of_both(index, &[key, "because"], told, Some(hint));
    }

    /// Of what stands below `keys` in this expectation, and in the earlier one with this index.
    fn complain_of_both(
        &mut self,
        index: usize,
        keys: &[&'static str],
        message: String,
        hint: Option<&str>,
    ) {
        let keys = keys.iter().copied().map(Step::Key);
        let earlier = [Step::Key("then"), Step::Index(index)];
        let other: Vec<Step> = earlier.into_iter().chain(keys.clone()).collect();
        let depth = self.path.len();
        self.path.extend(keys);
        self.note(About::Itself, Some(other), message, hint);
        self.path.truncate(depth);
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
