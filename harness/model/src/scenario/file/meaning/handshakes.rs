//! What handshakes past the caller's sidecar can get wrong.

use super::{Check, Step};
use crate::capability::Capability;
use crate::document::suggestion;
use crate::handshake::{Handshake, Shown};
use crate::rotation::Rotation;
use crate::scenario::{Act, Scenario};

impl Check {
    /// Who calls itself meets its own sidecar, and past that nobody.
    pub(super) fn handshake(&mut self, handshake: &Handshake) {
        self.workload("from", &handshake.from);
        self.workload("to", &handshake.to);
        if handshake.from == handshake.to {
            self.complain(
                format!("`{}` calls itself", handshake.from),
                Some("name another workload in `to`, whose sidecar is to be met"),
            );
        }
    }

    /// Not every mesh lets the probe speak as a sidecar.
    pub(super) fn handshakes_said(&mut self, scenario: &Scenario) {
        let meets = |act: &Act| matches!(act, Act::Handshake(_));
        if scenario.when.iter().any(meets) && !scenario.requires.contains(&Capability::Handshakes) {
            self.complain_of_others(
                "it speaks TLS as sidecars do, and `requires` does not say so",
                Some("add `handshakes` to `requires`, so that it is skipped where no probe can"),
            );
        }
    }

    /// A partner's root is in the probe that has made it, and nobody looks at it before it is trusted.
    pub(super) fn partner_known(&mut self, scenario: &Scenario) {
        for (index, act) in scenario.when.iter().enumerate() {
            let Act::Handshake(handshake) = act else {
                continue;
            };
            let makes = |act: &Act| matches!(act, Act::Rotate(Rotation::TrustPartner(of)) if *of == handshake.from);
            let is_of_partner = matches!(handshake.shows, Shown::OfPartner(_));
            if !is_of_partner || scenario.when[..index].iter().any(makes) {
                continue;
            }
            let depth = self.path.len();
            let keys = ["handshake", "shows", "ofPartner"].map(Step::Key);
            self.path.extend([Step::Key("when"), Step::Index(index)]);
            self.path.extend(keys);
            let from = &handshake.from;
            let told = format!("the probe of `{from}` has made no partner's root before");
            let hint = format!("write `rotate: {{trustPartner: {from}}}` before");
            self.complain_of_others(told, Some(&hint));
            self.path.truncate(depth);
        }
    }

    /// What is shown once more was shown before, by the same probe, which has the key.
    pub(super) fn shown_before(&mut self, scenario: &Scenario) {
        for (index, act) in scenario.when.iter().enumerate() {
            let Act::Handshake(handshake) = act else {
                continue;
            };
            let Shown::As(name) = &handshake.shows else {
                continue;
            };
            let earlier: Vec<&str> = scenario.when[..index]
                .iter()
                .filter_map(|act| match act {
                    Act::Handshake(earlier) => Some(earlier),
                    _ => None,
                })
                .filter(|earlier| earlier.from == handshake.from && has_its_own(earlier))
                .map(|earlier| earlier.name.as_str())
                .collect();
            if earlier.contains(&name.as_str()) {
                continue;
            }
            let hint = match suggestion(name, earlier) {
                Some(meant) => format!("did you mean `{meant}`?"),
                None => format!(
                    "name an earlier handshake from `{}` that shows a certificate of its own",
                    handshake.from
                ),
            };
            let depth = self.path.len();
            let keys = ["handshake", "shows", "as"].map(Step::Key);
            self.path.extend([Step::Key("when"), Step::Index(index)]);
            self.path.extend(keys);
            let told = format!("`{name}` has shown no certificate before");
            self.complain_of_others(told, Some(&hint));
            self.path.truncate(depth);
        }
    }
}

fn has_its_own(handshake: &Handshake) -> bool {
    !matches!(handshake.shows, Shown::None | Shown::As(_))
}
