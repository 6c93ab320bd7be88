//! Waiting for what the API server tells while it is away and when it refuses.

use super::*;
use kube::core::Status;
use tokio::time::Instant;

type Looked = Result<Result<(), String>, MeshError>;

const PATIENCE: Duration = Duration::from_secs(10);

/// The API server answers with that status.
fn answered(code: u16) -> Looked {
    let answer = Status::failure("no", "Refused").with_code(code);
    Err(MeshError::api("look", kube::Error::Api(answer.boxed())))
}

/// It does not answer.
fn unanswered() -> Looked {
    let source = kube::Error::Service("connection refused".into());
    Err(MeshError::api("look", source))
}

/// Waits where nothing changes, and each look comes to the next of these.
async fn wait(looks: impl IntoIterator<Item = Looked>) -> Result<(), MeshError> {
    let mut looks = looks.into_iter();
    let nothing_changes = futures::stream::pending().boxed();
    until("it to be there", PATIENCE, nothing_changes, || {
        std::future::ready(looks.next().expect("it is not looked any more"))
    })
    .await
}

#[tokio::test(start_paused = true)]
async fn an_api_server_that_is_away_for_a_while_does_not_end_a_wait() {
    let away = [unanswered(), answered(429), answered(500), answered(503)];
    let back = [Ok(Err("a pod".to_owned())), Ok(Ok(()))];
    wait(away.into_iter().chain(back))
        .await
        .expect("it is there in the end");
}

#[tokio::test(start_paused = true)]
async fn what_an_api_server_refuses_for_good_ends_a_wait_at_once() {
    for code in [403, 404, 410] {
        let start = Instant::now();
        let error = wait([answered(code)]).await.expect_err("it is refused");
        assert!(matches!(error, MeshError::Api { .. }), "{code}: {error}");
        assert_eq!(start.elapsed(), Duration::ZERO, "{code}");
    }
    let error = wait([Err(MeshError::Missing("no such part".to_owned()))]).await;
    assert!(matches!(error, Err(MeshError::Missing(_))), "{error:?}");
}

#[tokio::test(start_paused = true)]
async fn an_api_server_that_stays_away_is_what_was_seen_last() {
    let looks = [Ok(Err("a pod".to_owned()))].into_iter();
    match wait(looks.chain(std::iter::repeat_with(unanswered))).await {
        Err(MeshError::NotReady { seconds, last, .. }) => {
            assert_eq!(seconds, PATIENCE.as_secs());
            assert!(last.starts_with("look: "), "{last}");
            assert!(last.contains("connection refused"), "{last}");
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn a_watch_is_made_again_soon_however_long_the_api_server_was_away() {
    // As a watch tells it: an error for each try, and at last that it works.
    let away = std::iter::repeat_with(|| Err(std::io::Error::other("connection refused")));
    let events = away.take(20).chain(std::iter::once(Ok(())));
    let started = Instant::now();
    let heard = told(futures::stream::iter(events)).next().await;
    assert_eq!(heard, Some(()));
    // A timer may be a millisecond late each time.
    let took = started.elapsed();
    assert!(
        took >= PAUSE * 20 && took < PAUSE * 21,
        "twenty tries, each soon after the other: {took:?}"
    );
}
