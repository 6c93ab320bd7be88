//! Where the node agent takes its decisions, so that another binary can take wrong ones on purpose.
//!
//! Invariant: every method's default is the faithful behaviour, and nothing here knows of any other.

use crate::authenticate::{Authenticator, PodClaim};
use crate::authority::Authority;
use crate::certificate::Identity;
use crate::pods::{Pod, Pods};
use crate::stream::Form;
use identity_api::SpiffeId;
use identity_api::authority::NODE_AGENT_AUDIENCE;
use std::io;
use std::sync::Arc;
use std::time::Duration;

/// The decisions of the node agent.
pub trait Behaviour: Send + Sync + 'static {
    /// The audiences of which a token must carry one to be accepted.
    fn audiences(&self) -> Vec<String> {
        vec![NODE_AGENT_AUDIENCE.to_owned()]
    }

    /// Who says whom a token is of; `reviews` asks the API server.
    fn vouches(&self, reviews: Arc<dyn Authenticator>) -> Arc<dyn Authenticator> {
        reviews
    }

    /// Whether who shows a token of this claim may be served by the agent of this node. A claim that names no node is
    /// decided by the pods of the node alone.
    fn may_serve(&self, claim: &PodClaim, node: &str) -> bool {
        claim.node.as_deref().is_none_or(|claimed| claimed == node)
    }

    /// The pod of this node that a claim is of; none while it is not there.
    fn pod_of(&self, claim: &PodClaim, all: &Pods) -> Option<Arc<Pod>> {
        all.by_uid.get(&claim.uid).cloned()
    }

    /// Who is asked for certificates and the trust bundle; `remote` asks the authority.
    fn asks(&self, remote: Arc<dyn Authority>) -> Arc<dyn Authority> {
        remote
    }

    /// The pod whose certificate a pod is given.
    fn identity_of(&self, pod: &Arc<Pod>, _all: &Pods) -> Arc<Pod> {
        pod.clone()
    }

    /// Done with a certificate and its key before they are served. They are served from memory: there is nothing to do.
    ///
    /// # Errors
    ///
    /// Why it cannot be served.
    fn before_serving(&self, _pod: &Pod, _identity: &Identity) -> io::Result<()> {
        Ok(())
    }

    /// What of a chain, a pod's own certificate first, the pod is served. A peer that knows the roots alone needs all of it.
    fn served<'a>(&self, chain: &'a [Vec<u8>]) -> &'a [Vec<u8>] {
        chain
    }

    /// Whether certificates are renewed.
    fn renews(&self) -> bool {
        true
    }

    /// How long after a certificate has come that is valid for `lifetime` it is renewed. A random part of it: the pods of a
    /// deployment began together, and are not to come to the authority together ever after.
    fn renews_after(&self, lifetime: Duration) -> Duration {
        lifetime.mul_f64(rand::random_range(0.5..=0.6))
    }

    /// What is served from now on to the pod that this ID is of, when its certificate could not be renewed: the one that
    /// there is, `held`.
    fn serves_unrenewed(&self, _id: &SpiffeId, held: &Arc<Identity>) -> Arc<Identity> {
        Arc::clone(held)
    }

    /// What the pod that this ID is of is served last, before the agent goes: nothing new, so the one that it was sent, `held`.
    fn serves_last(&self, _id: &SpiffeId, held: &Arc<Identity>) -> Arc<Identity> {
        Arc::clone(held)
    }

    /// Whether a stream goes on when the certificate that was sent on it is replaced.
    fn keeps_streams(&self) -> bool {
        true
    }

    /// Whether a certificate that has taken the place of another one is sent on streams of this form.
    fn sends_renewed(&self, _form: Form) -> bool {
        true
    }

    /// Whether a certificate that could not be had is asked for again while there is an older one.
    fn asks_again(&self) -> bool {
        true
    }

    /// Whether there are pauses, longer and longer ones, before it is asked for again.
    fn backs_off(&self) -> bool {
        true
    }

    /// Whether a socket that a former agent left in place is replaced.
    fn replaces_socket(&self) -> bool {
        true
    }

    /// Whether a socket is made again whose path leads somewhere else, or nowhere.
    fn restores_place(&self) -> bool {
        true
    }

    /// The permission bits that the socket is given; `set` are those of the settings.
    fn socket_mode(&self, set: u32) -> u32 {
        set
    }

    /// Whether a socket is made again whose mode was changed.
    fn restores_mode(&self) -> bool {
        true
    }

    /// Whether a trust bundle is taken that comes after the first one.
    fn follows_bundle(&self) -> bool {
        true
    }
}

/// As designed.
#[derive(Clone, Copy, Debug, Default)]
pub struct Faithful;

impl Behaviour for Faithful {}
