//! A cluster that is kept serves one run after the other.

use crate::baseline::{Baseline, Footprint};
use crate::meshproof::Place;

const NAME: &str = "kept";

/// Takes the cluster down when a test gives up on the way.
struct Kept<'a>(&'a Place);

impl Kept<'_> {
    fn down(&self) -> std::process::Output {
        self.0
            .command(&["cluster", "down", NAME])
            .output()
            .expect("the built binary starts")
    }
}

impl Drop for Kept<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let _ = self.down();
        }
    }
}

#[test]
fn a_kept_cluster_serves_one_run_after_the_other() {
    let place = Place::new();
    let before = Baseline::take(&place.folders);
    let succeeds = |arguments: &[&str]| {
        let output = place
            .command(arguments)
            .output()
            .expect("the built binary starts");
        assert!(
            output.status.success(),
            "{arguments:?}: {}\n{}\n{}",
            output.status,
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
    };
    let kept = Kept(&place);
    succeeds(&["cluster", "up", NAME]);
    succeeds(&["run", "--reuse", NAME, "delivery-scope/everybody"]);
    // The second deployment meets pods of the first. The workload that comes back is younger than both, and must
    // get on with a control plane that has been running since the first.
    succeeds(&["run", "--reuse", NAME, "resilience/workload-killed"]);
    let down = kept.down();
    assert!(
        down.status.success(),
        "{}",
        String::from_utf8_lossy(&down.stderr)
    );
    before.is_restored(
        &place.folders,
        &Footprint::default(),
        "after the end of a kept cluster",
    );
}
