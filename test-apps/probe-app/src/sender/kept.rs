//! One connection of bytes, or one stream of gRPC, that carries one exchange after another for as long as it is open.
//!
//! Invariant: an exchange has it to itself, and leaves it to the next one only where it was answered.

use probe_api::request::{Answer, RequestResult};
use std::sync::Arc;
use tokio::sync::Mutex;

/// What came of an exchange.
pub(super) type Outcome = Result<Answer, RequestResult>;

/// What can be kept, and how another one is opened.
pub(super) trait Lasting {
    /// What is kept while nothing is under way on it.
    type Open;

    /// Opens one, or says what came of it: who refuses one answers.
    async fn open(&self) -> Result<Self::Open, Outcome>;

    /// The other end has ended it, or says what nobody asked for.
    fn has_ended(open: &mut Self::Open) -> bool;

    /// One exchange. What was kept comes back where there was an answer.
    async fn over(&self, open: Self::Open) -> Result<(Answer, Self::Open), Outcome>;
}

/// Whoever has a clone uses the same one.
#[derive(Debug)]
pub(super) struct Kept<L: Lasting> {
    lasting: L,
    line: Arc<Mutex<Line<L::Open>>>,
}

impl<L: Lasting + Clone> Clone for Kept<L> {
    fn clone(&self) -> Self {
        Self {
            lasting: self.lasting.clone(),
            line: Arc::clone(&self.line),
        }
    }
}

#[derive(Debug)]
struct Line<O> {
    /// How many there have been.
    opened: u64,
    open: Option<O>,
}

impl<L: Lasting> Kept<L> {
    pub(super) fn by(lasting: L) -> Self {
        let line = Line {
            opened: 0,
            open: None,
        };
        Self {
            lasting,
            line: Arc::new(Mutex::new(line)),
        }
    }

    /// Waits for its turn. A request that was sent and not answered is not sent again: nobody can say how far it came.
    pub(super) async fn exchange(&self) -> Outcome {
        let mut line = self.line.lock().await;
        // It stays taken out until the answer has come: an exchange that is given up half-way leaves nothing to the next one.
        let mut kept = line.open.take();
        if kept.as_mut().is_some_and(L::has_ended) {
            kept = None;
        }
        let open = match kept {
            Some(open) => open,
            None => match self.lasting.open().await {
                Ok(open) => {
                    line.opened += 1;
                    open
                }
                Err(outcome) => return outcome,
            },
        };
        match self.lasting.over(open).await {
            Ok((answer, open)) => {
                line.open = Some(open);
                Ok(Answer {
                    connection: Some(line.opened - 1),
                    ..answer
                })
            }
            Err(outcome) => outcome,
        }
    }
}
