//! What the pod tells the probe in environment variables.

use probe_api::state::Identity;

/// The probe's settings.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// Who this workload is: `POD_NAME`, `POD_NAMESPACE`, `POD_UID`, `POD_IP`, `NODE_NAME`, `APPLICATION`, `ZONE`.
    pub identity: Identity,
    /// `SPIFFE_ID`: whom the certificate of its own TLS is for, though nobody of the mesh has signed it; none: no workload of a
    /// mesh.
    pub spiffe_id: Option<String>,
    /// `ADMIN`: the sidecar's admin interface, `ip:port`; none when the pod has no sidecar.
    pub admin: Option<String>,
    /// `LAUNCHER`: the launcher's interface, `ip:port`; none when there is none.
    pub launcher: Option<String>,
}

impl Settings {
    /// Reads the settings; `variable` looks one up. Empty counts as not set.
    pub(crate) fn from_variables(variable: impl Fn(&str) -> Option<String>) -> Self {
        let optional = |name: &str| variable(name).filter(|value| !value.is_empty());
        let text = |name: &str| optional(name).unwrap_or_default();
        Self {
            identity: Identity {
                pod: text("POD_NAME"),
                namespace: text("POD_NAMESPACE"),
                pod_uid: text("POD_UID"),
                pod_ip: text("POD_IP"),
                node: text("NODE_NAME"),
                application: text("APPLICATION"),
                zone: text("ZONE"),
            },
            spiffe_id: optional("SPIFFE_ID"),
            admin: optional("ADMIN"),
            launcher: optional("LAUNCHER"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_empty_is_not_set() {
        let said = |id: &str| {
            Settings::from_variables(|name| (name == "SPIFFE_ID").then(|| id.to_owned()))
        };
        let id = "spiffe://mesh/sa/a";
        assert_eq!(said(id).spiffe_id.as_deref(), Some(id));
        assert_eq!(said("").spiffe_id, None);
    }
}
