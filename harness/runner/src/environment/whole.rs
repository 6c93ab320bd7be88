//! Deploying on a cluster that is not whole yet, and waiting for its sidecars.

use super::PrepareError;
use harness_cluster::ClusterError;
use std::future::Future;

/// What is deployed and watched, once the cluster is ready too: a mesh is deployed as soon as an API server serves, what is tested has a
/// whole cluster. On one that does not become ready nothing is the mesh's fault, so that is told first, and ends a deployment
/// that still waits.
pub(super) async fn on_ready<T>(
    ready: impl Future<Output = Result<(), ClusterError>>,
    deployed: impl Future<Output = Result<T, PrepareError>>,
) -> Result<T, PrepareError> {
    let ready = async { ready.await.map_err(PrepareError::Cluster) };
    // How it ended waits for the cluster.
    let deployed = async { Ok::<_, PrepareError>(deployed.await) };
    let ((), deployed) = tokio::try_join!(ready, deployed)?;
    deployed
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::{pending, ready};
    use std::time::Duration;

    fn never_ready() -> ClusterError {
        ClusterError::new("wait until the API server is ready", "a hook hangs")
    }

    fn not_deployed() -> PrepareError {
        PrepareError::Broken("no pod yet".to_owned())
    }

    /// Says so after a while.
    async fn later<T>(word: T) -> T {
        let _ = tokio::time::timeout(Duration::from_secs(1), pending::<()>()).await;
        word
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_is_blamed_on_a_mesh_where_the_cluster_does_not_become_ready() {
        let waits = on_ready(later(Err(never_ready())), pending::<Result<(), _>>()).await;
        assert!(matches!(waits, Err(PrepareError::Cluster(_))), "{waits:?}");
        let failed: Result<(), _> = Err(not_deployed());
        let failed = on_ready(later(Err(never_ready())), ready(failed)).await;
        assert!(
            matches!(failed, Err(PrepareError::Cluster(_))),
            "{failed:?}"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_whole_cluster_leaves_what_became_of_the_deployment() {
        let deployed = on_ready(later(Ok(())), ready(Ok("a mesh"))).await;
        assert_eq!(deployed.ok(), Some("a mesh"));
        let deployed = on_ready(ready(Ok(())), later(Ok("a mesh"))).await;
        assert_eq!(deployed.ok(), Some("a mesh"));
        let failed: Result<(), _> = Err(not_deployed());
        let failed = on_ready(ready(Ok(())), later(failed)).await;
        assert!(matches!(failed, Err(PrepareError::Broken(_))), "{failed:?}");
    }
}
