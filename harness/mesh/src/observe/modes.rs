//! From a sidecar's filter chains and clusters to how it is set up for TLS.

use crate::definition::TlsForm;
use harness_model::configuration::{InboundTls, OutboundTls};
use harness_model::history::{Guard, TlsSeen};
use probe_api::state::{FilterChain, Sidecar, UpstreamTls};
use std::collections::{BTreeMap, BTreeSet};

/// How a sidecar is set up for TLS. `applications` are SPIFFE ID → application.
pub(super) fn modes(
    form: &TlsForm,
    applications: &BTreeMap<String, String>,
    held: &Sidecar,
) -> TlsSeen {
    TlsSeen {
        inbound: inbound(form, applications, held, false),
        outbound: outbound(form, held, false),
        warming_inbound: inbound(form, applications, held, true),
        warming_outbound: outbound(form, held, true),
    }
}

fn inbound(
    form: &TlsForm,
    applications: &BTreeMap<String, String>,
    held: &Sidecar,
    warming: bool,
) -> BTreeSet<Guard> {
    let mut ports: BTreeMap<Option<u16>, Vec<&FilterChain>> = BTreeMap::new();
    for chain in &held.filter_chains {
        if chain.listener == form.inbound_listener && chain.warming == warming {
            ports.entry(chain.port).or_default().push(chain);
        }
    }
    ports
        .into_values()
        .flat_map(|chains| {
            // Without a chain for plaintext the default chain takes it, which lets everybody in.
            let by_default = chains.iter().all(|chain| chain.terminates_tls);
            let open: Vec<&FilterChain> = chains
                .into_iter()
                .filter(|chain| !is_closed(chain, held))
                .collect();
            let over_tls = open.iter().any(|chain| chain.terminates_tls);
            let otherwise = by_default || open.iter().any(|chain| !chain.terminates_tls);
            let takes = match (over_tls, otherwise) {
                (true, true) => InboundTls::Permissive,
                (true, false) => InboundTls::Strict,
                (false, _) => InboundTls::Plaintext,
            };
            let everybody = by_default.then_some(Guard { takes, allow: None });
            // Who comes in one way is let in as who comes another way, or the sidecar does not do the same everywhere.
            let let_in = open.into_iter().map(move |chain| Guard {
                takes,
                allow: chain.callers.as_ref().map(|callers| {
                    let named = callers
                        .iter()
                        .map(|caller| applications.get(caller).unwrap_or(caller));
                    named.cloned().collect()
                }),
            });
            let_in.chain(everybody)
        })
        .collect()
}

/// Whether a chain only turns away what comes to it: it lets nobody in, and what is behind it leads nowhere. A list of nobody
/// alone is a list of callers.
fn is_closed(chain: &FilterChain, held: &Sidecar) -> bool {
    let lets_nobody_in = chain.callers.as_ref().is_some_and(BTreeSet::is_empty);
    let leads_nowhere = chain
        .bytes_to
        .as_ref()
        .is_some_and(|name| !held.clusters.iter().any(|cluster| cluster.name == *name));
    lets_nobody_in && leads_nowhere
}

fn outbound(form: &TlsForm, held: &Sidecar, warming: bool) -> BTreeSet<OutboundTls> {
    held.clusters
        .iter()
        .filter(|cluster| cluster.warming == warming)
        .filter(|cluster| cluster.name.contains(&form.service_clusters))
        .map(|cluster| match cluster.tls {
            UpstreamTls::Never => OutboundTls::Plaintext,
            UpstreamTls::WhereMatched => OutboundTls::Permissive,
            UpstreamTls::Always => OutboundTls::Strict,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use probe_api::state::Cluster;

    fn form() -> TlsForm {
        TlsForm {
            inbound_listener: "inbound".to_owned(),
            service_clusters: ".shop:".to_owned(),
        }
    }

    fn cluster(name: &str, tls: UpstreamTls) -> Cluster {
        Cluster {
            name: name.to_owned(),
            warming: false,
            tls,
        }
    }

    /// Chains of one port: whether they speak TLS, whom they let in, and where bytes go.
    type Chains<'a> = &'a [(bool, Option<&'a [&'a str]>, Option<&'a str>)];

    fn holding(chains: Chains<'_>) -> Sidecar {
        Sidecar {
            filter_chains: chains
                .iter()
                .map(|(terminates_tls, callers, bytes_to)| FilterChain {
                    listener: "inbound".to_owned(),
                    warming: false,
                    port: Some(8080),
                    terminates_tls: *terminates_tls,
                    callers: callers.map(|all| all.iter().map(|who| (*who).to_owned()).collect()),
                    bytes_to: bytes_to.map(str::to_owned),
                })
                .collect(),
            clusters: vec![cluster("inbound:8080", UpstreamTls::Never)],
            ..Sidecar::default()
        }
    }

    fn seen(held: &Sidecar) -> TlsSeen {
        let applications = [("spiffe://m/a".to_owned(), "a".to_owned())].into();
        modes(&form(), &applications, held)
    }

    fn guard(takes: InboundTls, allow: Option<&[&str]>) -> Guard {
        Guard {
            takes,
            allow: allow.map(|all| all.iter().map(|who| (*who).to_owned()).collect()),
        }
    }

    const OUT: Option<&str> = Some("inbound:8080");
    const NOWHERE: Option<&str> = Some("nowhere");
    const NOBODY: Option<&[&str]> = Some(&[]);
    const OF_A: Option<&[&str]> = Some(&["spiffe://m/a"]);
    const OF_B: Option<&[&str]> = Some(&["spiffe://m/b"]);
    const A: Option<&[&str]> = Some(&["a"]);

    #[test]
    fn who_comes_in_is_told_by_what_chains_do() {
        use InboundTls::{Permissive, Plaintext, Strict};
        type Guards<'a> = &'a [(InboundTls, Option<&'a [&'a str]>)];
        let table: &[(Chains<'_>, Guards<'_>)] = &[
            (&[(false, None, None)], &[(Plaintext, None)]),
            (
                &[(true, None, None), (false, None, OUT)],
                &[(Permissive, None)],
            ),
            (
                &[(true, None, None), (false, NOBODY, NOWHERE)],
                &[(Strict, None)],
            ),
            // Plaintext is left to the default chain.
            (&[(true, None, None)], &[(Permissive, None)]),
            (
                &[(true, OF_A, None)],
                &[(Permissive, None), (Permissive, A)],
            ),
            (
                &[(true, OF_A, None), (false, NOBODY, NOWHERE)],
                &[(Strict, A)],
            ),
            // A list of nobody is no refusal of plaintext.
            (
                &[(true, NOBODY, OUT), (false, NOBODY, OUT)],
                &[(Permissive, NOBODY)],
            ),
            // One way leads around the list.
            (
                &[(true, OF_A, None), (false, None, OUT)],
                &[(Permissive, None), (Permissive, A)],
            ),
            // Who is no application's caller is told as it stands.
            (
                &[(true, OF_B, None), (false, NOBODY, NOWHERE)],
                &[(Strict, OF_B)],
            ),
            (&[(false, NOBODY, NOWHERE)], &[]),
        ];
        for (chains, guards) in table {
            let expected: BTreeSet<Guard> = guards
                .iter()
                .map(|(takes, allow)| guard(*takes, *allow))
                .collect();
            assert_eq!(seen(&holding(chains)).inbound, expected, "{chains:?}");
        }
    }

    #[test]
    fn one_port_that_differs_is_seen() {
        let mut held = holding(&[(false, None, None), (true, None, None)]);
        held.filter_chains[1].port = Some(8081);
        let both = [
            guard(InboundTls::Plaintext, None),
            guard(InboundTls::Permissive, None),
        ];
        assert_eq!(seen(&held).inbound, both.into());
    }

    #[test]
    fn what_warms_and_other_listeners_are_told_apart() {
        let mut held = holding(&[(false, None, None), (true, None, None), (true, None, None)]);
        held.filter_chains[1].warming = true;
        held.filter_chains[2].listener = "outbound".to_owned();
        let told = seen(&held);
        assert_eq!(told.inbound, [guard(InboundTls::Plaintext, None)].into());
        assert_eq!(
            told.warming_inbound,
            [guard(InboundTls::Permissive, None)].into()
        );
    }

    #[test]
    fn what_is_offered_is_told_of_services_alone() {
        let mut warming = cluster("b.shop:80", UpstreamTls::Always);
        warming.warming = true;
        let held = Sidecar {
            clusters: vec![
                cluster("passthrough", UpstreamTls::Never),
                cluster("a.shop:80", UpstreamTls::WhereMatched),
                warming,
            ],
            ..Sidecar::default()
        };
        let told = seen(&held);
        assert_eq!(told.outbound, [OutboundTls::Permissive].into());
        assert_eq!(told.warming_outbound, [OutboundTls::Strict].into());
    }
}
