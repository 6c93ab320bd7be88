//! Making a cluster with scripts in the place of kind and its engine.

use super::super::fakes::Fakes;
use super::super::state::{State, list};
use super::*;

fn options(fakes: &Fakes) -> Options {
    Options {
        name: "dev".to_owned(),
        topology: crate::topology::load("one-zone").unwrap(),
        program: fakes.kind(),
        cache: fakes.cache().to_owned(),
        node_image: None,
        keep: Keep::Never,
        diagnostics: None,
        part_of: None,
        images: None,
    }
}

async fn fail_to_bring_up(fakes: &Fakes, options: &Options) -> ClusterError {
    let outcome = bring_up_on(fakes.engine(), options, &mut |_| ()).await;
    outcome.err().expect("no cluster comes up here")
}

#[tokio::test]
async fn a_cluster_of_others_is_left_alone_also_when_it_comes_while_kind_is_called() {
    for hidden in ["", "meshproof-dev\n"] {
        let there: &[&str] = if hidden.is_empty() {
            &["meshproof-dev"]
        } else {
            &[]
        };
        let fakes = Fakes::knowing(there);
        fakes.write("hidden", hidden);
        let error = fail_to_bring_up(&fakes, &options(&fakes)).await;
        assert!(error.hint.unwrap().contains("another"), "{hidden}");
        assert_eq!(fakes.clusters(), ["meshproof-dev"]);
        assert_eq!(list(fakes.cache()), []);
    }
}

#[tokio::test]
async fn what_does_not_come_up_is_removed() {
    let fakes = Fakes::knowing(&["other"]);
    fail_to_bring_up(&fakes, &options(&fakes)).await;
    assert!(fakes.calls().contains("create cluster"));
    assert_eq!(fakes.clusters(), ["other"]);
    assert_eq!(list(fakes.cache()), []);
}

#[tokio::test]
async fn a_dead_cluster_of_ours_that_cannot_be_removed_is_not_forgotten() {
    let fakes = Fakes::knowing(&[]);
    fakes.write("stuck", "");
    let error = fail_to_bring_up(&fakes, &options(&fakes)).await;
    assert!(error.left[0].starts_with("kind cluster meshproof-dev: "));
    assert_eq!(fakes.clusters(), ["meshproof-dev"]);
    let error = fail_to_bring_up(&fakes, &options(&fakes)).await;
    assert!(error.hint.unwrap().contains("meshproof clean"));
    // Nor when the engine is another one now, which knows nothing of it.
    fakes.write("clusters", "");
    fakes.write("id", "two");
    let error = fail_to_bring_up(&fakes, &options(&fakes)).await;
    assert!(chain(&error).contains("it was made with"), "{error:?}");
    let states: Vec<State> = list(fakes.cache())
        .iter()
        .map(|found| found.state)
        .collect();
    assert_eq!(states, [State::Dead]);
}

#[tokio::test]
async fn what_does_not_come_up_stays_to_be_looked_at_where_that_is_asked_for() {
    for keep in [Keep::OnFailure, Keep::Always] {
        let fakes = Fakes::knowing(&[]);
        let kept = Options {
            keep,
            ..options(&fakes)
        };
        let error = fail_to_bring_up(&fakes, &kept).await;
        assert_eq!(error.left, Vec::<String>::new());
        assert_eq!(list(fakes.cache())[0].state, State::Kept);
        assert_eq!(fakes.clusters(), ["meshproof-dev"]);
    }
}
