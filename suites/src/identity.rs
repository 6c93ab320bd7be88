//! Who asks for an identity wrongly gets none, and for the right reason.

use harness_model::asking::{Ask, AuditOutcome, DenialCause, Desk, Token, Wish};
use harness_model::capability::Capability;
use harness_model::duration::Span;
use harness_model::expectation::Expectation;
use harness_model::scenario::{Act, Disturbs, Given, Scenario, Tag};

/// Who asks.
const ASKER: &str = "frontend@$zone1";
/// A workload on another node.
const ELSEWHERE: &str = "checkout@$zone2";
/// No certificate may live for longer than a day. It may begin a minute early, for those whose clocks are behind.
const DAY: u64 = 24 * 3600 + 60;
/// Of the authority a minute is asked, where no request is for more; the same holds for its beginning.
const ASKED: u64 = 60 + 60;

/// The scenarios of this suite.
#[must_use]
pub fn all() -> Vec<Scenario> {
    vec![
        at_the_node_agent(),
        at_the_socket(),
        at_the_authority(),
        expired_tokens(),
        requests(),
        at_the_key_service(),
        key_service_audit(),
    ]
}

/// One attempt and what must come of it.
type Attempt = (&'static str, Token, Wish, Result<(), DenialCause>);

/// An attempt in which nothing but the token may be wrong.
fn plain(name: &'static str, token: Token, outcome: Result<(), DenialCause>) -> Attempt {
    (name, token, Wish::Right, outcome)
}

fn scenario(name: &str, claim: &str, at: Desk, attempts: Vec<Attempt>) -> Scenario {
    let (when, then) = steps(at, attempts);
    Scenario {
        name: format!("identity/{name}"),
        claim: claim.to_owned(),
        tags: vec![Tag::Gate, Tag::Qa],
        requires: vec![Capability::TwoZones, Capability::Identities],
        disturbs: Disturbs::Nothing,
        given: Given::default(),
        when,
        then,
    }
}

fn steps(at: Desk, attempts: Vec<Attempt>) -> (Vec<Act>, Vec<Expectation>) {
    let mut when = Vec::new();
    let mut then = Vec::new();
    for (name, token, wish, outcome) in attempts {
        let ask = name.to_owned();
        when.push(Act::Ask(Ask {
            name: ask.clone(),
            from: ASKER.to_owned(),
            at,
            token,
            wish,
        }));
        then.push(match outcome {
            Ok(()) => Expectation::Granted {
                ask,
                at_most: Span::secs(match (at, wish) {
                    (Desk::Authority, Wish::Right) => ASKED,
                    _ => DAY,
                }),
            },
            Err(because) => Expectation::Denied { ask, because },
        });
    }
    (when, then)
}

fn at_the_node_agent() -> Scenario {
    scenario(
        "node-agent-tokens",
        "a node agent serves a pod of its node by that pod's own token, and nobody by another one",
        Desk::NodeAgent,
        vec![
            plain("right", Token::Right, Ok(())),
            plain("none", Token::None, Err(DenialCause::NoToken)),
            plain("garbage", Token::Garbage, Err(DenialCause::UnknownToken)),
            plain(
                "other-audience",
                Token::OtherAudience,
                Err(DenialCause::OtherAudience),
            ),
            plain("unbound", Token::Unbound, Err(DenialCause::Unbound)),
            plain("gone", Token::Gone, Err(DenialCause::PodGone)),
            plain(
                "of-another-node",
                Token::Of(ELSEWHERE.to_owned()),
                Err(DenialCause::OtherNode),
            ),
        ],
    )
}

/// Nobody in a pod can become another user, so the permissions of the socket are read. That somebody is served there shows that it
/// is the one in use.
fn at_the_socket() -> Scenario {
    let mut scenario = scenario(
        "node-agent-socket",
        "a node agent's socket is for the user that sidecars run as, and lets nobody else on the node dial",
        Desk::NodeAgent,
        vec![
            plain("same-user", Token::Right, Ok(())),
            plain("other-user", Token::OtherUser, Err(DenialCause::OtherUser)),
        ],
    );
    scenario.requires.push(Capability::PrivateSocket);
    scenario
}

fn at_the_authority() -> Scenario {
    scenario(
        "authority-tokens",
        "the authority issues to the agent of a pod's own node, by that agent's own token, and to nobody else",
        Desk::Authority,
        vec![
            plain("right", Token::Right, Ok(())),
            plain("none", Token::None, Err(DenialCause::NoToken)),
            plain("garbage", Token::Garbage, Err(DenialCause::UnknownToken)),
            plain(
                "other-audience",
                Token::OtherAudience,
                Err(DenialCause::OtherAudience),
            ),
            plain("unbound", Token::Unbound, Err(DenialCause::Unbound)),
            plain("gone", Token::Gone, Err(DenialCause::PodGone)),
            plain("no-agent", Token::Own, Err(DenialCause::OtherAccount)),
            plain(
                "of-another-node",
                Token::Of(ELSEWHERE.to_owned()),
                Err(DenialCause::OtherNode),
            ),
        ],
    )
}

/// An API server makes no token for less than ten minutes, so these are signed by the harness. The one that has not ended shows
/// that nothing else is wrong with the one that has.
fn expired_tokens() -> Scenario {
    let mut scenario = scenario(
        "expired-tokens",
        "neither the node agent nor the authority takes a token that has ended, right though it was",
        Desk::NodeAgent,
        vec![
            plain("agent-signed", Token::Signed, Ok(())),
            plain("agent-expired", Token::Expired, Err(DenialCause::Expired)),
        ],
    );
    let (when, then) = steps(
        Desk::Authority,
        vec![
            plain("authority-signed", Token::Signed, Ok(())),
            plain(
                "authority-expired",
                Token::Expired,
                Err(DenialCause::Expired),
            ),
        ],
    );
    scenario.when.extend(when);
    scenario.then.extend(then);
    scenario.requires.push(Capability::TokenSigning);
    // Few clusters leave the key of their tokens to the harness, and a gate is for all of them.
    scenario.tags = vec![Tag::Qa];
    scenario
}

/// What keeps the authority's keys looks at certificates, and TLS ends before anything can be asked: each alert says that there
/// is somebody who wants to see one, and for which reason he goes no further. That the authority still has something signed
/// shows that it is not everybody who is turned away.
fn at_the_key_service() -> Scenario {
    let shown = |name, token, because| (name, token, Wish::Right, Err(because));
    let mut scenario = scenario(
        "key-service",
        "the key service signs for the authority, and turns away who shows no certificate and a workload with its own",
        Desk::KeyService,
        vec![
            shown(
                "without-certificate",
                Token::None,
                DenialCause::NoCertificate,
            ),
            shown("own-certificate", Token::Own, DenialCause::UnknownAuthority),
        ],
    );
    let right = ("through-the-authority", Token::Right, Wish::Right, Ok(()));
    let (when, then) = steps(Desk::Authority, vec![right]);
    scenario.when.extend(when);
    scenario.then.extend(then);
    scenario.requires.push(Capability::KeyService);
    scenario
}

/// By itself, as `outages/key-service-audit` is, which has a call that is refused: not every mesh says where calls are written
/// down, and not everybody may read logs.
fn key_service_audit() -> Scenario {
    let signed = "signed";
    let mut scenario = scenario(
        "key-service-audit",
        "the key service writes down that it has signed for the authority",
        Desk::Authority,
        vec![(signed, Token::Right, Wish::Right, Ok(()))],
    );
    scenario.then.push(Expectation::Audited {
        ask: signed.to_owned(),
        outcome: AuditOutcome::Served,
    });
    scenario.requires.push(Capability::AuditLog);
    scenario
}

fn requests() -> Scenario {
    let asks = |name, wish, outcome| (name, Token::Right, wish, outcome);
    scenario(
        "requests",
        "the authority signs what a pod may be, for as long as is asked and a day at most, and nothing else",
        Desk::Authority,
        vec![
            asks("right", Wish::Right, Ok(())),
            asks("long-life", Wish::LongLife, Ok(())),
            asks("other-name", Wish::OtherName, Err(DenialCause::OtherName)),
            asks("two-names", Wish::TwoNames, Err(DenialCause::OtherName)),
            asks(
                "other-domain",
                Wish::OtherDomain,
                Err(DenialCause::OtherName),
            ),
            asks(
                "other-namespace",
                Wish::OtherNamespace,
                Err(DenialCause::OtherName),
            ),
            asks("tampered", Wish::Tampered, Err(DenialCause::BadSignature)),
            asks("weak-key", Wish::WeakKey, Err(DenialCause::WeakKey)),
            asks("other-curve", Wish::OtherCurve, Err(DenialCause::WeakKey)),
            asks("signer", Wish::Signer, Err(DenialCause::TooMuch)),
        ],
    )
}
