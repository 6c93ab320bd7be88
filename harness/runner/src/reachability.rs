//! Measuring whether packets cross the border of a data center: two probes call each other's control ports, which no
//! sidecar captures.

use crate::environment::Environment;
use futures::future::BoxFuture;
use harness_faults::{Crossing, Reachability, Reached};
use harness_mesh::Workload;
use probe_api::request::{Protocol, RequestBatch, RequestResult, RequestSpec};
use std::collections::BTreeMap;

/// Pods on both sides of a border.
pub(crate) struct AcrossTheBorder<'a> {
    environment: &'a Environment,
}

/// How long one attempt may take. The links of one environment are milliseconds long.
const ATTEMPT_MS: u64 = 500;

impl<'a> AcrossTheBorder<'a> {
    /// Measures with the workloads of `environment`.
    pub(crate) fn new(environment: &'a Environment) -> Self {
        Self { environment }
    }

    async fn reach(&self, from: &Workload, to: &Workload) -> Crossing {
        let batch = RequestBatch {
            request: RequestSpec {
                url: format!(
                    "http://{}:{}{}",
                    to.address.ip,
                    probe_api::CONTROL_PORT,
                    probe_api::paths::HEALTHZ
                ),
                protocol: Protocol::Http1,
                headers: BTreeMap::new(),
                timeout_ms: ATTEMPT_MS,
            },
            count: 1,
            concurrency: 1,
        };
        let outcomes = self
            .environment
            .prober()
            .requests(&from.address, &batch)
            .await;
        match outcomes.as_ref().map(|outcomes| outcomes.first()) {
            Ok(Some(outcome)) => match &outcome.result {
                RequestResult::Answered(_) => Crossing::Reached,
                RequestResult::Failed { kind, message } => Crossing::Blocked(format!(
                    "{} could not reach {}: {kind:?}: {message}",
                    from.sidecar.name, to.sidecar.name
                )),
            },
            Ok(None) => Crossing::Unknown("the probe told no outcome".to_owned()),
            Err(error) => Crossing::Unknown(harness_model::causes::chain(error)),
        }
    }
}

impl Reachability for AcrossTheBorder<'_> {
    fn measure<'a>(&'a self, data_center: &'a str) -> BoxFuture<'a, Reached> {
        Box::pin(async move {
            let workloads = self.environment.watch().workloads();
            let inside = workloads
                .iter()
                .find(|workload| workload.sidecar.data_center == data_center);
            let outside = workloads.iter().find(|workload| {
                workload.sidecar.data_center != data_center
                    && inside
                        .is_some_and(|inside| inside.sidecar.cluster == workload.sidecar.cluster)
            });
            let (Some(inside), Some(outside)) = (inside, outside) else {
                let nobody = || Crossing::Unknown("there is no workload on both sides".to_owned());
                return Reached {
                    outwards: nobody(),
                    inwards: nobody(),
                };
            };
            let (outwards, inwards) =
                tokio::join!(self.reach(inside, outside), self.reach(outside, inside));
            Reached { outwards, inwards }
        })
    }
}
