//! Service addresses: one nft table that sends them to ready endpoints, replaced as a whole whenever it changes.
//!
//! A change after a while of quiet is applied at once. Those that follow it closely are applied together: while a mesh starts,
//! endpoints become ready one by one, and each time `nft` is started on every node.

use crate::service_table::{ServiceTable, Services};
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::net::Ipv4Addr;
use std::time::Duration;
use tokio::time::{Instant, sleep_until};

/// Name of the table; nothing else in the node's namespace may use it.
const TABLE: &str = "meshproof_services";

/// How long after the last table the next one waits at least. kube-proxy waits for a second (`minSyncPeriod`).
const GATHER: Duration = Duration::from_millis(200);

/// Keeps the rules as the table says, for ever.
pub(crate) async fn keep_applied(services: ServiceTable) {
    keep(services, |rules| async {
        match tokio::task::spawn_blocking(move || harness_kernel::nft::apply(&rules)).await {
            Ok(Ok(())) => return true,
            Ok(Err(error)) => tracing::error!(%error, "service rules not applied"),
            Err(error) => tracing::error!(%error, "service rules not applied"),
        }
        false
    })
    .await;
}

/// Hands the rules to `apply` when they have changed. What it does not apply is handed to it again with the next change.
async fn keep<A: Future<Output = bool>>(
    mut services: ServiceTable,
    mut apply: impl FnMut(String) -> A,
) {
    let mut applied = String::new();
    let mut due = Instant::now();
    loop {
        services.changed().await;
        sleep_until(due).await;
        let wanted = rules(&services.newest());
        if wanted == applied {
            continue;
        }
        if apply(wanted.clone()).await {
            applied = wanted;
        }
        due = Instant::now() + GATHER;
    }
}

/// The whole table in nft's words.
fn rules(services: &Services) -> String {
    let mut chains = String::new();
    let mut served = Vec::new();
    let mut refused = Vec::new();
    let mut hairpins = BTreeSet::new();
    for view in services.0.values() {
        let Some(address) = view.address else {
            continue;
        };
        for port in &view.ports {
            let key = format!("{address} . {} . {}", port.protocol, port.port);
            let targets: Vec<(Ipv4Addr, u16)> = view
                .endpoints
                .iter()
                .filter_map(|endpoint| Some((endpoint.address, *endpoint.ports.get(&port.name)?)))
                .collect();
            if targets.is_empty() {
                refused.push(format!("{key} : goto refuse"));
                continue;
            }
            let chain = format!("service_{}", served.len());
            served.push(format!("{key} : goto {chain}"));
            hairpins.extend(
                targets
                    .iter()
                    .map(|(address, _)| format!("{address} . {address}")),
            );
            let _ = write!(
                chains,
                "  chain {chain} {{\n    meta l4proto {} dnat ip to {}\n  }}\n",
                port.protocol,
                choice(&targets)
            );
        }
    }
    format!(
        "table ip {TABLE} {{\n}}\ndelete table ip {TABLE}\ntable ip {TABLE} {{\n\
         {hairpin_set}{served_map}{refused_map}\
         \x20 chain refuse {{\n    meta l4proto tcp reject with tcp reset\n    reject\n  }}\n{chains}\
         {prerouting}{output}{postrouting}{refuse_forwarded}{refuse_local}}}\n",
        hairpin_set = set("hairpins", "ipv4_addr . ipv4_addr", hairpins),
        served_map = set(
            "services",
            "ipv4_addr . inet_proto . inet_service : verdict",
            served
        ),
        refused_map = set(
            "refused",
            "ipv4_addr . inet_proto . inet_service : verdict",
            refused
        ),
        prerouting = base_chain(
            "prerouting",
            "nat hook prerouting priority dstnat",
            "@services"
        ),
        output = base_chain("from_node", "nat hook output priority -100", "@services"),
        // An endpoint that reaches itself must see somebody else, or it would answer without us.
        postrouting = "  chain postrouting {\n    type nat hook postrouting priority srcnat;\n    \
                       ip saddr . ip daddr @hairpins masquerade\n  }\n",
        refuse_forwarded = base_chain(
            "refuse_forwarded",
            "filter hook forward priority filter",
            "@refused"
        ),
        refuse_local = base_chain(
            "refuse_local",
            "filter hook output priority filter",
            "@refused"
        ),
    )
}

fn choice(targets: &[(Ipv4Addr, u16)]) -> String {
    if let [(address, port)] = targets {
        return format!("{address}:{port}");
    }
    let elements: Vec<String> = targets
        .iter()
        .enumerate()
        .map(|(number, (address, port))| format!("{number} : {address} . {port}"))
        .collect();
    format!(
        "numgen random mod {} map {{ {} }}",
        targets.len(),
        elements.join(", ")
    )
}

/// A set, or a map when the type says so.
fn set(name: &str, kind: &str, elements: impl IntoIterator<Item = String>) -> String {
    let elements: Vec<String> = elements.into_iter().collect();
    let word = if kind.contains(" : ") { "map" } else { "set" };
    let elements = if elements.is_empty() {
        String::new()
    } else {
        format!("    elements = {{ {} }}\n", elements.join(", "))
    };
    format!("  {word} {name} {{\n    type {kind}\n{elements}  }}\n")
}

fn base_chain(name: &str, hook: &str, map: &str) -> String {
    format!(
        "  chain {name} {{\n    type {hook};\n    ip daddr . meta l4proto . th dport vmap {map}\n  }}\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::service_table::{EndpointView, ServicePortView, ServiceView};
    use std::collections::BTreeMap;
    use std::sync::Arc;
    use tokio::sync::mpsc;

    fn table(endpoints: &[u8]) -> Services {
        let view = ServiceView {
            address: Some(Ipv4Addr::new(10, 96, 0, 9)),
            ports: vec![ServicePortView {
                name: "web".to_owned(),
                port: 80,
                ..Default::default()
            }],
            endpoints: endpoints
                .iter()
                .map(|last| EndpointView {
                    address: Ipv4Addr::new(10, 1, 0, *last),
                    ports: BTreeMap::from([("web".to_owned(), 8080)]),
                    ..Default::default()
                })
                .collect(),
            ..Default::default()
        };
        Services(BTreeMap::from([(("n".to_owned(), "s".to_owned()), view)]))
    }

    #[tokio::test(start_paused = true)]
    async fn a_change_is_applied_at_once_and_those_that_follow_it_together() {
        let (sender, services) = ServiceTable::channel();
        let (done, mut applied) = mpsc::unbounded_channel();
        let keeping = keep(services, |rules| {
            let _ = done.send((rules, Instant::now()));
            std::future::ready(true)
        });
        let changes = async {
            let began = Instant::now();
            sender.send_replace(Arc::new(table(&[1])));
            let first = applied.recv().await;
            assert_eq!(first, Some((rules(&table(&[1])), began)));
            sender.send_replace(Arc::new(table(&[1, 2])));
            tokio::task::yield_now().await;
            sender.send_replace(Arc::new(table(&[1, 2, 3])));
            let second = applied.recv().await;
            let both = Some((rules(&table(&[1, 2, 3])), began + GATHER));
            assert_eq!(second, both, "a table for each change, or too late");
            let more = tokio::time::timeout(2 * GATHER, applied.recv()).await;
            assert!(more.is_err(), "nothing has changed since: {more:?}");
        };
        tokio::select! {
            () = keeping => panic!("it keeps for ever"),
            () = changes => {}
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_not_applied_is_handed_over_again_with_the_next_change() {
        let (sender, services) = ServiceTable::channel();
        let (done, mut handed) = mpsc::unbounded_channel();
        let mut works = false;
        let keeping = keep(services, |rules| {
            let _ = done.send(rules);
            std::future::ready(std::mem::replace(&mut works, true))
        });
        let changes = async {
            let wanted = Arc::new(table(&[1]));
            sender.send_replace(Arc::clone(&wanted));
            assert_eq!(handed.recv().await, Some(rules(&wanted)), "it fails");
            sender.send_replace(Arc::clone(&wanted));
            assert_eq!(
                handed.recv().await,
                Some(rules(&wanted)),
                "it was not applied"
            );
            sender.send_replace(wanted);
            let more = tokio::time::timeout(2 * GATHER, handed.recv()).await;
            assert!(more.is_err(), "it was applied: {more:?}");
        };
        tokio::select! {
            () = keeping => panic!("it keeps for ever"),
            () = changes => {}
        }
    }

    #[test]
    fn one_endpoint_needs_no_choice() {
        let text = rules(&table(&[1]));
        assert!(
            text.contains("meta l4proto tcp dnat ip to 10.1.0.1:8080"),
            "{text}"
        );
        assert!(
            text.contains("10.96.0.9 . tcp . 80 : goto service_0"),
            "{text}"
        );
        assert!(
            text.contains("elements = { 10.1.0.1 . 10.1.0.1 }"),
            "{text}"
        );
    }

    #[test]
    fn several_endpoints_are_chosen_among() {
        let text = rules(&table(&[1, 2]));
        let choice = "numgen random mod 2 map { 0 : 10.1.0.1 . 8080, 1 : 10.1.0.2 . 8080 }";
        assert!(text.contains(choice), "{text}");
    }

    #[test]
    fn a_service_without_endpoints_is_refused() {
        let text = rules(&table(&[]));
        assert!(
            text.contains("10.96.0.9 . tcp . 80 : goto refuse"),
            "{text}"
        );
        assert!(!text.contains("service_0"), "{text}");
    }

    #[test]
    fn headless_services_have_no_rules() {
        let mut services = table(&[1]);
        for view in services.0.values_mut() {
            view.address = None;
        }
        assert!(!rules(&services).contains("8080"));
    }
}
