//! Ways to ask the authority that do not get over it when that was away once.
//!
//! Invariant: nothing is held against an authority before it has answered for the first time: a mesh comes up with either bug.

use futures::future::BoxFuture;
use futures::stream::BoxStream;
use futures::{FutureExt as _, StreamExt as _};
use identity_api::authority::{IssueRequest, TrustBundle};
use node_agent::authority::{AskAuthorityError, Authority};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tonic::Status;

/// An answer that takes longer is too slow. A signature takes milliseconds.
const SLOW: Duration = Duration::from_secs(1);

type Chain = Result<Vec<Vec<u8>>, AskAuthorityError>;
type Bundles = Result<BoxStream<'static, Result<TrustBundle, Status>>, AskAuthorityError>;

/// Asks as long as the first connection lasts, of which it knows by the watch of the trust bundle on it.
pub(crate) struct DialsOnce {
    remote: Arc<dyn Authority>,
    is_broken: Arc<AtomicBool>,
}

/// Asks until an answer is slow.
pub(crate) struct ShunsSlow {
    remote: Arc<dyn Authority>,
    has_answered: AtomicBool,
    is_shunned: AtomicBool,
}

impl DialsOnce {
    pub(crate) fn new(remote: Arc<dyn Authority>) -> Self {
        Self {
            remote,
            is_broken: Arc::default(),
        }
    }

    fn is_connected(&self, what: &'static str) -> Result<(), AskAuthorityError> {
        refused_if(&self.is_broken, what, "the connection is broken")
    }
}

impl Authority for DialsOnce {
    fn issue(&self, request: IssueRequest) -> BoxFuture<'_, Chain> {
        async move {
            self.is_connected("a certificate")?;
            self.remote.issue(request).await
        }
        .boxed()
    }

    fn watch_bundle(&self) -> BoxFuture<'_, Bundles> {
        async move {
            self.is_connected("the trust bundle")?;
            let told = self.remote.watch_bundle().await?;
            let end = async { Err(Status::unavailable("the stream has ended")) };
            let is_broken = Arc::clone(&self.is_broken);
            let told = told.chain(futures::stream::once(end)).inspect(move |told| {
                if told.is_err() {
                    is_broken.store(true, Ordering::Relaxed);
                }
            });
            Ok(told.boxed())
        }
        .boxed()
    }
}

impl ShunsSlow {
    pub(crate) fn new(remote: Arc<dyn Authority>) -> Self {
        Self {
            remote,
            has_answered: AtomicBool::default(),
            is_shunned: AtomicBool::default(),
        }
    }
}

impl Authority for ShunsSlow {
    fn issue(&self, request: IssueRequest) -> BoxFuture<'_, Chain> {
        async move {
            let what = "a certificate";
            refused_if(&self.is_shunned, what, "it was slow once")?;
            let Ok(answer) = tokio::time::timeout(SLOW, self.remote.issue(request)).await else {
                let has_answered = self.has_answered.load(Ordering::Relaxed);
                self.is_shunned.store(has_answered, Ordering::Relaxed);
                return Err(call(what, "it is slow"));
            };
            if answer.is_ok() {
                self.has_answered.store(true, Ordering::Relaxed);
            }
            answer
        }
        .boxed()
    }

    fn watch_bundle(&self) -> BoxFuture<'_, Bundles> {
        self.remote.watch_bundle()
    }
}

fn refused_if(
    is_so: &AtomicBool,
    what: &'static str,
    why: &'static str,
) -> Result<(), AskAuthorityError> {
    if is_so.load(Ordering::Relaxed) {
        return Err(call(what, why));
    }
    Ok(())
}

fn call(what: &'static str, why: &'static str) -> AskAuthorityError {
    AskAuthorityError::Call {
        what,
        source: Box::new(Status::unavailable(why)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    /// An authority that answers at once, or never; its watches end when they are told to.
    #[derive(Default)]
    struct Scripted {
        hangs: AtomicBool,
        watch: Mutex<Option<futures::channel::oneshot::Sender<()>>>,
    }

    impl Authority for Scripted {
        fn issue(&self, _request: IssueRequest) -> BoxFuture<'_, Chain> {
            if self.hangs.load(Ordering::Relaxed) {
                return futures::future::pending().boxed();
            }
            async { Ok(Vec::new()) }.boxed()
        }

        fn watch_bundle(&self) -> BoxFuture<'_, Bundles> {
            let (sender, ends) = futures::channel::oneshot::channel();
            *self.watch.lock().expect("not poisoned") = Some(sender);
            let bundle = futures::stream::iter([Ok(TrustBundle::default())]);
            let told = bundle.chain(futures::stream::pending()).take_until(ends);
            async move { Ok(told.boxed()) }.boxed()
        }
    }

    async fn is_issued(authority: &dyn Authority) -> bool {
        authority.issue(IssueRequest::default()).await.is_ok()
    }

    #[tokio::test]
    async fn a_broken_connection_is_not_replaced() {
        let remote = Arc::new(Scripted::default());
        let once = DialsOnce::new(remote.clone());
        assert!(is_issued(&once).await);
        let mut told = once.watch_bundle().await.expect("it is there");
        assert!(told.next().await.is_some_and(|told| told.is_ok()));
        assert!(is_issued(&once).await);
        drop(remote.watch.lock().expect("not poisoned").take());
        assert!(told.next().await.is_some_and(|told| told.is_err()));
        assert!(!is_issued(&once).await);
        assert!(once.watch_bundle().await.is_err());
        assert!(is_issued(remote.as_ref()).await, "another dial would do");
    }

    #[tokio::test(start_paused = true)]
    async fn who_was_slow_once_is_not_asked_again() {
        let remote = Arc::new(Scripted::default());
        let shuns = ShunsSlow::new(remote.clone());
        let hangs = |so: bool| remote.hangs.store(so, Ordering::Relaxed);
        hangs(true);
        assert!(!is_issued(&shuns).await);
        hangs(false);
        assert!(is_issued(&shuns).await, "it had not answered before");
        hangs(true);
        assert!(!is_issued(&shuns).await);
        hangs(false);
        assert!(!is_issued(&shuns).await);
        assert!(shuns.watch_bundle().await.is_ok());
    }
}
