//! Counting how often the requests of a batch came, where somebody wants to know.

use super::Execution;
use harness_mesh::Workload;
use harness_model::causes::chain;
use harness_model::expectation::Expectation;
use harness_model::history::EventKind;
use harness_model::scenario::Traffic;
use harness_probe::ProbeError;
use probe_api::request::{COUNT_HEADER, RequestSpec};
use std::time::Duration;

/// How often it is asked whether enough came: a copy arrives when nobody waits for it any more.
const LOOK_EVERY: Duration = Duration::from_millis(50);

impl Execution {
    /// Lets the probes count the requests, where an expectation is about it.
    pub(super) fn count_requests(&self, traffic: &Traffic, request: &mut RequestSpec) {
        if self.counted(traffic).next().is_some() {
            let text = self.counted_as(traffic);
            request.headers.insert(COUNT_HEADER.to_owned(), text);
        }
    }

    /// Records how often they came, once it is as often as is expected or the mesh's time for it is over. What comes later
    /// still is not seen.
    pub(super) async fn record_received(&self, traffic: &Traffic) {
        for (application, times) in self.counted(traffic) {
            let wanted = u64::from(traffic.count) * u64::from(times);
            let deadline = self.deadline(self.environment.patience().delivery);
            let mut looks = tokio::time::interval(LOOK_EVERY);
            let counted = loop {
                looks.tick().await;
                match self.received_by(application, traffic).await {
                    Ok(count) if count < wanted && std::time::Instant::now() < deadline => {}
                    told => break told,
                }
            };
            match counted {
                Ok(count) => self.recorder.push(EventKind::Received {
                    traffic: traffic.name.clone(),
                    application: application.to_owned(),
                    count,
                }),
                Err(error) => self.give_up(format!(
                    "how often the requests of `{}` came: {}",
                    traffic.name,
                    chain(&error)
                )),
            }
        }
    }

    async fn received_by(&self, application: &str, traffic: &Traffic) -> Result<u64, ProbeError> {
        let text = self.counted_as(traffic);
        let workloads = self.environment.watch().workloads();
        let of_application = |workload: &&Workload| workload.sidecar.application == application;
        let mut count = 0;
        for workload in workloads.iter().filter(of_application) {
            let prober = self.environment.prober();
            count += prober.received(&workload.address, &text).await?;
        }
        Ok(count)
    }

    /// The applications that an expectation speaks of, and how often each is to get the requests.
    fn counted<'a>(&'a self, traffic: &'a Traffic) -> impl Iterator<Item = (&'a str, u32)> {
        let then = self.script.scenario.then.iter();
        then.filter_map(|expectation| match expectation {
            Expectation::Received {
                traffic: name,
                application,
                times,
            } if *name == traffic.name => Some((application.as_str(), *times)),
            _ => None,
        })
    }

    /// No other scenario's requests are counted under it.
    fn counted_as(&self, traffic: &Traffic) -> String {
        self.keys.key(&traffic.name)
    }
}
