//! Tokens that no API server makes.

use super::Environment;
use harness_cluster::ClusterError;

impl Environment {
    /// A token of a service account of a cluster, signed anew so that it ends at `end_s`, in seconds since the Unix epoch.
    ///
    /// # Errors
    ///
    /// When the key is not ours.
    pub(crate) fn token_ending(
        &self,
        cluster: &str,
        token: &str,
        end_s: i64,
    ) -> Result<String, ClusterError> {
        self.clusters.token_ending(cluster, token, end_s)
    }
}
