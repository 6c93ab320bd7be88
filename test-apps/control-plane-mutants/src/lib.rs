//! Seeded bugs of the control plane. Each is one small wrong decision at one of the seams of
//! [`control_plane::behaviour`]; everything else is the real thing.
//!
//! Invariant: none of this is in the `control-plane` binary.

mod delivery;
mod delta;
mod history;
mod leak;
mod names;
mod outage;
mod tls;
mod traffic;

pub use names::Mutation;

use control_plane::behaviour::Behaviour;
use delivery::{Join, LiesInStatus, OneZoneDropped, Precedence, ScopeMistake};
use delta::{DeltaMistake, LeakInDelta};
use history::{
    DeleteNotDelivered, ReplicaDoesNotResume, RollbackInexact, StaleAfterUpdate, ZoneKept,
};
use leak::{Leak, LeakedPart, Victims};
use outage::{
    ForgetsWhenAlone, ForgetsWithoutLease, ResumesWithoutEndpoints, ReturnsToNothing,
    StaleAfterHang, StartsEmpty, StopsWatching,
};
use std::sync::Arc;
use tls::{CallersKeepTls, CheckLeftOut, NobodyTakesTls, TlsMistake};
use traffic::{FailoverOff, NeverTakenBack, ProtocolMistake, RuleMistake, ZonePreferenceOff};

/// Makes the behaviour of a mutant. `own_name` is the pod name of this replica.
#[must_use]
pub fn build(mutation: Mutation, own_name: &str) -> Arc<dyn Behaviour> {
    let leak = |victims| Leak::new(victims, LeakedPart::Everything, own_name);
    match mutation {
        Mutation::ScopeIgnored => Arc::new(ScopeMistake::Everything),
        Mutation::ExceptIgnored => Arc::new(ScopeMistake::Exceptions),
        Mutation::ClusterIgnored => Arc::new(ScopeMistake::Clusters),
        Mutation::PrecedenceReversed => Arc::new(Precedence::Reversed),
        Mutation::PrefixPrecedenceWrong => Arc::new(Precedence::ShorterPrefixWins),
        Mutation::ZoneDropped => Arc::new(OneZoneDropped::default()),
        Mutation::StaleAfterUpdate => Arc::new(StaleAfterUpdate::default()),
        Mutation::DeleteNotDelivered => Arc::new(DeleteNotDelivered::default()),
        Mutation::RollbackInexact => Arc::new(RollbackInexact::default()),
        Mutation::JoinMissed => Arc::new(Join::default()),
        Mutation::StatusLies => Arc::new(LiesInStatus),
        Mutation::ReplicaDoesNotResume => Arc::new(ReplicaDoesNotResume::new(own_name)),
        Mutation::StaleAfterHang => Arc::new(StaleAfterHang::new(own_name)),
        Mutation::StartsEmpty => Arc::new(StartsEmpty::new()),
        Mutation::ResumesWithoutEndpoints => Arc::new(ResumesWithoutEndpoints::new()),
        Mutation::StopsWatching => Arc::new(StopsWatching),
        Mutation::ForgetsWhenAlone => Arc::new(ForgetsWhenAlone),
        Mutation::ForgetsWithoutLease => Arc::new(ForgetsWithoutLease::default()),
        Mutation::ReturnsToNothing => Arc::new(ReturnsToNothing::default()),
        Mutation::OneSidecarTooMany => Arc::new(leak(Victims::OnePerPolicy)),
        Mutation::LeakLate => Arc::new(leak(Victims::EverybodyLate)),
        Mutation::LeakOneReplica => Arc::new(leak(Victims::EverybodyOfOneReplica)),
        Mutation::LeakOnReconnect => Arc::new(leak(Victims::WhoeverReconnects)),
        Mutation::LeakRulesOnly => {
            Arc::new(Leak::new(Victims::Everybody, LeakedPart::Rules, own_name))
        }
        Mutation::LeakTogglesOnly => {
            Arc::new(Leak::new(Victims::Everybody, LeakedPart::Toggles, own_name))
        }
        Mutation::ZonePreferenceOff => Arc::new(ZonePreferenceOff),
        Mutation::FailoverOff => Arc::new(FailoverOff::default()),
        Mutation::NeverTakenBack => Arc::new(NeverTakenBack),
        Mutation::HttpDowngraded => Arc::new(ProtocolMistake::Downgraded),
        Mutation::BytesPassBy => Arc::new(ProtocolMistake::BytesPassedBy),
        Mutation::RequestsTakenForBytes => Arc::new(ProtocolMistake::RequestsTakenForBytes),
        Mutation::HeaderRuleForAll => Arc::new(RuleMistake::Headers),
        Mutation::WeightsIgnored => Arc::new(RuleMistake::Weights),
        Mutation::ZoneKept => Arc::new(ZoneKept::default()),
        Mutation::DeltaLeak => Arc::new(LeakInDelta),
        Mutation::DeltaResumeBelieved => Arc::new(DeltaMistake::ResumeBelieved),
        Mutation::DeltaRejectionsIgnored => Arc::new(DeltaMistake::RejectionsIgnored),
        Mutation::DeltaKeepsRemoved => Arc::new(DeltaMistake::RemovalsUntold),
        Mutation::TimeoutIgnored => Arc::new(RuleMistake::Timeout),
        Mutation::RetryIgnored => Arc::new(RuleMistake::Retry),
        Mutation::MirrorIgnored => Arc::new(RuleMistake::Mirror),
        Mutation::TlsForEverybody => Arc::new(TlsMistake::ForEverybody),
        Mutation::CallersStayPlaintext => Arc::new(TlsMistake::CallersStayPlaintext),
        Mutation::CallersKeepTls => Arc::new(CallersKeepTls::default()),
        Mutation::CallersOfferOldTls => Arc::new(CheckLeftOut::NewestTlsAlone),
        Mutation::PermissiveStaysPlaintext => Arc::new(NobodyTakesTls),
        Mutation::BytesStayPlaintext => Arc::new(CheckLeftOut::BytesOverTls),
        Mutation::DirectionsAlike => Arc::new(TlsMistake::DirectionsAlike),
        Mutation::CalleeNotVerified => Arc::new(CheckLeftOut::CalleeVerified),
        Mutation::CalleesOfAnyRoot => Arc::new(CheckLeftOut::CalleesRootKnown),
        Mutation::StrictTakesPlaintext => Arc::new(CheckLeftOut::PlaintextRefused),
        Mutation::CallersNotRestricted => Arc::new(CheckLeftOut::CallersRestricted),
        Mutation::CallersNeedNoCertificate => Arc::new(CheckLeftOut::CertificateRequired),
        Mutation::CallersOfAnyRoot => Arc::new(CheckLeftOut::RootKnown),
        Mutation::CallersOfAnyDomain => Arc::new(CheckLeftOut::DomainKnown),
        Mutation::CallersMayBeExpired => Arc::new(CheckLeftOut::NotExpired),
        Mutation::AnybodyMayBeExpired => Arc::new(CheckLeftOut::NobodyExpired),
        Mutation::ListOneTooMany => Arc::new(TlsMistake::ListOneTooMany),
        Mutation::StrictOneTooMany => Arc::new(TlsMistake::StrictOneTooMany),
        Mutation::PermissiveMatchesAnyTls => Arc::new(CheckLeftOut::WhoseTls),
        Mutation::StrictTakesApplicationTls => Arc::new(CheckLeftOut::OtherTlsRefused),
        Mutation::InspectorWaitsForever => Arc::new(ProtocolMistake::SilenceWaitedFor),
    }
}

#[cfg(test)]
mod tests;
