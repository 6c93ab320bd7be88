//! Bugs in who speaks TLS, and in what that is worth.

use control_plane::behaviour::{Behaviour, Recipient, Security};
use control_plane::effective::{Effective, Resolution, resolve};
use control_plane::scope::specificity;
use control_plane::world::World;
use mesh_api::{InboundTls, OutboundTls, TlsPolicy};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// Scope or mode of TLS is not what the policies say.
pub(crate) enum TlsMistake {
    /// What any policy says of TLS is for everybody.
    ForEverybody,
    /// Callers never offer TLS.
    CallersStayPlaintext,
    /// What is said of callees is taken to be said of callers, too.
    DirectionsAlike,
    /// Somebody out of scope has the list of allowed callers.
    ListOneTooMany,
    /// Somebody out of scope who takes TLS anyway takes nothing else.
    StrictOneTooMany,
}

impl Behaviour for TlsMistake {
    fn effective(&self, world: &World, recipient: &Recipient) -> Effective {
        let mut effective = resolve(world, &recipient.sidecar, Resolution::FAITHFUL);
        let tls = &mut effective.tls;
        match self {
            Self::ForEverybody => {
                for said in world
                    .policies
                    .values()
                    .filter_map(|policy| policy.spec.tls.as_ref())
                {
                    tls.inbound = tls.inbound.or(said.inbound);
                    tls.outbound = tls.outbound.or(said.outbound);
                }
            }
            Self::CallersStayPlaintext => tls.outbound = None,
            Self::DirectionsAlike => tls.outbound = tls.inbound.map(as_taken),
            Self::ListOneTooMany => {
                let leaked = leaked_to(world, recipient).find_map(|said| said.allow.clone());
                tls.allow = tls.allow.take().or(leaked);
            }
            // Who has no certificate would get one, and that would tell.
            Self::StrictOneTooMany if tls.inbound == Some(InboundTls::Permissive) => {
                tls.inbound = leaked_to(world, recipient)
                    .find_map(|said| said.inbound)
                    .or(tls.inbound);
            }
            Self::StrictOneTooMany => {}
        }
        effective
    }
}

/// The mode of callers that is called like this one of callees.
fn as_taken(mode: InboundTls) -> OutboundTls {
    match mode {
        InboundTls::Plaintext => OutboundTls::Plaintext,
        InboundTls::Permissive => OutboundTls::Permissive,
        InboundTls::Strict => OutboundTls::Strict,
    }
}

/// A policy that says that callers offer TLS no more is taken to say still what it said before.
#[derive(Default)]
pub(crate) struct CallersKeepTls {
    /// UID of a policy → the last TLS that it had callers offer.
    offered: Mutex<BTreeMap<String, OutboundTls>>,
}

impl Behaviour for CallersKeepTls {
    fn publish(&self, world: Arc<World>) -> Arc<World> {
        let mut offered = self.offered.lock().unwrap_or_else(PoisonError::into_inner);
        let mut kept = (*world).clone();
        for policy in kept.policies.values_mut() {
            let said = policy.spec.tls.as_ref().and_then(|tls| tls.outbound);
            match (said, offered.get(&policy.uid)) {
                (Some(OutboundTls::Plaintext), Some(before)) => {
                    let mut copy = (**policy).clone();
                    if let Some(tls) = &mut copy.spec.tls {
                        tls.outbound = Some(*before);
                    }
                    *policy = Arc::new(copy);
                }
                (Some(mode), _) => {
                    offered.insert(policy.uid.clone(), mode);
                }
                (None, _) => {}
            }
        }
        Arc::new(kept)
    }
}

/// What policies say of TLS that leak to a recipient: those that do not address it, and of whose victims it is the last by
/// name. In the suites nobody calls that one.
fn leaked_to<'a>(
    world: &'a World,
    recipient: &'a Recipient,
) -> impl Iterator<Item = &'a TlsPolicy> {
    world.policies.values().filter_map(|policy| {
        let said = policy.spec.tls.as_ref()?;
        let scope = world.scopes.get(&policy.spec.scope_ref)?;
        let last = world
            .sidecars
            .values()
            .filter(|sidecar| sidecar.member)
            .filter(|sidecar| specificity(&scope.spec, sidecar).is_none())
            .max_by(|a, b| a.pod.cmp(&b.pod))?;
        (last.uid == recipient.sidecar.uid).then_some(said)
    })
}

/// A check that TLS is there for is left out.
pub(crate) enum CheckLeftOut {
    /// Any callee of the mesh is taken.
    CalleeVerified,
    /// Callees' certificates may lead to any root.
    CalleesRootKnown,
    /// A strict callee takes plaintext.
    PlaintextRefused,
    /// Everybody may call.
    CallersRestricted,
    /// Callers need no certificate.
    CertificateRequired,
    /// Callers' certificates may lead to any root.
    RootKnown,
    /// Callers may be of any trust domain, or of none.
    DomainKnown,
    /// Callers' certificates may have ended.
    NotExpired,
    /// Anybody's certificate may have ended.
    NobodyExpired,
    /// All TLS that comes to a permissive callee is the mesh's.
    WhoseTls,
    /// A strict callee takes TLS that is not the mesh's.
    OtherTlsRefused,
    /// What is spoken may be old.
    NewestTlsAlone,
    /// Bytes may go in plaintext where requests may not.
    BytesOverTls,
}

impl Behaviour for CheckLeftOut {
    fn security(&self) -> Security {
        let mut security = Security::default();
        match self {
            Self::CalleeVerified => security.callees.is_who_was_called = false,
            Self::CalleesRootKnown => security.callees.root_is_known = false,
            Self::PlaintextRefused => security.plaintext_is_refused = false,
            Self::CallersRestricted => security.callers_are_restricted = false,
            Self::CertificateRequired => security.callers.one_is_required = false,
            Self::RootKnown => security.callers.root_is_known = false,
            Self::DomainKnown => security.callers.is_of_the_domain = false,
            Self::NotExpired => security.callers.end_is_to_come = false,
            Self::OtherTlsRefused => security.other_tls_is_refused = false,
            Self::NewestTlsAlone => security.newest_tls_alone = false,
            Self::BytesOverTls => security.bytes_over_tls = false,
            Self::WhoseTls => security.applications_may_speak_tls = false,
            Self::NobodyExpired => {
                security.callers.end_is_to_come = false;
                security.callees.end_is_to_come = false;
            }
        }
        security
    }
}

/// Nobody is known to take TLS.
pub(crate) struct NobodyTakesTls;

impl Behaviour for NobodyTakesTls {
    fn publish(&self, world: Arc<World>) -> Arc<World> {
        Arc::new(World {
            takes_tls: Arc::default(),
            ..(*world).clone()
        })
    }
}
