//! The names of the mutants.

/// One seeded bug.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mutation {
    /// Every policy reaches everybody.
    ScopeIgnored,
    /// Whom `except` names receives it all the same.
    ExceptIgnored,
    /// What an entry says of the cluster is not looked at.
    ClusterIgnored,
    /// The weakest policy wins.
    PrecedenceReversed,
    /// Of two matching blocks the shorter prefix wins.
    PrefixPrecedenceWrong,
    /// The last zone, in order of name, gets nothing new.
    ZoneDropped,
    /// Updates of a policy, or of its scope, are not delivered.
    StaleAfterUpdate,
    /// Deletions are not delivered.
    DeleteNotDelivered,
    /// After an update back to an earlier content one key of the content in between stays.
    RollbackInexact,
    /// A pod that joins after a policy was written gets nothing of it.
    JoinMissed,
    /// The status says that everybody acknowledged.
    StatusLies,
    /// Once another replica is lost, sidecars that come over are served from what was known then.
    ReplicaDoesNotResume,
    /// When another replica hangs, sidecars that come over are served from what was known then.
    StaleAfterHang,
    /// A replica that has just started serves whoever was connected before as if there were no policies.
    StartsEmpty,
    /// A replica that has just started tells whoever was connected before of no endpoints but its own.
    ResumesWithoutEndpoints,
    /// A watch of the API server that broke is not made again.
    StopsWatching,
    /// While a watch of the API server is broken, there are taken to be no policies.
    ForgetsWhenAlone,
    /// While the Lease can be neither read nor written, there are taken to be no policies.
    ForgetsWithoutLease,
    /// A pod that is no endpoint any more is taken to be gone for good.
    ReturnsToNothing,
    /// One sidecar out of scope receives it.
    OneSidecarTooMany,
    /// Everybody receives it two seconds later.
    LeakLate,
    /// Everybody at one replica, the first in order of name, receives it.
    LeakOneReplica,
    /// A sidecar that had a stream before receives everything.
    LeakOnReconnect,
    /// Everybody receives the rules, but not the toggles.
    LeakRulesOnly,
    /// Everybody receives the toggles, but not the rules.
    LeakTogglesOnly,
    /// All zones are alike.
    ZonePreferenceOff,
    /// No retries, no outlier detection, no other zones, and endpoints that are gone stay.
    FailoverOff,
    /// An endpoint that has failed is left out for good.
    NeverTakenBack,
    /// Everything goes out as HTTP/1.1.
    HttpDowngraded,
    /// Connections of bytes go to whatever address they were made to.
    BytesPassBy,
    /// Callees take requests for bytes, and hand them on without a look.
    RequestsTakenForBytes,
    /// A rule's headers are not looked at.
    HeaderRuleForAll,
    /// All destinations of a rule weigh the same.
    WeightsIgnored,
    /// A workload whose pod is scheduled elsewhere is taken to be where it was first.
    ZoneKept,
    /// Whoever speaks delta receives everything.
    DeltaLeak,
    /// What a client that speaks delta brings along when it connects again is never sent to it again.
    DeltaResumeBelieved,
    /// What a client that speaks delta rejects counts as accepted.
    DeltaRejectionsIgnored,
    /// A client that speaks delta is not told that something is there no more.
    DeltaKeepsRemoved,
    /// A rule's timeout is not looked at.
    TimeoutIgnored,
    /// What a rule says of trying again is not looked at.
    RetryIgnored,
    /// No copies are sent.
    MirrorIgnored,
    /// What any policy says of TLS is for everybody.
    TlsForEverybody,
    /// Callers never offer TLS.
    CallersStayPlaintext,
    /// Callers offer TLS still after it was turned off.
    CallersKeepTls,
    /// Callers offer an old version of TLS, and callees take it.
    CallersOfferOldTls,
    /// A permissive caller knows of nobody who takes TLS.
    PermissiveStaysPlaintext,
    /// Callers never offer TLS on connections of bytes.
    BytesStayPlaintext,
    /// Callers offer what they take.
    DirectionsAlike,
    /// A caller takes any callee of the mesh, whoever it called.
    CalleeNotVerified,
    /// A callee's certificate may lead to any root.
    CalleesOfAnyRoot,
    /// A strict callee takes plaintext.
    StrictTakesPlaintext,
    /// The list of allowed callers is not looked at.
    CallersNotRestricted,
    /// A caller that shows no certificate is taken.
    CallersNeedNoCertificate,
    /// A caller's certificate may lead to any root.
    CallersOfAnyRoot,
    /// Callers of any trust domain are taken, and those of none.
    CallersOfAnyDomain,
    /// A caller's certificate may have ended.
    CallersMayBeExpired,
    /// Neither a caller nor a callee looks at whether the other one's certificate has ended.
    AnybodyMayBeExpired,
    /// One sidecar out of scope has the list of allowed callers.
    ListOneTooMany,
    /// One sidecar out of scope that takes TLS beside plaintext takes nothing else.
    StrictOneTooMany,
    /// A permissive callee takes the TLS of applications for that of the mesh.
    PermissiveMatchesAnyTls,
    /// A strict callee takes the TLS of applications.
    StrictTakesApplicationTls,
    /// A sidecar waits for ever for what a caller says first.
    InspectorWaitsForever,
}

impl Mutation {
    /// All of them.
    pub const ALL: [Self; 62] = [
        Self::ScopeIgnored,
        Self::ExceptIgnored,
        Self::ClusterIgnored,
        Self::PrecedenceReversed,
        Self::PrefixPrecedenceWrong,
        Self::ZoneDropped,
        Self::StaleAfterUpdate,
        Self::DeleteNotDelivered,
        Self::RollbackInexact,
        Self::JoinMissed,
        Self::StatusLies,
        Self::ReplicaDoesNotResume,
        Self::StaleAfterHang,
        Self::StartsEmpty,
        Self::ResumesWithoutEndpoints,
        Self::StopsWatching,
        Self::ForgetsWhenAlone,
        Self::ForgetsWithoutLease,
        Self::ReturnsToNothing,
        Self::OneSidecarTooMany,
        Self::LeakLate,
        Self::LeakOneReplica,
        Self::LeakOnReconnect,
        Self::LeakRulesOnly,
        Self::LeakTogglesOnly,
        Self::ZonePreferenceOff,
        Self::FailoverOff,
        Self::NeverTakenBack,
        Self::HttpDowngraded,
        Self::BytesPassBy,
        Self::RequestsTakenForBytes,
        Self::HeaderRuleForAll,
        Self::WeightsIgnored,
        Self::ZoneKept,
        Self::DeltaLeak,
        Self::DeltaResumeBelieved,
        Self::DeltaRejectionsIgnored,
        Self::DeltaKeepsRemoved,
        Self::TimeoutIgnored,
        Self::RetryIgnored,
        Self::MirrorIgnored,
        Self::TlsForEverybody,
        Self::CallersStayPlaintext,
        Self::CallersKeepTls,
        Self::CallersOfferOldTls,
        Self::PermissiveStaysPlaintext,
        Self::BytesStayPlaintext,
        Self::DirectionsAlike,
        Self::CalleeNotVerified,
        Self::CalleesOfAnyRoot,
        Self::StrictTakesPlaintext,
        Self::CallersNotRestricted,
        Self::CallersNeedNoCertificate,
        Self::CallersOfAnyRoot,
        Self::CallersOfAnyDomain,
        Self::CallersMayBeExpired,
        Self::AnybodyMayBeExpired,
        Self::ListOneTooMany,
        Self::StrictOneTooMany,
        Self::PermissiveMatchesAnyTls,
        Self::StrictTakesApplicationTls,
        Self::InspectorWaitsForever,
    ];

    /// As in `MESH_MUTANT`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::ScopeIgnored => "scope-ignored",
            Self::ExceptIgnored => "except-ignored",
            Self::ClusterIgnored => "cluster-ignored",
            Self::PrecedenceReversed => "precedence-reversed",
            Self::PrefixPrecedenceWrong => "prefix-precedence-wrong",
            Self::ZoneDropped => "zone-dropped",
            Self::StaleAfterUpdate => "stale-after-update",
            Self::DeleteNotDelivered => "delete-not-delivered",
            Self::RollbackInexact => "rollback-inexact",
            Self::JoinMissed => "join-missed",
            Self::StatusLies => "status-lies",
            Self::ReplicaDoesNotResume => "replica-does-not-resume",
            Self::StaleAfterHang => "stale-after-hang",
            Self::StartsEmpty => "starts-empty",
            Self::ResumesWithoutEndpoints => "resumes-without-endpoints",
            Self::StopsWatching => "stops-watching",
            Self::ForgetsWhenAlone => "forgets-when-alone",
            Self::ForgetsWithoutLease => "forgets-without-lease",
            Self::ReturnsToNothing => "returns-to-nothing",
            Self::OneSidecarTooMany => "one-sidecar-too-many",
            Self::LeakLate => "leak-late",
            Self::LeakOneReplica => "leak-one-replica",
            Self::LeakOnReconnect => "leak-on-reconnect",
            Self::LeakRulesOnly => "leak-rules-only",
            Self::LeakTogglesOnly => "leak-toggles-only",
            Self::ZonePreferenceOff => "zone-preference-off",
            Self::FailoverOff => "failover-off",
            Self::NeverTakenBack => "never-taken-back",
            Self::HttpDowngraded => "http-downgraded",
            Self::BytesPassBy => "bytes-pass-by",
            Self::RequestsTakenForBytes => "requests-taken-for-bytes",
            Self::HeaderRuleForAll => "header-rule-for-all",
            Self::WeightsIgnored => "weights-ignored",
            Self::ZoneKept => "zone-kept",
            Self::DeltaLeak => "delta-leak",
            Self::DeltaResumeBelieved => "delta-resume-believed",
            Self::DeltaRejectionsIgnored => "delta-rejections-ignored",
            Self::DeltaKeepsRemoved => "delta-keeps-removed",
            Self::TimeoutIgnored => "timeout-ignored",
            Self::RetryIgnored => "retry-ignored",
            Self::MirrorIgnored => "mirror-ignored",
            Self::TlsForEverybody => "tls-for-everybody",
            Self::CallersStayPlaintext => "callers-stay-plaintext",
            Self::CallersKeepTls => "callers-keep-tls",
            Self::CallersOfferOldTls => "callers-offer-old-tls",
            Self::PermissiveStaysPlaintext => "permissive-stays-plaintext",
            Self::BytesStayPlaintext => "bytes-stay-plaintext",
            Self::DirectionsAlike => "directions-alike",
            Self::CalleeNotVerified => "callee-not-verified",
            Self::CalleesOfAnyRoot => "callees-of-any-root",
            Self::StrictTakesPlaintext => "strict-takes-plaintext",
            Self::CallersNotRestricted => "callers-not-restricted",
            Self::CallersNeedNoCertificate => "callers-need-no-certificate",
            Self::CallersOfAnyRoot => "callers-of-any-root",
            Self::CallersOfAnyDomain => "callers-of-any-domain",
            Self::CallersMayBeExpired => "callers-may-be-expired",
            Self::AnybodyMayBeExpired => "anybody-may-be-expired",
            Self::ListOneTooMany => "list-one-too-many",
            Self::StrictOneTooMany => "strict-one-too-many",
            Self::PermissiveMatchesAnyTls => "permissive-matches-any-tls",
            Self::StrictTakesApplicationTls => "strict-takes-application-tls",
            Self::InspectorWaitsForever => "inspector-waits-forever",
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_known_both_ways() {
        for mutation in Mutation::ALL {
            assert_eq!(Mutation::from_name(mutation.name()), Some(mutation));
        }
        assert_eq!(Mutation::from_name(""), None);
    }
}
