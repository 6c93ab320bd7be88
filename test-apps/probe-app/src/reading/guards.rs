//! What listeners and clusters are set up to do about TLS and callers, read from what they consist of and not from how they
//! are called.
//!
//! Invariant: a form of rule that is not known here is told as it stands, never left out: whoever compares finds it.

use probe_api::state::{Cluster, FilterChain, UpstreamTls};
use serde_json::Value;
use std::collections::BTreeSet;

/// The transport socket that speaks TLS, by what its configuration is.
const TLS_SOCKET: &str = "envoy.extensions.transport_sockets.tls.v3.";
/// Who may use a connection.
const CONNECTION_ACCESS: &str = "envoy.extensions.filters.network.rbac.v3.RBAC";
/// Who may send a request.
const REQUEST_ACCESS: &str = "envoy.extensions.filters.http.rbac.v3.RBAC";
/// Passes bytes on.
const TCP_PROXY: &str = "envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy";
/// Takes requests.
const HTTP: &str =
    "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager";

/// The filter chains of one listener. What is left to its default chain is no part of them.
pub(super) fn chains(listener: &Value, warming: bool) -> impl Iterator<Item = FilterChain> {
    let name = text(&listener["name"]);
    items(&listener["filter_chains"]).map(move |chain| {
        let matches = &chain["filter_chain_match"];
        let filters: Vec<&Value> = items(&chain["filters"])
            .map(|filter| &filter["typed_config"])
            .collect();
        let of = |kind: &'static str| filters.iter().filter(move |filter| is(filter, kind));
        let connections = of(CONNECTION_ACCESS).filter_map(|filter| callers(filter));
        let requests = of(HTTP)
            .flat_map(|http| items(&http["http_filters"]))
            .filter(|filter| filter["disabled"] != Value::Bool(true))
            .map(|filter| &filter["typed_config"])
            .filter(|filter| is(filter, REQUEST_ACCESS))
            .filter_map(callers);
        FilterChain {
            listener: name.clone(),
            warming,
            port: matches["destination_port"]
                .as_u64()
                .and_then(|port| u16::try_from(port).ok()),
            terminates_tls: is_tls(&chain["transport_socket"]),
            callers: connections
                .chain(requests)
                .reduce(Callers::and)
                .map(Callers::told),
            bytes_to: of(TCP_PROXY).map(|proxy| text(&proxy["cluster"])).next(),
        }
    })
}

/// What one cluster offers to its endpoints.
pub(super) fn cluster(cluster: &Value, warming: bool) -> Cluster {
    let matched = items(&cluster["transport_socket_matches"]);
    let matched: Vec<bool> = matched
        .map(|entry| is_tls(&entry["transport_socket"]))
        .collect();
    let otherwise = is_tls(&cluster["transport_socket"]);
    let mut all = matched.into_iter().chain([otherwise]);
    let tls = if all.clone().all(|tls| tls) {
        UpstreamTls::Always
    } else if all.any(|tls| tls) {
        UpstreamTls::WhereMatched
    } else {
        UpstreamTls::Never
    };
    Cluster {
        name: text(&cluster["name"]),
        warming,
        tls,
    }
}

/// Whom the rules of a filter let in.
#[derive(Default)]
struct Callers {
    /// The names in their certificates.
    names: BTreeSet<String>,
    /// Rules of another form, as they stand.
    others: BTreeSet<String>,
}

impl Callers {
    fn of_another_form(rules: &Value) -> Self {
        Self {
            others: [rules.to_string()].into(),
            ..Self::default()
        }
    }

    /// Who must be on two lists is on both of them. Whom a rule of another form lets in nobody knows, so it stays.
    fn and(self, more: Self) -> Self {
        Self {
            names: self.names.intersection(&more.names).cloned().collect(),
            others: self.others.into_iter().chain(more.others).collect(),
        }
    }

    fn told(self) -> BTreeSet<String> {
        self.names.into_iter().chain(self.others).collect()
    }
}

/// Whom the rules of a filter let in; none where it has no rules, which lets everybody in.
fn callers(filter: &Value) -> Option<Callers> {
    if filter.get("matcher").is_some() {
        return Some(Callers::of_another_form(filter));
    }
    let rules = filter.get("rules")?;
    // What is the default is not shown.
    let allows = matches!(rules["action"].as_str(), None | Some("ALLOW"));
    if !allows {
        return Some(Callers::of_another_form(rules));
    }
    let policies = rules["policies"].as_object().into_iter().flatten();
    let mut callers = Callers::default();
    for (_, policy) in policies {
        match named(policy) {
            Some(names) => callers.names.extend(names),
            None => {
                callers.others.insert(policy.to_string());
            }
        }
    }
    Some(callers)
}

/// The names that a policy lets in, whatever they ask for; none where it is of another form.
fn named(policy: &Value) -> Option<Vec<String>> {
    let is_plain = policy["permissions"] == serde_json::json!([{ "any": true }])
        && policy.as_object().is_some_and(|fields| fields.len() == 2);
    if !is_plain {
        return None;
    }
    items(&policy["principals"])
        .map(|principal| {
            let name = principal.pointer("/authenticated/principal_name")?;
            let is_whole = name.as_object().is_some_and(|fields| fields.len() == 1);
            let exact = name["exact"].as_str().filter(|_| is_whole)?;
            Some(exact.to_owned())
        })
        .collect()
}

fn is_tls(socket: &Value) -> bool {
    let kind = socket
        .pointer("/typed_config/@type")
        .and_then(Value::as_str);
    kind.is_some_and(|kind| kind.contains(TLS_SOCKET))
}

fn is(configuration: &Value, kind: &str) -> bool {
    let told = configuration["@type"].as_str().unwrap_or_default();
    told.rsplit('/').next() == Some(kind)
}

fn items(list: &Value) -> impl Iterator<Item = &Value> {
    list.as_array().into_iter().flatten()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn socket(kind: &str) -> Value {
        json!({
            "name": "any",
            "typed_config": {
                "@type": format!("type.googleapis.com/envoy.extensions.transport_sockets.{kind}"),
            },
        })
    }

    fn tls() -> Value {
        socket("tls.v3.DownstreamTlsContext")
    }

    fn access(kind: &str, rules: &Value) -> Value {
        json!({ "name": "any", "typed_config": {
            "@type": format!("type.googleapis.com/{kind}"), "rules": rules,
        } })
    }

    fn of(names: &[&str]) -> Value {
        let principals: Vec<Value> = names
            .iter()
            .map(|name| json!({ "authenticated": { "principal_name": { "exact": name } } }))
            .collect();
        json!({ "policies": { "p": {
            "permissions": [{ "any": true }], "principals": principals,
        } } })
    }

    fn only(chain: Value) -> FilterChain {
        let listener = json!({ "name": "inbound", "filter_chains": [chain] });
        let mut chains = chains(&listener, false);
        let only = chains.next().expect("one chain");
        assert_eq!(chains.next(), None);
        only
    }

    fn names(chain: &FilterChain) -> Option<Vec<&str>> {
        let callers = chain.callers.as_ref()?;
        Some(callers.iter().map(String::as_str).collect())
    }

    #[test]
    fn a_chain_without_rules_is_for_everybody() {
        let chain = only(json!({
            "filter_chain_match": { "destination_port": 8080 },
            "filters": [access(TCP_PROXY, &json!({}))],
        }));
        assert_eq!((chain.port, chain.terminates_tls), (Some(8080), false));
        assert_eq!(names(&chain), None);
        assert!(only(json!({ "transport_socket": tls() })).terminates_tls);
        let plain = socket("raw_buffer.v3.RawBuffer");
        assert!(!only(json!({ "transport_socket": plain })).terminates_tls);
    }

    #[test]
    fn callers_are_those_of_every_list() {
        let http = |rules: &Value| {
            json!({ "name": "any", "typed_config": {
                "@type": format!("type.googleapis.com/{HTTP}"),
                "http_filters": [access(REQUEST_ACCESS, rules), { "name": "router" }],
            } })
        };
        let chain = only(json!({ "filters": [http(&of(&["a", "b"]))] }));
        assert_eq!(names(&chain), Some(vec!["a", "b"]));
        let both = [
            access(CONNECTION_ACCESS, &of(&["b", "c"])),
            http(&of(&["a", "b"])),
        ];
        assert_eq!(names(&only(json!({ "filters": both }))), Some(vec!["b"]));
        let without = json!({ "typed_config": { "@type": format!("x/{CONNECTION_ACCESS}") } });
        assert_eq!(names(&only(json!({ "filters": [without] }))), None);
        // No policy lets nobody in.
        let nobody = only(json!({ "filters": [
            access(CONNECTION_ACCESS, &json!({})),
            { "typed_config": { "@type": format!("x/{TCP_PROXY}"), "cluster": "nowhere" } },
        ] }));
        assert_eq!(names(&nobody), Some(vec![]));
        assert_eq!(nobody.bytes_to.as_deref(), Some("nowhere"));
    }

    #[test]
    fn a_rule_of_another_form_is_told_as_it_stands() {
        let told = |rules: &Value| {
            let chain = only(json!({ "filters": [access(CONNECTION_ACCESS, rules)] }));
            names(&chain).expect("rules").join("")
        };
        let mut denying = of(&["a"]);
        denying["action"] = json!("DENY");
        assert!(told(&denying).contains("DENY"));
        let mut narrow = of(&["a"]);
        narrow["policies"]["p"]["permissions"] = json!([{ "destination_port": 1 }]);
        assert!(told(&narrow).contains("destination_port"));
        let mut conditional = of(&["a"]);
        conditional["policies"]["p"]["condition"] = json!({});
        assert!(told(&conditional).contains("condition"));
        let mut anybody = of(&["a"]);
        anybody["policies"]["p"]["principals"] = json!([{ "any": true }]);
        assert!(told(&anybody).contains("any"));
    }

    #[test]
    fn a_rule_of_another_form_is_told_beside_another_list_too() {
        let mut anybody = of(&["a"]);
        anybody["policies"]["p"]["principals"] = json!([{ "any": true }]);
        let chain = only(json!({ "filters": [
            access(CONNECTION_ACCESS, &anybody),
            access(CONNECTION_ACCESS, &of(&["a"])),
        ] }));
        assert!(names(&chain).expect("rules").join("").contains("any"));
    }

    #[test]
    fn a_filter_that_is_switched_off_restricts_nobody() {
        let mut off = access(REQUEST_ACCESS, &of(&["a"]));
        off["disabled"] = json!(true);
        let http = json!({ "name": "any", "typed_config": {
            "@type": format!("type.googleapis.com/{HTTP}"), "http_filters": [off],
        } });
        assert_eq!(names(&only(json!({ "filters": [http] }))), None);
    }

    #[test]
    fn clusters_offer_tls_to_all_to_some_or_to_none() {
        let tls = socket("tls.v3.UpstreamTlsContext");
        let offers = |fields: Value| cluster(&fields, false).tls;
        assert_eq!(offers(json!({ "name": "a" })), UpstreamTls::Never);
        assert_eq!(
            offers(json!({ "transport_socket": tls })),
            UpstreamTls::Always
        );
        let matched = json!([{ "name": "m", "transport_socket": tls }]);
        assert_eq!(
            offers(json!({ "transport_socket_matches": matched })),
            UpstreamTls::WhereMatched
        );
        assert_eq!(
            offers(json!({ "transport_socket": tls, "transport_socket_matches": matched })),
            UpstreamTls::Always
        );
        // One match leads around it.
        let plain = json!([{ "name": "m", "transport_socket": socket("raw_buffer.v3.RawBuffer") }]);
        assert_eq!(
            offers(json!({ "transport_socket": tls, "transport_socket_matches": plain })),
            UpstreamTls::WhereMatched
        );
    }
}
