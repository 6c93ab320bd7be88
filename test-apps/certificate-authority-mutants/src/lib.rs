//! Seeded bugs of the certificate authority. Each is one small wrong decision at one of the seams of
//! [`certificate_authority::behaviour`]; everything else is the real thing.
//!
//! Invariant: none of this is in the `certificate-authority` binary.

mod giving_up;

use api_client::{BoundToken, ReadTokenError};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use certificate_authority::behaviour::{Behaviour, Faithful, Spread};
use certificate_authority::certificate::{AUTHORITY_SKEW, Authority};
use certificate_authority::keys::Connection;
use certificate_authority::ledger::{Desired, Ledger};
use certificate_authority::pods::PodFacts;
use certificate_authority::settings::Settings;
use giving_up::GivesUp;
use identity_api::SpiffeId;
use ring::signature::{RSA_PKCS1_1024_8192_SHA256_FOR_LEGACY_USE_ONLY, UnparsedPublicKey};
use serde_json::Value;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tonic::Code;
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::oid_registry::Oid;

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
    /// What is published in ConfigMaps stays there, whatever node agents are told.
    PublishesFirst,
    /// A token that is bound to no pod will do, for pods of every node.
    TakesUnbound,
    /// A token of a pod that is gone will do, for pods of every node.
    TakesGone,
    /// A request is granted for an RSA key that is too short.
    TakesWeakKeys,
    /// A request for a certificate that signs others is granted, with one that does not.
    TakesSigners,
    /// A request is granted that is for more names than the pod's own.
    TakesSecondName,
    /// A certificate is valid for the longest time that one may be, whatever is asked.
    GrantsLongest,
    /// A request is granted for a key of ECDSA on another curve.
    TakesAnyCurve,
    /// A request is granted for the pod's name in any trust domain.
    IgnoresDomain,
    /// The intermediate that is issued below stays, whichever the operator wants.
    KeepsIntermediate,
    /// Certificates lead to a new root at once, and it comes into the bundle seconds later.
    AnnouncesLate,
    /// The bundle is published in the authority's own namespace alone.
    PublishesAtHome,
    /// Nothing is signed any more once the key service was away.
    GivesUpKeys,
    /// Nothing is signed any more once the key service has denied it.
    RemembersDenial,
}

impl Mutation {
    /// All of them.
    pub const ALL: [Self; 23] = [
        Self::AnyToken,
        Self::AnyAccount,
        Self::AnyNode,
        Self::NoSignature,
        Self::AnyName,
        Self::AnyLifetime,
        Self::DropsOldRoot,
        Self::RollsUnasked,
        Self::KeepsOldRoot,
        Self::PublishesFirst,
        Self::TakesUnbound,
        Self::TakesGone,
        Self::TakesWeakKeys,
        Self::TakesSigners,
        Self::TakesSecondName,
        Self::GrantsLongest,
        Self::TakesAnyCurve,
        Self::IgnoresDomain,
        Self::KeepsIntermediate,
        Self::AnnouncesLate,
        Self::PublishesAtHome,
        Self::GivesUpKeys,
        Self::RemembersDenial,
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
            Self::PublishesFirst => "authority-publishes-first-bundle",
            Self::TakesUnbound => "authority-takes-unbound",
            Self::TakesGone => "authority-takes-gone-pods",
            Self::TakesWeakKeys => "authority-takes-weak-keys",
            Self::TakesSigners => "authority-takes-signers",
            Self::TakesSecondName => "authority-takes-second-name",
            Self::GrantsLongest => "authority-grants-longest",
            Self::TakesAnyCurve => "authority-takes-any-curve",
            Self::IgnoresDomain => "authority-ignores-domain",
            Self::KeepsIntermediate => "authority-keeps-intermediate",
            Self::AnnouncesLate => "authority-announces-late",
            Self::PublishesAtHome => "authority-publishes-at-home",
            Self::GivesUpKeys => "authority-gives-up-keys",
            Self::RemembersDenial => "authority-remembers-denial",
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
        match (self, said) {
            (Self::AnyToken, Err(error)) => own_word(token).ok_or(error),
            (Self::TakesUnbound, Err(ReadTokenError::Unbound)) => {
                own_word(token).ok_or(ReadTokenError::Unbound).map(anywhere)
            }
            (Self::TakesGone, Err(ReadTokenError::Invalid(why)))
                if why.contains(IS_INVALIDATED) =>
            {
                let said = own_word(token).ok_or(ReadTokenError::Invalid(why));
                said.map(anywhere)
            }
            // An API server that does not know yet that the pod is gone. One that is there has a node.
            (Self::TakesGone, Ok(said)) => Ok(anywhere(said)),
            (_, said) => said,
        }
    }

    fn accepts_account(&self, account: &str, expected: &str) -> bool {
        *self == Self::AnyAccount || Faithful.accepts_account(account, expected)
    }

    fn accepts_place(&self, node: &str, pod: &PodFacts) -> bool {
        *self == Self::AnyNode || node == ANYWHERE || Faithful.accepts_place(node, pod)
    }

    fn least_rsa_bits(&self) -> usize {
        match self {
            Self::TakesWeakKeys => 0,
            _ => Faithful.least_rsa_bits(),
        }
    }

    fn accepts_curve(&self, curve: &Oid<'_>) -> bool {
        *self == Self::TakesAnyCurve || Faithful.accepts_curve(curve)
    }

    fn accepts_signature(&self, request: &X509CertificationRequest<'_>) -> bool {
        match self {
            Self::NoSignature => true,
            // Those of short keys are not verified otherwise.
            Self::TakesWeakKeys if is_signed_by_a_short_key(request) => true,
            _ => Faithful.accepts_signature(request),
        }
    }

    fn accepts_signers(&self) -> bool {
        *self == Self::TakesSigners
    }

    fn accepts_names(&self, names: &[String], identity: &SpiffeId) -> bool {
        match self {
            Self::AnyName => true,
            Self::TakesSecondName => names.contains(&format!("URI:{identity}")),
            Self::IgnoresDomain => matches!(names, [name] if is_of_some_domain(name, identity)),
            _ => Faithful.accepts_names(names, identity),
        }
    }

    fn asks_keys(&self, remote: Connection) -> Connection {
        match self {
            Self::GivesUpKeys => GivesUp::after(Code::Unavailable, remote),
            Self::RemembersDenial => GivesUp::after(Code::PermissionDenied, remote),
            _ => remote,
        }
    }

    fn lifetime(&self, asked: Duration, most: Duration) -> Duration {
        match self {
            Self::AnyLifetime => asked,
            Self::GrantsLongest => most,
            _ => Faithful.lifetime(asked, most),
        }
    }

    fn read(&self, ledger: &mut Ledger, now: SystemTime) -> Option<Duration> {
        match self {
            Self::RollsUnasked => roll_unasked(ledger, now),
            Self::KeepsIntermediate => {
                keep_intermediate(ledger);
                None
            }
            Self::AnnouncesLate => hold_back_root(ledger, now),
            _ => Faithful.read(ledger, now),
        }
    }

    fn accepts_root(&self, spread: Option<Spread>, roll_after: Duration) -> bool {
        *self == Self::AnnouncesLate || Faithful.accepts_root(spread, roll_after)
    }

    fn trusts(&self, root: u32, is_trusted: bool, desired: &Desired) -> bool {
        match self {
            Self::DropsOldRoot => is_trusted && root == desired.root,
            Self::KeepsOldRoot => true,
            // What is wanted was held back, or is in there.
            Self::AnnouncesLate if root == desired.root => desired.trust.contains(&root),
            _ => is_trusted,
        }
    }

    fn trusts_partner(&self, is_trusted: bool) -> bool {
        is_trusted || *self == Self::KeepsOldRoot
    }

    fn publishes_in(&self, settings: &Settings) -> (String, String) {
        match self {
            Self::PublishesAtHome => {
                let own = &settings.pod_namespace;
                (own.clone(), format!("kubernetes.io/metadata.name={own}"))
            }
            _ => Faithful.publishes_in(settings),
        }
    }

    fn publishes(&self, bundle: String, published: Option<&str>) -> String {
        match (self, published) {
            (Self::PublishesFirst, Some(first)) => first.to_owned(),
            _ => Faithful.publishes(bundle, published),
        }
    }
}

/// The age at which an intermediate is replaced unasked: somebody has taken seconds for days.
const OLD: Duration = Duration::from_secs(7);

/// Wants the intermediate after the one that is issued below, once that is old; tells when to look again.
fn roll_unasked(ledger: &mut Ledger, now: SystemTime) -> Option<Duration> {
    let place = ledger.issuing?;
    let made = made(ledger.intermediates.get(&place)?);
    let is_old = now.duration_since(made).is_ok_and(|age| age >= OLD);
    let desired = ledger.desired.as_mut()?;
    // What was raised before stays, or the next turn would go back to what the operator wants.
    desired.intermediate = desired
        .intermediate
        .max(place.intermediate + u32::from(is_old));
    Some(OLD)
}

/// Wants the intermediate that is issued below, where there is one.
fn keep_intermediate(ledger: &mut Ledger) {
    if let (Some(place), Some(desired)) = (ledger.issuing, &mut ledger.desired) {
        desired.intermediate = place.intermediate;
    }
}

/// How old a new root is before anybody is told of it. By then certificates of twenty seconds have all been asked for anew, and
/// most are served: a node agent holds one back for its root for five.
const LATE: Duration = Duration::from_secs(15);

/// Takes the root that is wanted out of what is trusted while it is new and not the only one; tells when it is not new any more.
fn hold_back_root(ledger: &mut Ledger, now: SystemTime) -> Option<Duration> {
    let desired = ledger.desired.as_mut()?;
    let age = now.duration_since(made(ledger.roots.get(&desired.root)?));
    let left = LATE.checked_sub(age.unwrap_or_default());
    let left = left.filter(|left| !left.is_zero() && ledger.roots.len() > 1);
    if left.is_some() {
        desired.trust.remove(&desired.root);
    } else {
        desired.trust.insert(desired.root);
    }
    left
}

/// When a root or an intermediate was made.
fn made(authority: &Authority) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(authority.validity.from) + AUTHORITY_SKEW
}

/// The node of an agent that is on none.
const ANYWHERE: &str = "";

/// In the API server's words, of a token whose pod is gone (`ValidateServiceAccountToken` of Kubernetes).
const IS_INVALIDATED: &str = "token has been invalidated";

/// As if its pod were on every node, where the token names none.
fn anywhere(said: BoundToken) -> BoundToken {
    BoundToken {
        pod_name: Some(said.pod_name.unwrap_or_default()),
        node: Some(said.node.unwrap_or_else(|| ANYWHERE.to_owned())),
        ..said
    }
}

/// RSA with SHA-256, of 1024 bits at least.
fn is_signed_by_a_short_key(request: &X509CertificationRequest<'_>) -> bool {
    let info = &request.certification_request_info;
    let key = &info.subject_pki.subject_public_key.data;
    UnparsedPublicKey::new(&RSA_PKCS1_1024_8192_SHA256_FOR_LEGACY_USE_ONLY, key)
        .verify(info.raw, &request.signature_value.data)
        .is_ok()
}

/// Whether a name is this identity, in whatever trust domain.
fn is_of_some_domain(name: &str, identity: &SpiffeId) -> bool {
    let named = name
        .strip_prefix("URI:")
        .and_then(|name| name.parse::<SpiffeId>().ok());
    named.is_some_and(|named| {
        named.namespace == identity.namespace && named.service_account == identity.service_account
    })
}

/// What a token says of itself; nothing stands for the UID of the pod where it names none.
fn own_word(token: &str) -> Option<BoundToken> {
    let payload = URL_SAFE_NO_PAD.decode(token.split('.').nth(1)?).ok()?;
    let claims: Value = serde_json::from_slice(&payload).ok()?;
    let of = |pointer: &str| Some(claims.pointer(pointer)?.as_str()?.to_owned());
    Some(BoundToken {
        namespace: of("/kubernetes.io/namespace")?,
        account: of("/kubernetes.io/serviceaccount/name")?,
        pod_uid: of("/kubernetes.io/pod/uid").unwrap_or_default(),
        pod_name: of("/kubernetes.io/pod/name"),
        node: of("/kubernetes.io/node/name"),
    })
}

#[cfg(test)]
mod tests;
