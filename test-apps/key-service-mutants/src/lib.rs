//! Seeded bugs of the key service. Each is one small wrong decision at one of the seams of [`key_service::behaviour`];
//! everything else is the real thing.
//!
//! Invariant: none of this is in the `key-service` binary.

use key_service::behaviour::Behaviour;

/// One seeded bug.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mutation {
    /// Each start begins without the keys that were kept, and keeps new ones in their place.
    Forgets,
    /// Whoever has a certificate is served, whatever the list of clients says.
    IgnoresList,
    /// TLS asks nobody for a certificate, and whoever comes is served.
    TakesAnybody,
}

impl Mutation {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Forgets, Self::IgnoresList, Self::TakesAnybody];

    /// As in `MESH_MUTANT`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Forgets => "keys-forgotten-at-start",
            Self::IgnoresList => "keys-ignores-list",
            Self::TakesAnybody => "keys-takes-anybody",
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

    fn asks_for_certificates(&self) -> bool {
        *self != Self::TakesAnybody
    }

    fn serves_unlisted(&self) -> bool {
        // Who shows no certificate has no name that could be in the list.
        matches!(self, Self::IgnoresList | Self::TakesAnybody)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use key_service::behaviour::Faithful;

    #[test]
    fn names_are_known_both_ways() {
        for mutation in Mutation::ALL {
            assert_eq!(Mutation::from_name(mutation.name()), Some(mutation));
        }
        assert_eq!(Mutation::from_name(""), None);
    }

    #[test]
    fn every_mutant_does_what_its_name_says() {
        let does = |behaviour: &dyn Behaviour| {
            [
                behaviour.takes_what_is_kept(),
                behaviour.asks_for_certificates(),
                behaviour.serves_unlisted(),
            ]
        };
        assert_eq!(does(&Faithful), [true, true, false]);
        assert_eq!(does(&Mutation::Forgets), [false, true, false]);
        assert_eq!(does(&Mutation::IgnoresList), [true, true, true]);
        assert_eq!(does(&Mutation::TakesAnybody), [true, false, true]);
    }
}
