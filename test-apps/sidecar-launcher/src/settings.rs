//! What the pod tells the launcher in environment variables.

use probe_api::launcher::{LAUNCHER_PORT, READY_PORT};
use std::path::PathBuf;

/// The launcher's settings.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// `POD_NAME`.
    pub pod_name: String,
    /// `POD_NAMESPACE`.
    pub pod_namespace: String,
    /// `APPLICATION`.
    pub application: String,
    /// `REGION`, may be empty.
    pub region: String,
    /// `ZONE`, may be empty.
    pub zone: String,
    /// `XDS_ADDRESS`: `host:port` of the control-plane service.
    pub xds_address: String,
    /// `CONTROL_PLANE_NAME`: the name in the control plane's certificate; default the host of `XDS_ADDRESS`.
    pub control_plane_name: String,
    /// `ROOT_FILE`: the root that signed the control plane's certificate.
    pub root_file: PathBuf,
    /// `TOKEN_FILE`: the bound service-account token for the control plane.
    pub token_file: PathBuf,
    /// `SDS_SOCKET`: the node agent's Unix socket, where the mesh has one.
    pub sds_socket: Option<PathBuf>,
    /// `SDS_TOKEN_FILE`: the bound service-account token for the node agent.
    pub sds_token_file: PathBuf,
    /// `XDS_FORM`: the form in which it asks the control plane, `sotw` (the default) or `delta`.
    pub form: XdsForm,
    /// `ENVOY`: the sidecar's binary.
    pub envoy: PathBuf,
    /// `ENVOY_LOG_LEVEL`.
    pub envoy_log_level: String,
    /// `WORK_DIR`: where the bootstrap is written.
    pub folder: PathBuf,
    /// `ADMIN_PORT` of the sidecar.
    pub admin_port: u16,
    /// `RELAY_PORT`: where the sidecar reaches the control plane through the launcher.
    pub relay_port: u16,
    /// `LAUNCHER_LISTEN_PORT`: another than the probe knows where many launchers share a network, as in tests.
    pub launcher_port: u16,
    /// `READY_LISTEN_PORT`: the same for the kubelet.
    pub ready_port: u16,
    /// `DRAIN_SECONDS`: how long requests under way may take after SIGTERM.
    pub drain_seconds: u64,
    /// `OLD_CONNECTIONS_SECONDS`: how long connections that an update has made old (other modes of TLS, say) may still be
    /// used, one at least: Envoy takes whole seconds, and without any it cuts short what is under way.
    pub old_connections_seconds: u64,
}

/// The forms of xDS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum XdsForm {
    /// State of the world: each response has everything of its type.
    StateOfTheWorld,
    /// Delta: each response has what changed.
    Delta,
}

/// A setting is missing or malformed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SettingsError {
    /// A required variable is not set.
    #[error("the environment variable {0} is not set")]
    Missing(&'static str),
    /// The form is none that there is.
    #[error("the environment variable XDS_FORM is `{0}`; it can be `sotw` or `delta`")]
    Form(String),
    /// A variable is no number.
    #[error("the environment variable {name} is `{value}`, which is no number")]
    Number {
        /// Which.
        name: &'static str,
        /// Its value.
        value: String,
    },
}

impl Settings {
    /// Reads the settings; `variable` looks one up.
    pub(crate) fn from_variables(
        variable: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, SettingsError> {
        let text = |name: &str, default: &str| {
            variable(name)
                .filter(|value| !value.is_empty())
                .unwrap_or_else(|| default.to_owned())
        };
        let xds_address = variable("XDS_ADDRESS").ok_or(SettingsError::Missing("XDS_ADDRESS"))?;
        let host = xds_address
            .rsplit_once(':')
            .map_or(xds_address.as_str(), |(host, _)| host)
            .to_owned();
        Ok(Self {
            pod_name: text("POD_NAME", "unknown"),
            pod_namespace: text("POD_NAMESPACE", "default"),
            application: text("APPLICATION", "unknown"),
            region: text("REGION", ""),
            zone: text("ZONE", ""),
            control_plane_name: text("CONTROL_PLANE_NAME", &host),
            xds_address,
            root_file: text("ROOT_FILE", "/etc/mesh/root/root.pem").into(),
            token_file: text("TOKEN_FILE", "/var/run/secrets/mesh/token").into(),
            sds_socket: variable("SDS_SOCKET")
                .filter(|path| !path.is_empty())
                .map(PathBuf::from),
            sds_token_file: text("SDS_TOKEN_FILE", "/var/run/secrets/mesh/node-agent-token").into(),
            form: match text("XDS_FORM", "sotw").as_str() {
                "sotw" => XdsForm::StateOfTheWorld,
                "delta" => XdsForm::Delta,
                other => return Err(SettingsError::Form(other.to_owned())),
            },
            envoy: text("ENVOY", "/usr/bin/envoy").into(),
            envoy_log_level: text("ENVOY_LOG_LEVEL", "warning"),
            folder: text("WORK_DIR", "/run/sidecar").into(),
            admin_port: number("ADMIN_PORT", &variable, 15000)?,
            relay_port: number("RELAY_PORT", &variable, 15011)?,
            launcher_port: number("LAUNCHER_LISTEN_PORT", &variable, LAUNCHER_PORT)?,
            ready_port: number("READY_LISTEN_PORT", &variable, READY_PORT)?,
            drain_seconds: number("DRAIN_SECONDS", &variable, 3)?,
            old_connections_seconds: number("OLD_CONNECTIONS_SECONDS", &variable, 1)?,
        })
    }
}

fn number<T: std::str::FromStr>(
    name: &'static str,
    variable: impl Fn(&str) -> Option<String>,
    default: T,
) -> Result<T, SettingsError> {
    match variable(name) {
        None => Ok(default),
        Some(value) => value
            .parse()
            .map_err(|_| SettingsError::Number { name, value }),
    }
}
