//! Pods that do not come up while a mesh is deployed: who waits is told of them while that lasts.
//!
//! Invariant: it tells, and ends no wait. Containers are started again because that may help, and what a pod waits for may
//! come as late as the patience allows.

use super::troubles::{not_ready, statuses, words};
use super::until_rolled_out;
use crate::deploy::Progress;
use crate::error::MeshError;
use crate::site::Site;
use k8s_openapi::api::core::v1::{ContainerStatus, Pod};
use std::collections::BTreeSet;
use std::convert::Infallible;
use std::time::Duration;
use tokio::time::{Instant, MissedTickBehavior};

/// Between two looks, and before the first one: most deployments are over by then, and cost the API server nothing.
const LOOK: Duration = Duration::from_secs(5);

/// A container that was started again so often crashes. Once or twice many do, when what they need is not there yet.
const RESTARTS: i32 = 3;

/// Waits as [`until_rolled_out`], and tells once of each pod that does not come up.
pub(crate) async fn until_rolled_out_telling(
    site: &Site,
    patience: Duration,
    progress: Progress<'_>,
) -> Result<(), MeshError> {
    tokio::select! {
        waited = until_rolled_out(site, patience) => waited,
        never = tell(site, progress) => match never {},
    }
}

async fn tell(site: &Site, progress: Progress<'_>) -> Infallible {
    let mut looks = tokio::time::interval_at(Instant::now() + LOOK, LOOK);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut known = Known::default();
    loop {
        looks.tick().await;
        for pod in known.news(&not_ready(site).await) {
            progress(format!("a pod does not come up: {}", words(pod)));
        }
    }
}

/// The UIDs of pods that do not come up.
#[derive(Default)]
struct Known {
    told: BTreeSet<String>,
    /// Had no image at the look before.
    without_image: BTreeSet<String>,
}

impl Known {
    /// Those that were not told of yet: that crash, or that had no image at the look before either, since images may be on
    /// their way to the nodes.
    fn news<'a>(&mut self, pods: &'a [Pod]) -> Vec<&'a Pod> {
        let uid = |pod: &Pod| pod.metadata.uid.clone().unwrap_or_default();
        let lacking = pods.iter().filter(|pod| statuses(pod).any(lacks_image));
        let lacking: BTreeSet<String> = lacking.map(uid).collect();
        let before = std::mem::replace(&mut self.without_image, lacking);
        pods.iter()
            .filter(|pod| {
                let uid = uid(pod);
                let lacks = self.without_image.contains(&uid) && before.contains(&uid);
                (lacks || statuses(pod).any(crashes)) && self.told.insert(uid)
            })
            .collect()
    }
}

/// It was started again and again, is not ready, and does not run just now: one that runs may come up. With what code it ended
/// is all the same: what is to go on must not end.
fn crashes(status: &ContainerStatus) -> bool {
    let state = status.state.as_ref();
    let runs = state.is_some_and(|state| state.running.is_some());
    !status.ready && !runs && status.restart_count >= RESTARTS
}

/// It cannot be given its image for now.
fn lacks_image(status: &ContainerStatus) -> bool {
    let state = status.state.as_ref();
    let waiting = state.and_then(|state| state.waiting.as_ref());
    let reason = waiting.and_then(|waiting| waiting.reason.as_deref());
    reason.is_some_and(|reason| reason.contains("Image"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn pod(name: &str, restarts: i32, state: Value, last_state: Value) -> Pod {
        serde_json::from_value(json!({
            "metadata": {"namespace": "shop", "name": name, "uid": name},
            "spec": {"containers": []},
            "status": {"phase": "Running", "containerStatuses": [{
                "name": "main", "image": "cart:1", "imageID": "", "ready": false, "restartCount": restarts,
                "state": state, "lastState": last_state,
            }]},
        }))
        .expect("it is a pod")
    }

    fn ended(code: i32) -> Value {
        json!({"terminated": {"exitCode": code, "reason": "Error"}})
    }

    fn waiting(reason: &str) -> Value {
        json!({"waiting": {"reason": reason}})
    }

    fn crashing(name: &str, restarts: i32, code: i32) -> Pod {
        pod(name, restarts, waiting("CrashLoopBackOff"), ended(code))
    }

    fn names(news: Vec<&Pod>) -> Vec<String> {
        news.into_iter().map(words).collect()
    }

    #[test]
    fn a_pod_that_crashes_is_told_of_once() {
        let mut known = Known::default();
        let pods = [crashing("cart-1", RESTARTS, 7)];
        let told = "cart-1 Running: main CrashLoopBackOff, ended with 7 before (Error)";
        assert_eq!(names(known.news(&pods)), [told]);
        assert_eq!(names(known.news(&pods)), [""; 0]);
        let another = [crashing("cart-2", RESTARTS, 0), pods[0].clone()];
        let news = names(known.news(&another));
        assert!(
            news.len() == 1 && news[0].starts_with("cart-2 "),
            "{news:?}"
        );
    }

    #[test]
    fn an_init_container_that_crashes_counts_as_well() {
        let mut own = crashing("cart-1", RESTARTS, 7);
        let status = own.status.as_mut().expect("it has a status");
        status.init_container_statuses = status.container_statuses.take();
        assert_eq!(Known::default().news(&[own]).len(), 1);
    }

    #[test]
    fn who_crashes_once_or_twice_or_runs_is_none() {
        for well in [
            crashing("cart-1", RESTARTS - 1, 7),
            pod("cart-1", 0, json!({"running": {}}), json!({})),
            pod("cart-1", RESTARTS, json!({"running": {}}), ended(7)),
        ] {
            let mut known = Known::default();
            let pods = [well];
            for _ in 0..2 {
                assert_eq!(names(known.news(&pods)), [""; 0]);
            }
        }
    }

    #[test]
    fn a_pod_without_an_image_is_told_of_when_it_still_has_none() {
        for reason in ["ErrImagePull", "ImagePullBackOff", "InvalidImageName"] {
            let mut known = Known::default();
            let pods = [pod("cart-1", 0, waiting(reason), json!({}))];
            assert_eq!(names(known.news(&pods)), [""; 0], "it may be on its way");
            let news = names(known.news(&pods));
            assert!(news.len() == 1 && news[0].contains(reason), "{news:?}");
            assert_eq!(names(known.news(&pods)), [""; 0]);
            // One that had none, then had one and now has none again may get it soon.
            let mut known = Known::default();
            for look in [&pods[..], &[], &pods] {
                assert_eq!(names(known.news(look)), [""; 0]);
            }
        }
    }
}
