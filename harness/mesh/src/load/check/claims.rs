//! What a mesh definition claims must be told, too.

use super::Checker;
use crate::load::Sections;
use crate::template;
use harness_model::capability::Capability;
use harness_model::causes::chain;
use harness_model::protocol::Protocol;

impl Checker<'_> {
    pub(super) fn rotation(&mut self, sections: &Sections) {
        let claimed = sections
            .capabilities
            .as_ref()
            .is_some_and(|capabilities| capabilities.contains(&Capability::Rotation));
        let told = [
            ("rotation", sections.rotation.is_some()),
            (
                "state.roots",
                sections
                    .state
                    .as_ref()
                    .is_none_or(|state| state.roots.is_some()),
            ),
        ];
        for (field, _) in told.iter().filter(|(_, is_told)| claimed && !is_told) {
            self.add(
                &["- rotation"],
                "capabilities",
                format!("`rotation` is claimed, but `{field}` is missing"),
                None,
            );
        }
    }

    pub(super) fn partner_roots(&mut self, sections: &Sections) {
        let mut capabilities = sections.capabilities.iter().flatten();
        let claimed = capabilities.any(|capability| *capability == Capability::PartnerRoots);
        let form = sections.rotation.as_ref();
        if claimed && form.is_none_or(|form| form.partner.is_none()) {
            self.add(
                &["- partner-roots"],
                "capabilities",
                "`partner-roots` is claimed, but `rotation.partner` is missing".to_owned(),
                None,
            );
        }
    }

    pub(super) fn published(&mut self, sections: &Sections) {
        let form = sections.rotation.as_ref();
        let Some(form) = form.and_then(|form| form.published.as_ref()) else {
            return;
        };
        let field = |key: &str| format!("rotation.published.{key}");
        let places = form.namespaces.iter().map(|name| ("namespaces", name));
        let names = [("configMap", &form.config_map), ("key", &form.key)];
        let others = form.others.iter().map(|name| ("others", name));
        for (key, value) in places.chain(others).chain(names) {
            if value.is_empty() || value.trim() != value {
                let message = format!("`{value}` is empty, or has spaces around it");
                self.add(&[&format!("{key}:"), value], &field(key), message, None);
            }
        }
        if form.namespaces.is_empty() {
            let message = "no namespace is named, so nothing is read".to_owned();
            let hint = Some("name those of the mesh, or leave `published` out");
            self.add(&["namespaces:", "[]"], &field("namespaces"), message, hint);
        }
    }

    pub(super) fn identity(&mut self, sections: &Sections) {
        let claimed = sections
            .capabilities
            .as_ref()
            .is_some_and(|capabilities| capabilities.contains(&Capability::Identities));
        let Some(identity) = &sections.identity else {
            if claimed {
                self.add(
                    &["- identities"],
                    "capabilities",
                    "`identities` is claimed, but `identity` is missing".to_owned(),
                    None,
                );
            }
            return;
        };
        let keys = identity.key_service.as_ref();
        let parts = sections.components.iter().flatten();
        let named = [
            (
                "identity.nodeAgent.component",
                &identity.node_agent.component,
            ),
            (
                "identity.authority.component",
                &identity.authority.component,
            ),
        ];
        let of_keys = keys.map(|keys| ("identity.keyService.component", &keys.component));
        for (field, name) in named.into_iter().chain(of_keys) {
            if !parts.clone().any(|part| part.name == *name) {
                let message = format!("`{name}` is none of `components`");
                self.add(&["component:", name], field, message, None);
            }
        }
        let certificates = sections.certificates.as_ref();
        let shown = (
            "identity.authority.certificate",
            &identity.authority.certificate,
        );
        let of_keys = keys.map(|keys| ("identity.keyService.certificate", &keys.certificate));
        for (field, name) in [shown].into_iter().chain(of_keys) {
            let named = certificates.and_then(|all| all.get(name));
            if named.is_none_or(|certificate| certificate.dns_names.is_empty()) {
                let message = format!("`{name}` is none of `certificates`, or has no name");
                self.add(&["certificate:", name], field, message, None);
            }
        }
    }

    pub(super) fn private_socket(&mut self, sections: &Sections) {
        let mut capabilities = sections.capabilities.iter().flatten();
        let claimed = capabilities.any(|capability| *capability == Capability::PrivateSocket);
        if claimed && sections.identity.is_none() {
            self.add(
                &["- private-socket"],
                "capabilities",
                "`private-socket` is claimed, but `identity` is missing".to_owned(),
                None,
            );
        }
    }

    pub(super) fn key_service(&mut self, sections: &Sections) {
        let mut capabilities = sections.capabilities.iter().flatten();
        let claimed = capabilities.any(|capability| *capability == Capability::KeyService);
        let form = sections.identity.as_ref();
        if claimed && form.is_none_or(|form| form.key_service.is_none()) {
            self.add(
                &["capabilities:"],
                "capabilities",
                "`key-service` is claimed, but `identity.keyService` is missing".to_owned(),
                None,
            );
        }
    }

    pub(super) fn audit(&mut self, sections: &Sections) {
        let mut capabilities = sections.capabilities.iter().flatten();
        let claimed = capabilities.any(|capability| *capability == Capability::AuditLog);
        let keys = sections.identity.as_ref();
        let keys = keys.and_then(|form| form.key_service.as_ref());
        let Some(form) = keys.and_then(|keys| keys.audit.as_ref()) else {
            if claimed {
                self.add(
                    &["- audit-log"],
                    "capabilities",
                    "`audit-log` is claimed, but `identity.keyService.audit` is missing".to_owned(),
                    None,
                );
            }
            return;
        };
        for (key, texts) in [("served", &form.served), ("refused", &form.refused)] {
            if texts.iter().all(|text| text.trim().is_empty()) {
                let field = format!("identity.keyService.audit.{key}");
                let message = "without a text every line would do".to_owned();
                self.add(&[&format!("{key}:")], &field, message, None);
            }
        }
    }

    pub(super) fn clients(&mut self, sections: &Sections) {
        let parts = sections.components.iter().flatten();
        for part in parts.clone() {
            let Some(list) = &part.clients else {
                continue;
            };
            let field = |key: &str| format!("components.{}.clients.{key}", part.name);
            for client in list.names.keys() {
                if !parts.clone().any(|part| part.name == *client) {
                    let message = format!("`{client}` is none of `components`");
                    let hint = Some("write `name` of one of `components` before the colon");
                    self.add(&["names:", client], &field("names"), message, hint);
                }
            }
            let names = list.names.values().map(|name| ("names", name));
            let fields = [("configMap", &list.config_map), ("key", &list.key)];
            for (key, value) in names.chain(fields) {
                if value.is_empty() || value.trim() != value {
                    let message = format!("`{value}` is empty, or has spaces around it");
                    let hint =
                        Some("write the name alone: the list is read without spaces around it");
                    self.add(&[&format!("{key}:"), value], &field(key), message, hint);
                }
            }
            if list.names.is_empty() {
                let message = "nobody is named, so nobody can be denied".to_owned();
                let hint = Some("write `names: {CLIENT: its name in the list}`");
                self.add(&["names:", "{}"], &field("names"), message, hint);
            }
            if !list.shown_at.starts_with('/') {
                let message = format!("`{}` is no path", list.shown_at);
                let words = ["shownAt:"];
                self.add(
                    &words,
                    &field("shownAt"),
                    message,
                    Some("for example /clients"),
                );
            }
        }
    }

    pub(super) fn refusals(&mut self, sections: &Sections) {
        for part in sections.components.iter().flatten() {
            let Some(counter) = &part.refusals else {
                continue;
            };
            let field = |key: &str| format!("components.{}.refusals.{key}", part.name);
            let (path, name) = (&counter.shown_at, &counter.counter);
            if !path.starts_with('/') {
                let message = format!("`{path}` is no path");
                let hint = Some("for example /metrics");
                self.add(&["shownAt:", path], &field("shownAt"), message, hint);
            }
            if name.is_empty() || name.contains(char::is_whitespace) {
                let message = format!("`{name}` is empty, or has spaces in it");
                self.add(&["counter:"], &field("counter"), message, None);
            }
        }
    }

    pub(super) fn handshake(&mut self, sections: &Sections) {
        let claims = |capability| {
            let claimed = sections.capabilities.as_ref();
            claimed.is_some_and(|claimed| claimed.contains(&capability))
        };
        if claims(Capability::Handshakes) {
            let told = [
                ("handshake", sections.handshake.is_some()),
                ("identity", sections.identity.is_some()),
                (
                    "state.roots",
                    sections
                        .state
                        .as_ref()
                        .is_none_or(|state| state.roots.is_some()),
                ),
                ("tls` in `capabilities", claims(Capability::Tls)),
            ];
            for (field, _) in told.iter().filter(|(_, is_told)| !is_told) {
                self.add(
                    &["- handshakes"],
                    "capabilities",
                    format!("`handshakes` is claimed, but `{field}` is missing"),
                    None,
                );
            }
        }
        let Some(form) = &sections.handshake else {
            return;
        };
        if let Some(name) = &form.server_name
            && let Err(error) = template::check("handshake.serverName", name)
        {
            let field = "handshake.serverName";
            self.add(&["serverName"], field, chain(&error), None);
        }
        if form.port == 0 {
            self.add(
                &["port: 0"],
                "handshake.port",
                "no sidecar takes anything on port 0".to_owned(),
                None,
            );
        }
        if !(1..=10).contains(&form.shortest_lifetime_s) {
            self.add(
                &["shortestLifetimeS:"],
                "handshake.shortestLifetimeS",
                "not between 1 and 10 seconds: nobody waits for such a certificate to end"
                    .to_owned(),
                None,
            );
        }
    }

    pub(super) fn protocols(&mut self, sections: &Sections) {
        let Some(workloads) = &sections.workloads else {
            return;
        };
        let claims = |capability| {
            let claimed = sections.capabilities.as_ref();
            claimed.is_some_and(|claimed| claimed.contains(&capability))
        };
        for protocol in Protocol::ALL {
            // Who claims more than HTTP/1.1 says where that is spoken, too.
            let (claim, word) = match protocol.takes() {
                None | Some(Capability::Protocols) => (Capability::Protocols, "protocols"),
                Some(Capability::ServerFirst) => (Capability::ServerFirst, "server-first"),
                Some(claim) => (claim, "application-tls"),
            };
            if claims(claim) && !workloads.ports.contains_key(&protocol) {
                self.add(
                    &[&format!("- {word}")],
                    "capabilities",
                    format!(
                        "`{word}` is claimed, but `workloads.ports` has none for {}",
                        protocol.name()
                    ),
                    Some(
                        "for example `ports: {http1: 8080, http2: 8081, grpc: 8081, tcp: 8082, serverFirst: 8083, applicationTls: 8084}`",
                    ),
                );
            }
        }
    }

    pub(super) fn tls(&mut self, sections: &Sections) {
        let claimed = sections
            .capabilities
            .as_ref()
            .is_some_and(|capabilities| capabilities.contains(&Capability::Tls));
        if !claimed {
            return;
        }
        let evidence = sections.evidence.as_ref();
        let told = [
            (
                "state.certificate",
                sections
                    .state
                    .as_ref()
                    .is_none_or(|state| state.certificate.is_some()),
            ),
            // Without it nobody sees who has a list of callers that is meant for others.
            (
                "state.tls",
                sections
                    .state
                    .as_ref()
                    .is_none_or(|state| state.tls.is_some()),
            ),
            (
                "workloads.identity",
                sections
                    .workloads
                    .as_ref()
                    .is_none_or(|workloads| workloads.identity.is_some()),
            ),
            (
                "evidence.tlsHeader",
                evidence.is_some_and(|evidence| evidence.tls_header.is_some()),
            ),
            // Without these nothing is refused for a known reason.
            (
                "evidence.failureHeader",
                evidence.is_some_and(|evidence| evidence.failure_header.is_some()),
            ),
            (
                "evidence.causes",
                evidence.is_some_and(|evidence| !evidence.causes.is_empty()),
            ),
        ];
        for (field, _) in told.iter().filter(|(_, is_told)| !is_told) {
            self.add(
                &["- tls"],
                "capabilities",
                format!("`tls` is claimed, but `{field}` is missing"),
                None,
            );
        }
    }
}
