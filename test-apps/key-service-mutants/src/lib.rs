//! Seeded bugs of the key service. Each is one small wrong decision at one of the seams of [`key_service::behaviour`];
//! everything else is the real thing.
//!
//! Invariant: none of this is in the `key-service` binary.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use key_service::behaviour::Behaviour;
use key_service::store::KeyName;
use tracing::info;

/// One seeded bug.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mutation {
    /// Each start begins without the keys that were kept, and keeps new ones in their place.
    Forgets,
    /// Whoever has a certificate is served, whatever the list of clients says.
    IgnoresList,
    /// TLS asks nobody for a certificate, and whoever comes is served.
    TakesAnybody,
    /// Each private key is in the log.
    LogsKey,
    /// What is kept is not sealed.
    KeepsPlain,
    /// The next version of a key is the same key.
    RotatesNothing,
    /// No call is in the audit log.
    WritesNoAudit,
    /// No entry of the audit log says who has called.
    AuditsNobody,
    /// What the key of the intermediates is to sign is signed with that of the roots.
    SignsWithAnother,
}

/// What the certificate authority calls the keys of its roots.
const ROOT: &str = "root";

impl Mutation {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Forgets,
        Self::IgnoresList,
        Self::TakesAnybody,
        Self::LogsKey,
        Self::KeepsPlain,
        Self::RotatesNothing,
        Self::WritesNoAudit,
        Self::AuditsNobody,
        Self::SignsWithAnother,
    ];

    /// As in `MESH_MUTANT`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Forgets => "keys-forgotten-at-start",
            Self::IgnoresList => "keys-ignores-list",
            Self::TakesAnybody => "keys-takes-anybody",
            Self::LogsKey => "keys-logs-key",
            Self::KeepsPlain => "keys-keeps-plain",
            Self::RotatesNothing => "keys-rotates-nothing",
            Self::WritesNoAudit => "keys-writes-no-audit",
            Self::AuditsNobody => "keys-audits-nobody",
            Self::SignsWithAnother => "keys-signs-with-another",
        }
    }

    /// The mutant of a name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|mutation| mutation.name() == name)
    }
}

impl Behaviour for Mutation {
    fn takes_what_is_kept(&self) -> bool {
        *self != Self::Forgets
    }

    fn seals(&self) -> bool {
        *self != Self::KeepsPlain
    }

    fn makes_new_keys(&self) -> bool {
        *self != Self::RotatesNothing
    }

    fn asks_for_certificates(&self) -> bool {
        *self != Self::TakesAnybody
    }

    fn writes_audit(&self) -> bool {
        *self != Self::WritesNoAudit
    }

    fn audit_names_callers(&self) -> bool {
        *self != Self::AuditsNobody
    }

    fn serves_unlisted(&self) -> bool {
        // Who shows no certificate has no name that could be in the list.
        matches!(self, Self::IgnoresList | Self::TakesAnybody)
    }

    fn signs_with(&self, asked: KeyName) -> KeyName {
        match self {
            Self::SignsWithAnother => ROOT.parse().unwrap_or(asked),
            _ => asked,
        }
    }

    fn before_using(&self, name: &KeyName, private: &[u8]) {
        if *self == Self::LogsKey {
            log_key(name, private);
        }
    }
}

/// Writes a key into the log as the store keeps it, as somebody who looks for a mistake may do and forget to take out again.
fn log_key(name: &KeyName, private: &[u8]) {
    let private = STANDARD.encode(private);
    info!(key = name.as_str(), private, "a key is used");
}

#[cfg(test)]
mod tests {
    use super::*;
    use key_service::behaviour::Faithful;
    use std::sync::Arc;

    #[test]
    fn names_are_known_both_ways() {
        for mutation in Mutation::ALL {
            assert_eq!(Mutation::from_name(mutation.name()), Some(mutation));
        }
        assert_eq!(Mutation::from_name(""), None);
    }

    #[test]
    fn every_mutant_does_what_its_name_says() {
        let intermediate: KeyName = "intermediate".parse().expect("a name");
        let does = |behaviour: &dyn Behaviour| {
            [
                behaviour.takes_what_is_kept(),
                behaviour.seals(),
                behaviour.makes_new_keys(),
                behaviour.asks_for_certificates(),
                behaviour.serves_unlisted(),
                behaviour.writes_audit(),
                behaviour.audit_names_callers(),
                behaviour.signs_with(intermediate.clone()) == intermediate,
            ]
        };
        // Each differs from the faithful one at these places.
        let faithful = [true, true, true, true, false, true, true, true];
        assert_eq!(does(&Faithful), faithful);
        let all: [(Mutation, &[usize]); 9] = [
            (Mutation::Forgets, &[0]),
            (Mutation::KeepsPlain, &[1]),
            (Mutation::RotatesNothing, &[2]),
            (Mutation::TakesAnybody, &[3, 4]),
            (Mutation::IgnoresList, &[4]),
            (Mutation::WritesNoAudit, &[5]),
            (Mutation::AuditsNobody, &[6]),
            (Mutation::LogsKey, &[]),
            (Mutation::SignsWithAnother, &[7]),
        ];
        for (mutation, places) in all {
            let mut wrong = faithful;
            for place in places {
                wrong[*place] ^= true;
            }
            assert_eq!(does(&mutation), wrong, "{mutation:?}");
        }
        // A root is signed as it should be: an authority comes up.
        let root: KeyName = ROOT.parse().expect("a name");
        assert_eq!(Mutation::SignsWithAnother.signs_with(root.clone()), root);
    }

    #[test]
    fn a_key_that_is_logged_is_in_the_log_as_it_is_kept_and_no_other_is() {
        let log = tempfile::NamedTempFile::new().expect("a file");
        // As the program logs.
        let subscriber = tracing_subscriber::fmt()
            .with_writer(Arc::new(log.reopen().expect("there")))
            .with_ansi(false)
            .finish();
        let name: KeyName = "root".parse().expect("a name");
        let [used, logged] = [[0x30_u8, 0x81, 0x87], [0x30, 0x81, 0xb6]];
        tracing::subscriber::with_default(subscriber, || {
            for behaviour in [&Faithful as &dyn Behaviour, &Mutation::Forgets] {
                behaviour.before_using(&name, &used);
            }
            Mutation::LogsKey.before_using(&name, &logged);
        });
        let written = std::fs::read_to_string(log.path()).expect("text");
        assert!(written.contains(&STANDARD.encode(logged)), "{written}");
        assert!(!written.contains(&STANDARD.encode(used)), "{written}");
    }
}
