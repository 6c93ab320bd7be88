//! Where the control plane takes its decisions, so that another binary can take wrong ones on purpose.
//!
//! Invariant: every method's default is the faithful behaviour, and nothing here knows of any other.

use crate::effective::{Effective, Resolution, resolve};
use crate::leading::Round;
use crate::stream::Form;
use crate::world::{Policy, Sidecar, World, WorldStore};
use mesh_api::PolicyConfigStatus;
use std::sync::Arc;

/// Who receives: one stream of one authenticated sidecar.
#[derive(Clone, Debug)]
pub struct Recipient {
    /// The sidecar, as the newest world tells it.
    pub sidecar: Arc<Sidecar>,
    /// Counts the streams of this replica, first = 1.
    pub stream: u64,
    /// The sidecar had a stream before, at this replica or (told by the version it brought) at any.
    pub resumed: bool,
    /// The form in which it is served.
    pub form: Form,
}

/// How traffic finds its endpoints.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Traffic {
    /// The own zone's endpoints come first.
    pub own_zone_first: bool,
    /// Failed requests are tried again elsewhere, failing endpoints are left out, other zones take over.
    pub failover: bool,
    /// Endpoints that were left out since they failed are tried again after some seconds, and never all are left out.
    pub failed_return: bool,
    /// Requests go on in the HTTP in which they came.
    pub http_as_it_came: bool,
    /// Connections to services are shared among their endpoints though nothing is known of what they carry.
    pub bytes_to_endpoints: bool,
    /// Callees' sidecars look at requests before they hand them on.
    pub requests_are_looked_at: bool,
    /// A caller that says nothing for a second may be one that waits for the callee's first word.
    pub silence_is_borne: bool,
}

impl Default for Traffic {
    fn default() -> Self {
        Self {
            own_zone_first: true,
            failover: true,
            failed_return: true,
            http_as_it_came: true,
            bytes_to_endpoints: true,
            requests_are_looked_at: true,
            silence_is_borne: true,
        }
    }
}

/// How sidecars treat each other over TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Security {
    /// What callers look at in the certificates of callees.
    pub callees: CalleeChecks,
    /// A strict callee closes connections in plaintext.
    pub plaintext_is_refused: bool,
    /// A permissive callee takes TLS for the mesh's where the mesh's word is in ALPN, and for the application's elsewhere.
    pub applications_may_speak_tls: bool,
    /// A strict callee closes connections with TLS of applications.
    pub other_tls_is_refused: bool,
    /// Who is not on the list of allowed callers is turned away.
    pub callers_are_restricted: bool,
    /// What callees look at in the certificates of callers.
    pub callers: CallerChecks,
    /// Nothing older than TLS 1.3 is spoken. Otherwise callers offer TLS 1.2 and nothing newer, and callees take it.
    pub newest_tls_alone: bool,
    /// Callers offer for connections of bytes what they offer for requests, and not plaintext.
    pub bytes_over_tls: bool,
}

/// What callers look at in the certificates of callees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CalleeChecks {
    /// It leads to one of the mesh's roots. Where any will do, Envoy does not look at whom it is for, either.
    pub root_is_known: bool,
    /// It carries the identity of the service that is called.
    pub is_who_was_called: bool,
    /// It has not ended.
    pub end_is_to_come: bool,
}

impl Default for CalleeChecks {
    fn default() -> Self {
        Self {
            root_is_known: true,
            is_who_was_called: true,
            end_is_to_come: true,
        }
    }
}

/// What callees look at in the certificates of callers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CallerChecks {
    /// Who shows none is turned away.
    pub one_is_required: bool,
    /// It leads to one of the mesh's roots.
    pub root_is_known: bool,
    /// It is for a SPIFFE ID of the mesh's trust domain.
    pub is_of_the_domain: bool,
    /// It has not ended.
    pub end_is_to_come: bool,
}

impl Default for CallerChecks {
    fn default() -> Self {
        Self {
            one_is_required: true,
            root_is_known: true,
            is_of_the_domain: true,
            end_is_to_come: true,
        }
    }
}

impl Default for Security {
    fn default() -> Self {
        Self {
            callees: CalleeChecks::default(),
            plaintext_is_refused: true,
            applications_may_speak_tls: true,
            other_tls_is_refused: true,
            callers_are_restricted: true,
            callers: CallerChecks::default(),
            newest_tls_alone: true,
            bytes_over_tls: true,
        }
    }
}

/// How streams in the delta form are served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeltaHandling {
    /// What a client brings along is taken for that version of it only, and not for whatever comes later.
    pub versions_count: bool,
    /// What a client rejects it does not hold.
    pub rejections_count: bool,
    /// What there is no more is told as gone.
    pub removals_are_told: bool,
}

impl Default for DeltaHandling {
    fn default() -> Self {
        Self {
            versions_count: true,
            rejections_count: true,
            removals_are_told: true,
        }
    }
}

/// The decisions of the control plane.
pub trait Behaviour: Send + Sync + 'static {
    /// Told once, before anything is served.
    fn attach(&self, _store: &WorldStore) {}

    /// A new world is about to be published.
    fn publish(&self, world: Arc<World>) -> Arc<World> {
        world
    }

    /// Whether a watch of the API server that broke is made again.
    fn watches_again(&self) -> bool {
        true
    }

    /// What there is taken to be from when a watch of the API server breaks until one tells something again.
    fn alone(&self, world: World) -> World {
        world
    }

    /// A round of the election has ended. Nothing but who writes status hangs on it.
    fn campaigned(&self, _round: Round) {}

    /// The world that a recipient's configuration is computed from.
    fn view(&self, world: Arc<World>, _recipient: &Recipient) -> Arc<World> {
        world
    }

    /// What a recipient is to hold.
    fn effective(&self, world: &World, recipient: &Recipient) -> Effective {
        resolve(world, &recipient.sidecar, Resolution::FAITHFUL)
    }

    /// How traffic finds its endpoints.
    fn traffic(&self) -> Traffic {
        Traffic::default()
    }

    /// How sidecars treat each other over TLS.
    fn security(&self) -> Security {
        Security::default()
    }

    /// How streams in the delta form are served.
    fn delta(&self) -> DeltaHandling {
        DeltaHandling::default()
    }

    /// The status of a policy is about to be written.
    fn report(
        &self,
        _world: &World,
        _policy: &Policy,
        status: PolicyConfigStatus,
    ) -> PolicyConfigStatus {
        status
    }
}

/// As designed.
#[derive(Clone, Copy, Debug, Default)]
pub struct Faithful;

impl Behaviour for Faithful {}
