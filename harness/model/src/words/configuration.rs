//! What a configuration says, and for whom, in words.

use super::{address, named, place};
use crate::configuration::{Configuration, InboundTls, OutboundTls, Rule, Scope, ScopeEntry, Tls};

/// A configuration: its name, what it says, and to whom.
#[must_use]
pub fn configuration(configuration: &Configuration) -> String {
    let mut says: Vec<String> = Vec::new();
    for (key, value) in &configuration.toggles {
        says.push(format!("toggle {key} = {value}"));
    }
    for (name, content) in &configuration.rules {
        says.push(rule(name, content));
    }
    says.extend(configuration.tls.as_ref().map(tls));
    if says.is_empty() {
        says.push("nothing".to_owned());
    }
    let priority = match configuration.priority {
        0 => String::new(),
        n => format!(", with priority {n}"),
    };
    format!(
        "`{}` for {} ({}){priority}",
        configuration.name,
        scope(&configuration.scope),
        says.join("; "),
    )
}

fn tls(tls: &Tls) -> String {
    let inbound = tls.inbound.map(|mode| match mode {
        InboundTls::Plaintext => "takes plaintext only",
        InboundTls::Permissive => "takes TLS and plaintext",
        InboundTls::Strict => "takes TLS only",
    });
    let outbound = tls.outbound.map(|mode| match mode {
        OutboundTls::Plaintext => "calls in plaintext",
        OutboundTls::Permissive => "calls over TLS whoever takes it",
        OutboundTls::Strict => "calls over TLS",
    });
    let allow = tls
        .allow
        .as_ref()
        .map(|applications| match &applications[..] {
            [] => "lets nobody call".to_owned(),
            some => format!("lets {} call", some.join(", ")),
        });
    let says: Vec<String> = [inbound, outbound]
        .into_iter()
        .flatten()
        .map(str::to_owned)
        .chain(allow)
        .collect();
    format!("TLS: {}", says.join(", "))
}

fn rule(name: &str, rule: &Rule) -> String {
    let mut conditions: Vec<String> = Vec::new();
    if let Some(prefix) = &rule.path_prefix {
        conditions.push(format!("path {prefix}…"));
    }
    if let Some(regex) = &rule.path_regex {
        conditions.push(format!("path matching {regex}"));
    }
    for (header, value) in &rule.headers {
        conditions.push(format!("header {header}: {value}"));
    }
    let to: Vec<String> = match rule.to.len() {
        1 => rule.to.keys().cloned().collect(),
        _ => rule.to.iter().map(|(s, w)| format!("{s} {w}")).collect(),
    };
    let mut besides = String::new();
    if let Some(timeout) = rule.timeout_ms {
        besides.push_str(&format!(", within {timeout} ms"));
    }
    if let Some(retry) = &rule.retry {
        besides.push_str(&format!(", tried again {} times", retry.times));
    }
    if let Some(mirror) = &rule.mirror {
        besides.push_str(&format!(", copied to {mirror}"));
    }
    let when = if conditions.is_empty() {
        String::new()
    } else {
        format!(" with {}", conditions.join(" and "))
    };
    format!(
        "rule {name}: {}{when} → {}{besides}",
        rule.service,
        to.join(", ")
    )
}

/// Who receives something.
#[must_use]
pub fn scope(scope: &Scope) -> String {
    if scope.entries.is_empty() {
        return "nobody".to_owned();
    }
    let wanted: Vec<String> = scope.entries.iter().map(entry).collect();
    let mut words = wanted.join(", or ");
    if !scope.except.is_empty() {
        let except: Vec<String> = scope.except.iter().map(entry).collect();
        words.push_str(&format!(", except {}", except.join(" and ")));
    }
    words
}

fn entry(entry: &ScopeEntry) -> String {
    let mut fields: Vec<String> = Vec::new();
    if let Some(application) = &entry.application {
        fields.push(named("application", application));
    }
    if let Some(ip) = &entry.ip {
        fields.push(address(ip));
    }
    if let Some(cluster) = &entry.cluster {
        fields.push(match cluster.strip_prefix("$cluster") {
            Some(number) => format!("cluster {number} of this topology"),
            None => named("cluster", cluster),
        });
    }
    if let Some(data_center) = &entry.data_center {
        fields.push(place(data_center));
    }
    if fields.is_empty() {
        "everybody".to_owned()
    } else {
        fields.join(" in ")
    }
}
