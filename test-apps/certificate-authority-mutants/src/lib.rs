//! Seeded bugs of the certificate authority. Each is one small wrong decision at one of the seams of
//! [`certificate_authority::behaviour`]; everything else is the real thing.
//!
//! Invariant: none of this is in the `certificate-authority` binary.

use api_client::{BoundToken, ReadTokenError};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use certificate_authority::behaviour::{Behaviour, Faithful};
use certificate_authority::certificate::AUTHORITY_SKEW;
use certificate_authority::ledger::{Desired, Ledger};
use certificate_authority::pods::PodFacts;
use identity_api::SpiffeId;
use serde_json::Value;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// One seeded bug.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mutation {
    /// Any token is taken for what it says of itself.
    AnyToken,
    /// Whoever has a token for the authority is taken for a node agent.
    AnyAccount,
    /// An agent gets certificates for pods of other nodes, too.
    AnyNode,
    /// A request is granted though it was changed after it was signed.
    NoSignature,
    /// A request is granted whatever names it is for.
    AnyName,
    /// A certificate is valid for as long as is asked.
    AnyLifetime,
    /// A new root takes the old one's place in the bundle at once.
    DropsOldRoot,
    /// An intermediate is replaced after some seconds, though nobody has asked for that.
    RollsUnasked,
    /// A root that was trusted stays in the bundle for ever.
    KeepsOldRoot,
}

impl Mutation {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::AnyToken,
        Self::AnyAccount,
        Self::AnyNode,
        Self::NoSignature,
        Self::AnyName,
        Self::AnyLifetime,
        Self::DropsOldRoot,
        Self::RollsUnasked,
        Self::KeepsOldRoot,
    ];

    /// As in `MESH_MUTANT`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::AnyToken => "authority-takes-any-token",
            Self::AnyAccount => "authority-takes-any-account",
            Self::AnyNode => "authority-takes-any-node",
            Self::NoSignature => "authority-skips-signature",
            Self::AnyName => "authority-takes-any-name",
            Self::AnyLifetime => "authority-takes-any-lifetime",
            Self::DropsOldRoot => "authority-drops-old-root",
            Self::RollsUnasked => "authority-rolls-unasked",
            Self::KeepsOldRoot => "authority-keeps-old-root",
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
    fn vouched(
        &self,
        token: &str,
        said: Result<BoundToken, ReadTokenError>,
    ) -> Result<BoundToken, ReadTokenError> {
        match said {
            Err(error) if *self == Self::AnyToken => own_word(token).ok_or(error),
            said => said,
        }
    }

    fn accepts_account(&self, account: &str, expected: &str) -> bool {
        *self == Self::AnyAccount || Faithful.accepts_account(account, expected)
    }

    fn accepts_place(&self, node: &str, pod: &PodFacts) -> bool {
        *self == Self::AnyNode || Faithful.accepts_place(node, pod)
    }

    fn accepts_signature(&self, is_signed: bool) -> bool {
        *self == Self::NoSignature || Faithful.accepts_signature(is_signed)
    }

    fn accepts_names(&self, names: &[String], identity: &SpiffeId) -> bool {
        *self == Self::AnyName || Faithful.accepts_names(names, identity)
    }

    fn lifetime(&self, asked: Duration, most: Duration) -> Duration {
        match self {
            Self::AnyLifetime => asked,
            _ => Faithful.lifetime(asked, most),
        }
    }

    fn read(&self, ledger: &mut Ledger, now: SystemTime) -> Option<Duration> {
        if *self != Self::RollsUnasked {
            return Faithful.read(ledger, now);
        }
        let place = ledger.issuing?;
        let made = UNIX_EPOCH
            + Duration::from_secs(ledger.intermediates.get(&place)?.validity.from)
            + AUTHORITY_SKEW;
        let is_old = now.duration_since(made).is_ok_and(|age| age >= OLD);
        let desired = ledger.desired.as_mut()?;
        // What was raised before stays, or the next turn would go back to what the operator wants.
        desired.intermediate = desired
            .intermediate
            .max(place.intermediate + u32::from(is_old));
        Some(OLD)
    }

    fn trusts(&self, root: u32, is_trusted: bool, desired: &Desired) -> bool {
        match self {
            Self::DropsOldRoot => is_trusted && root == desired.root,
            Self::KeepsOldRoot => true,
            _ => is_trusted,
        }
    }
}

/// The age at which an intermediate is replaced unasked: somebody has taken seconds for days.
const OLD: Duration = Duration::from_secs(7);

/// What a token says of itself.
fn own_word(token: &str) -> Option<BoundToken> {
    let payload = URL_SAFE_NO_PAD.decode(token.split('.').nth(1)?).ok()?;
    let claims: Value = serde_json::from_slice(&payload).ok()?;
    let of = |pointer: &str| Some(claims.pointer(pointer)?.as_str()?.to_owned());
    Some(BoundToken {
        namespace: of("/kubernetes.io/namespace")?,
        account: of("/kubernetes.io/serviceaccount/name")?,
        pod_uid: of("/kubernetes.io/pod/uid")?,
        pod_name: of("/kubernetes.io/pod/name"),
        node: of("/kubernetes.io/node/name"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity() -> SpiffeId {
        let id = "spiffe://mesh.local/ns/mesh-workloads/sa/checkout".parse();
        id.expect("an identity")
    }

    /// What is kept when certificates are issued below an intermediate that was made at this time.
    fn issuing(made: SystemTime) -> Ledger {
        let mut certificate = rcgen::CertificateParams::default();
        certificate.not_before = (made - AUTHORITY_SKEW).into();
        let key = rcgen::KeyPair::generate().expect("a key");
        let certificate = certificate.self_signed(&key).expect("signed").pem();
        let data = [
            ("desired", r#"{"root": 1, "intermediate": 1}"#),
            ("issuing", r#"{"root": 1, "intermediate": 1}"#),
            ("root-1.pem", certificate.as_str()),
            ("intermediate-1-below-root-1.pem", certificate.as_str()),
        ];
        let data = data.map(|(key, value)| (key.to_owned(), value.to_owned()));
        Ledger::read(&data.into()).expect("well-formed")
    }

    /// Whether an intermediate of this age is to be replaced.
    fn replaces(behaviour: &dyn Behaviour, age: Duration) -> bool {
        let made = UNIX_EPOCH + Duration::from_secs(2_000_000_000);
        let mut ledger = issuing(made);
        let _ = behaviour.read(&mut ledger, made + age);
        ledger.desired.expect("there").intermediate > 1
    }

    /// What each of the seams says of something wrong: token, account, node, signature, name, lifetime, of an old root that
    /// is trusted, of an old intermediate, and of a root that is not trusted.
    fn says(behaviour: &dyn Behaviour) -> [bool; 9] {
        let pod = PodFacts {
            name: "checkout-0".to_owned(),
            node: "node-b".to_owned(),
            service_account: "checkout".to_owned(),
        };
        let (asked, most) = (Duration::from_secs(7200), Duration::from_secs(3600));
        let desired = Desired {
            root: 2,
            intermediate: 1,
            trust: [1, 2].into(),
        };
        let other = "URI:spiffe://mesh.local/ns/mesh-workloads/sa/frontend".to_owned();
        let claims = r#"{"kubernetes.io":{"namespace":"mesh-system","node":{"name":"node-a"},
            "pod":{"name":"agent-0","uid":"u"},"serviceaccount":{"name":"node-agent","uid":"v"}}}"#;
        let token = format!("e30.{}.x", URL_SAFE_NO_PAD.encode(claims));
        let refused = Err(ReadTokenError::Invalid("it has ended".to_owned()));
        [
            behaviour.vouched(&token, refused).is_ok(),
            behaviour.accepts_account("mesh-workloads/checkout", "mesh-system/node-agent"),
            behaviour.accepts_place("node-a", &pod),
            behaviour.accepts_signature(false),
            behaviour.accepts_names(&[other], &identity()),
            behaviour.lifetime(asked, most) > most,
            !behaviour.trusts(1, true, &desired),
            replaces(behaviour, OLD),
            behaviour.trusts(1, false, &desired),
        ]
    }

    #[test]
    fn names_are_known_both_ways() {
        for mutation in Mutation::ALL {
            assert_eq!(Mutation::from_name(mutation.name()), Some(mutation));
        }
        assert_eq!(Mutation::from_name(""), None);
    }

    #[test]
    fn every_mutant_does_what_its_name_says_and_nothing_else() {
        assert_eq!(says(&Faithful), [false; 9]);
        for (place, mutation) in Mutation::ALL.iter().enumerate() {
            let mut expected = [false; 9];
            expected[place] = true;
            assert_eq!(says(mutation), expected, "{}", mutation.name());
        }
    }

    #[test]
    fn an_intermediate_is_replaced_when_it_is_old_and_what_was_raised_stays() {
        let rolls = Mutation::RollsUnasked;
        assert!(!replaces(&rolls, OLD - Duration::from_secs(1)));
        let mut ledger = issuing(UNIX_EPOCH + Duration::from_secs(2_000_000_000));
        // As it is after one was replaced: the operator still wants the first.
        if let Some(desired) = &mut ledger.desired {
            desired.intermediate = 0;
        }
        let again = rolls.read(&mut ledger, UNIX_EPOCH + Duration::from_secs(2_000_000_000));
        assert_eq!(again, Some(OLD));
        assert_eq!(ledger.desired.expect("there").intermediate, 1);
        let mut begun = Ledger::default();
        assert_eq!(rolls.read(&mut begun, SystemTime::now()), None);
    }
}
