//! Seeded bugs of the node agent. Each is one small wrong decision at one of the seams of [`node_agent::behaviour`];
//! everything else is the real thing.
//!
//! Invariant: none of this is in the `node-agent` binary.

mod on_disk;
mod own_word;
mod stand_in;
mod unforgiving;

use identity_api::SpiffeId;
use node_agent::authenticate::{Authenticator, PodClaim};
use node_agent::authority::Authority;
use node_agent::behaviour::{Behaviour, Faithful};
use node_agent::certificate::Identity;
use node_agent::pods::{Pod, Pods};
use node_agent::stream::Form;
use own_word::OwnWord;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tracing::{info, warn};
use unforgiving::{DialsOnce, ShunsSlow};

/// After this part of its life a certificate is renewed too late: by more than a probe may take to tell of it.
const LATE: f64 = 1.5;

/// After this part of its life each certificate is renewed by who draws none at random.
const TOGETHER: f64 = 0.55;

/// One seeded bug.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mutation {
    /// A pod is given the certificate of a pod with another service account, where one is on the node.
    ServesAnother,
    /// A certificate is never renewed.
    NeverRenews,
    /// A renewal that failed is not tried again.
    GivesUp,
    /// A certificate that could not be renewed is taken back: until there is another one, a stand-in is served that nobody trusts.
    Withdraws,
    /// Every certificate is taken back when the agent is told to end, in the same way: until the next agent is there.
    WithdrawsAtEnd,
    /// A renewal that failed is tried again at once, and so on.
    AsksAtOnce,
    /// A certificate is renewed when it has ended.
    RenewsLate,
    /// Every certificate is renewed after the same part of its life.
    RenewsTogether,
    /// A stream ends when the certificate that was sent on it is replaced: whoever wants the new one connects again.
    EndsStreams,
    /// A renewed certificate is not sent to who speaks delta xDS.
    ForgetsDelta,
    /// A socket that an agent left which was killed is not replaced, and nobody reaches the new one.
    LeavesSocket,
    /// A socket that was removed is not made again.
    ForgetsSocket,
    /// A socket that nobody may dial any more is not made again.
    IgnoresMode,
    /// Whoever is on the node may dial the socket.
    OpensSocket,
    /// A certificate is written to the disk before it is served, and not served where that fails.
    NeedsDisk,
    /// The first trust bundle is the only one that is taken.
    KeepsFirstRoots,
    /// A token for the control plane will do, too.
    AnyAudience,
    /// A token of a pod of another node will do, too.
    OtherNodes,
    /// Any token is taken for what it says of itself.
    AnyToken,
    /// A token that has ended is taken for what it says of itself.
    TakesExpired,
    /// The token of a pod that is gone gets what another pod of its account has.
    TakesGone,
    /// A token that is bound to no pod gets what a pod of its account has.
    TakesUnbound,
    /// Once the connection to an authority is broken, none is ever asked again.
    DialsOnce,
    /// Once an authority has kept a pod waiting, none is ever asked again.
    ShunsSlow,
    /// The key of each certificate is in the log.
    LogsKey,
    /// The key of each certificate is on the disk, until that of the next one.
    KeepsKeyOnDisk,
    /// The intermediate that leads from a certificate to a root is not served with it.
    LeavesOutIntermediate,
}

impl Mutation {
    /// All of them.
    pub const ALL: [Self; 27] = [
        Self::ServesAnother,
        Self::NeverRenews,
        Self::GivesUp,
        Self::Withdraws,
        Self::WithdrawsAtEnd,
        Self::AsksAtOnce,
        Self::RenewsLate,
        Self::RenewsTogether,
        Self::EndsStreams,
        Self::ForgetsDelta,
        Self::LeavesSocket,
        Self::ForgetsSocket,
        Self::IgnoresMode,
        Self::OpensSocket,
        Self::NeedsDisk,
        Self::KeepsFirstRoots,
        Self::AnyAudience,
        Self::OtherNodes,
        Self::AnyToken,
        Self::TakesExpired,
        Self::TakesGone,
        Self::TakesUnbound,
        Self::DialsOnce,
        Self::ShunsSlow,
        Self::LogsKey,
        Self::KeepsKeyOnDisk,
        Self::LeavesOutIntermediate,
    ];

    /// As in `MESH_MUTANT`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::ServesAnother => "agent-serves-another",
            Self::NeverRenews => "agent-never-renews",
            Self::GivesUp => "agent-gives-up",
            Self::Withdraws => "agent-withdraws",
            Self::WithdrawsAtEnd => "agent-withdraws-at-end",
            Self::AsksAtOnce => "agent-asks-at-once",
            Self::RenewsLate => "agent-renews-late",
            Self::RenewsTogether => "agent-renews-together",
            Self::EndsStreams => "agent-ends-streams",
            Self::ForgetsDelta => "agent-forgets-delta",
            Self::LeavesSocket => "agent-leaves-socket",
            Self::ForgetsSocket => "agent-forgets-socket",
            Self::IgnoresMode => "agent-ignores-mode",
            Self::OpensSocket => "agent-opens-socket",
            Self::NeedsDisk => "agent-needs-disk",
            Self::KeepsFirstRoots => "agent-keeps-first-roots",
            Self::AnyAudience => "agent-takes-any-audience",
            Self::OtherNodes => "agent-takes-other-nodes",
            Self::AnyToken => "agent-takes-any-token",
            Self::TakesExpired => "agent-takes-expired",
            Self::TakesGone => "agent-takes-gone-pods",
            Self::TakesUnbound => "agent-takes-unbound",
            Self::DialsOnce => "agent-dials-once",
            Self::ShunsSlow => "agent-shuns-slow",
            Self::LogsKey => "agent-logs-key",
            Self::KeepsKeyOnDisk => "agent-keeps-key-on-disk",
            Self::LeavesOutIntermediate => "agent-leaves-out-intermediate",
        }
    }

    /// The mutant of a name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|mutation| mutation.name() == name)
    }

    /// Removes a key from the disk, where an agent that was killed has left one, and when this one ends: on a cluster that is kept,
    /// the next run must not find it.
    pub fn tidy_up(self) {
        if self == Self::KeepsKeyOnDisk
            && let Err(error) = on_disk::forget_key(&on_disk::folder())
        {
            warn!(%error, "no key is removed");
        }
    }
}

impl Behaviour for Mutation {
    fn vouches(&self, reviews: Arc<dyn Authenticator>) -> Arc<dyn Authenticator> {
        match self {
            Self::AnyToken => Arc::new(OwnWord::of_any(reviews)),
            Self::TakesExpired => Arc::new(OwnWord::of_expired(reviews)),
            Self::TakesGone => Arc::new(OwnWord::of_the_gone(reviews)),
            Self::TakesUnbound => Arc::new(OwnWord::of_unbound(reviews)),
            _ => reviews,
        }
    }

    fn may_serve(&self, claim: &PodClaim, node: &str) -> bool {
        *self == Self::OtherNodes || Faithful.may_serve(claim, node)
    }

    fn asks(&self, remote: Arc<dyn Authority>) -> Arc<dyn Authority> {
        match self {
            Self::DialsOnce => Arc::new(DialsOnce::new(remote)),
            Self::ShunsSlow => Arc::new(ShunsSlow::new(remote)),
            _ => remote,
        }
    }

    fn pod_of(&self, claim: &PodClaim, all: &Pods) -> Option<Arc<Pod>> {
        let own = Faithful.pod_of(claim, all);
        if own.is_some() || !matches!(self, Self::TakesGone | Self::TakesUnbound) {
            return own;
        }
        of_account(all, &claim.service_account)?;
        // What the claim tells of, as if it were there.
        Some(Arc::new(Pod {
            namespace: claim.namespace.clone(),
            name: claim.name.clone(),
            uid: claim.uid.clone(),
            service_account: claim.service_account.clone(),
        }))
    }

    fn identity_of(&self, pod: &Arc<Pod>, all: &Pods) -> Arc<Pod> {
        let another = match self {
            Self::ServesAnother => all
                .by_uid
                .values()
                .find(|other| other.service_account != pod.service_account),
            Self::TakesGone | Self::TakesUnbound if !all.by_uid.contains_key(&pod.uid) => {
                of_account(all, &pod.service_account)
            }
            _ => None,
        };
        Arc::clone(another.unwrap_or(pod))
    }

    fn served<'a>(&self, chain: &'a [Vec<u8>]) -> &'a [Vec<u8>] {
        match self {
            Self::LeavesOutIntermediate => chain.get(..1).unwrap_or_default(),
            _ => Faithful.served(chain),
        }
    }

    fn renews(&self) -> bool {
        *self != Self::NeverRenews
    }

    fn renews_after(&self, lifetime: Duration) -> Duration {
        match self {
            Self::RenewsLate => lifetime.mul_f64(LATE),
            Self::RenewsTogether => lifetime.mul_f64(TOGETHER),
            _ => Faithful.renews_after(lifetime),
        }
    }

    fn serves_unrenewed(&self, id: &SpiffeId, held: &Arc<Identity>) -> Arc<Identity> {
        match self {
            Self::Withdraws => taken_back(id, held),
            _ => Faithful.serves_unrenewed(id, held),
        }
    }

    fn serves_last(&self, id: &SpiffeId, held: &Arc<Identity>) -> Arc<Identity> {
        match self {
            Self::WithdrawsAtEnd => taken_back(id, held),
            _ => Faithful.serves_last(id, held),
        }
    }

    fn keeps_streams(&self) -> bool {
        *self != Self::EndsStreams
    }

    fn sends_renewed(&self, form: Form) -> bool {
        *self != Self::ForgetsDelta || form != Form::Delta
    }

    fn asks_again(&self) -> bool {
        *self != Self::GivesUp
    }

    fn backs_off(&self) -> bool {
        *self != Self::AsksAtOnce
    }

    fn replaces_socket(&self) -> bool {
        *self != Self::LeavesSocket
    }

    fn restores_place(&self) -> bool {
        *self != Self::ForgetsSocket
    }

    fn socket_mode(&self, set: u32) -> u32 {
        match self {
            Self::OpensSocket => 0o666,
            _ => Faithful.socket_mode(set),
        }
    }

    fn restores_mode(&self) -> bool {
        *self != Self::IgnoresMode
    }

    fn before_serving(&self, pod: &Pod, identity: &Identity) -> io::Result<()> {
        match self {
            Self::NeedsDisk => on_disk::keep_certificates(&on_disk::folder(), pod, &identity.chain),
            Self::KeepsKeyOnDisk => {
                // It is served from memory all the same.
                if let Err(error) = on_disk::keep_key(&on_disk::folder(), identity.key.pem()) {
                    warn!(%error, "no key is written");
                }
                Ok(())
            }
            Self::LogsKey => {
                log_key(pod, identity.key.pem());
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn follows_bundle(&self) -> bool {
        *self != Self::KeepsFirstRoots
    }

    fn audiences(&self) -> Vec<String> {
        let mut audiences = Faithful.audiences();
        if *self == Self::AnyAudience {
            // What every sidecar has a token for.
            audiences.push("mesh-control-plane".to_owned());
        }
        audiences
    }
}

/// The stand-in for what a pod with this ID holds; what it holds where that is one, or none can be made.
fn taken_back(id: &SpiffeId, held: &Arc<Identity>) -> Arc<Identity> {
    if stand_in::is_one(held) {
        return Arc::clone(held);
    }
    match stand_in::of(id, held) {
        Ok(stand_in) => Arc::new(stand_in),
        Err(error) => {
            warn!(%error, "no certificate is taken back");
            Arc::clone(held)
        }
    }
}

/// Some pod of a service account.
fn of_account<'a>(all: &'a Pods, account: &str) -> Option<&'a Arc<Pod>> {
    let mut pods = all.by_uid.values();
    pods.find(|pod| pod.service_account == account)
}

/// Writes a key (PEM) into the log, as somebody who looks for a mistake may do and forget to take out again.
fn log_key(pod: &Pod, key: &str) {
    info!(pod = pod.name, key, "a certificate is served");
}

#[cfg(test)]
mod tests;
