//! The control plane as a container, deployed as the mesh definition deploys it.

use crate::certificates::Authority;
use crate::kubernetes::Kubernetes;
use crate::session::{self, Session};
use std::time::Duration;
use testcontainers::core::wait::HttpWaitStrategy;
use testcontainers::core::{IntoContainerPort as _, WaitFor};
use testcontainers::runners::AsyncRunner as _;
use testcontainers::{ContainerAsync, GenericImage, ImageExt as _};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _};

/// The port of its admin interface, in its container.
const ADMIN_PORT: u16 = 15014;

/// Where it has its serving certificate.
const TLS: &str = "/etc/control-plane/tls";

/// A replica.
pub struct ControlPlane {
    /// Its container.
    pub container: ContainerAsync<GenericImage>,
    http: reqwest::Client,
}

impl ControlPlane {
    /// Starts one as the mesh deploys it, with its own rights alone, and waits until it is ready.
    ///
    /// # Panics
    ///
    /// When it does not start or does not become ready.
    pub async fn deployed(session: &Session, kubernetes: &Kubernetes) -> (Self, String) {
        kubernetes.apply_rights().await;
        let token = kubernetes.token("control-plane").await;
        let started = Self::start(session, kubernetes, &token, "/readyz").await;
        (started, token)
    }

    /// Starts one that shows this token to the API server, and waits until `path` of its admin interface answers with
    /// 200.
    ///
    /// # Panics
    ///
    /// When it does not start or does not answer so.
    pub async fn start(
        session: &Session,
        kubernetes: &Kubernetes,
        token: &str,
        path: &str,
    ) -> Self {
        let http = session.http();
        let answers = HttpWaitStrategy::new(path)
            .with_client(http.clone())
            .with_port(ADMIN_PORT.tcp())
            .with_expected_status_code(200_u16);
        let image = session
            .image_of_ours("control-plane")
            .await
            .with_exposed_port(ADMIN_PORT.tcp())
            .with_wait_for(WaitFor::http(answers));
        let serving = Authority::new()
            .and_then(|authority| authority.server(&["control-plane.mesh-system.svc"]))
            .expect("a certificate");
        let request = session
            .container(image, "control-plane")
            .with_cap_drop("ALL")
            .with_security_opt("no-new-privileges");
        let request = kubernetes
            .known_to(request, token)
            .with_env_var("POD_NAME", "control-plane-0")
            .with_env_var("CLUSTER_NAME", "component-test")
            .with_copy_to(format!("{TLS}/tls.crt"), serving.certificate.into_bytes())
            .with_copy_to(format!("{TLS}/tls.key"), serving.key.into_bytes());
        let container = request.start().await.expect("start the control plane");
        Self { container, http }
    }

    /// What its admin interface answers: status and text.
    ///
    /// # Errors
    ///
    /// When it does not answer.
    pub async fn answer(&self, path: &str) -> Result<(u16, String), String> {
        session::answer(&self.http, &self.container, ADMIN_PORT, path).await
    }

    /// The value of one of its metrics.
    ///
    /// # Errors
    ///
    /// When the metrics cannot be read or have no such one.
    pub async fn metric(&self, name: &str) -> Result<u64, String> {
        let (status, text) = self.answer("/metrics").await?;
        let line = |line: &str| line.strip_prefix(name)?.trim().parse().ok();
        let value = text.lines().find_map(line);
        value.ok_or_else(|| format!("{status}, without {name}: {text}"))
    }

    /// How often one of its watches has failed.
    ///
    /// # Errors
    ///
    /// As [`metric`](Self::metric).
    pub async fn watch_failures(&self) -> Result<u64, String> {
        self.metric("mesh_control_plane_watch_failures_total").await
    }

    /// Waits for a line of its log that `is_wanted`, from the start of the log, and returns it.
    ///
    /// # Panics
    ///
    /// When there is none within `bound`.
    pub async fn says(
        &self,
        what: &str,
        bound: Duration,
        is_wanted: impl Fn(&str) -> bool,
    ) -> String {
        let mut lines = self.container.stderr(true).lines();
        let mut seen = Vec::new();
        let reading = async {
            while let Ok(Some(line)) = lines.next_line().await {
                if is_wanted(&line) {
                    return Some(line);
                }
                seen.push(line);
            }
            None
        };
        match tokio::time::timeout(bound, reading).await {
            Ok(Some(line)) => line,
            _ => panic!(
                "it does not say {what} within {bound:?}, but:\n{}",
                seen.join("\n")
            ),
        }
    }

    /// Everything that it has said so far.
    ///
    /// # Panics
    ///
    /// When the engine does not give its log.
    pub async fn log(&self) -> String {
        let mut text = String::new();
        let mut log = self.container.stderr(false);
        log.read_to_string(&mut text).await.expect("its log");
        text
    }
}
