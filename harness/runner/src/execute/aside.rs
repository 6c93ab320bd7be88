//! What a scenario does without being busy: others may reconnect meanwhile.

use super::Execution;
use harness_model::asking::Ask;
use std::time::Duration;

impl Execution {
    /// What holds is watched on every stream.
    #[expect(
        clippy::disallowed_methods,
        reason = "the span itself is what the scenario tests: leaks that come late"
    )]
    pub(super) async fn hold(&mut self, span: Duration) {
        self.busy = None;
        tokio::time::sleep(span).await;
        self.be_busy().await;
    }

    /// An agent or the authority is asked, and streams of configurations have no part in that.
    pub(super) async fn ask_aside(&mut self, ask: &Ask) {
        self.busy = None;
        self.ask(ask).await;
        self.be_busy().await;
    }

    /// Goes on; while others reconnect, only after them, where that matters.
    pub(super) async fn be_busy(&mut self) {
        if self.minds_rounds {
            self.busy = Some(self.environment.rendezvous().busy().await);
        }
    }
}
