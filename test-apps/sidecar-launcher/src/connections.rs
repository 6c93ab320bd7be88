//! What the sidecar says of connections that it passes on as bytes: lines of JSON on its standard output.
//!
//! Invariant: only the last [`KEPT`] connections are remembered, and a new one takes the place of an older one with its
//! address.

use probe_api::launcher::{CONNECTION_ENDED, ConnectionTold};
use std::collections::{BTreeMap, VecDeque};
use std::io::Write;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::sync::watch;
use tokio::time::timeout;

/// More connections than these are forgotten, the oldest first.
const KEPT: usize = 1024;

/// The connections that the sidecar spoke of last.
#[derive(Debug, Default)]
pub(crate) struct Connections {
    known: Mutex<Known>,
    /// Counts what was said.
    said: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct Known {
    by_application: BTreeMap<String, Entry>,
    /// Their order.
    order: VecDeque<String>,
}

#[derive(Debug)]
struct Entry {
    told: ConnectionTold,
    /// How much had been said before.
    after: u64,
}

impl Entry {
    fn is_of_the_past(&self) -> bool {
        self.told.moment == CONNECTION_ENDED
    }
}

impl Connections {
    /// What is known of a connection, at the latest when the time is over. With `ended` only its last word counts. Without,
    /// who asks has it open: a connection that ended before the question had the same address earlier.
    pub(crate) async fn told(
        &self,
        application: &str,
        ended: bool,
        patience: Duration,
    ) -> Option<ConnectionTold> {
        let mut said = self.said.subscribe();
        let asked = *said.borrow_and_update();
        let is_meant = |entry: &Entry| entry.is_of_the_past() == ended || entry.after >= asked;
        let is_known = async {
            while self.get(application, is_meant).is_none() {
                if said.changed().await.is_err() {
                    return;
                }
            }
        };
        let _ = timeout(patience, is_known).await;
        // Of one whose end does not come what there is.
        self.get(application, |entry| ended || is_meant(entry))
    }

    fn get(&self, application: &str, is_meant: impl Fn(&Entry) -> bool) -> Option<ConnectionTold> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let entry = known.by_application.get(application)?;
        is_meant(entry).then(|| entry.told.clone())
    }

    fn note(&self, told: ConnectionTold) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let after = *self.said.borrow();
        let Known {
            by_application,
            order,
        } = &mut *known;
        match by_application.get_mut(&told.application) {
            // The last word adds to what was said before; of another connection nothing stays.
            Some(earlier) if told.moment == CONNECTION_ENDED && !earlier.is_of_the_past() => {
                earlier.told.moment = told.moment;
                earlier.told.says.extend(told.says);
                earlier.after = after;
            }
            Some(earlier) => *earlier = Entry { told, after },
            None => {
                order.push_back(told.application.clone());
                by_application.insert(told.application.clone(), Entry { told, after });
            }
        }
        while order.len() > KEPT {
            if let Some(oldest) = order.pop_front() {
                by_application.remove(&oldest);
            }
        }
        self.said.send_modify(|count| *count += 1);
    }
}

/// Takes in what the sidecar says until it ends; whatever is no such line is passed on.
pub(crate) async fn listen(output: impl AsyncRead + Unpin, connections: Arc<Connections>) {
    let mut lines = BufReader::new(output).lines();
    loop {
        match lines.next_line().await {
            Ok(Some(line)) => match serde_json::from_str(&line) {
                Ok(told) => connections.note(told),
                // A log that cannot be written must not end the sidecar.
                Err(_) => drop(writeln!(std::io::stdout().lock(), "{line}")),
            },
            Ok(None) => return,
            Err(error) => {
                tracing::warn!(%error, "the sidecar's output could not be read to its end");
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn heard(lines: &str) -> Arc<Connections> {
        let connections = Arc::new(Connections::default());
        listen(lines.as_bytes(), Arc::clone(&connections)).await;
        connections
    }

    #[tokio::test(start_paused = true)]
    async fn the_last_word_adds_to_the_first_and_a_new_connection_starts_anew() {
        let connections = heard(
            "no JSON\n\
             {\"application\":\"a:1\",\"moment\":\"TcpUpstreamConnected\",\"says\":{\"x\":\"1\"}}\n",
        )
        .await;
        let told = |ended| connections.told("a:1", ended, Duration::from_secs(1));
        assert_eq!(told(false).await.expect("known").says["x"], "1");
        // The end has not come: what there is comes when the time is over.
        assert_eq!(told(true).await.expect("known").says.len(), 1);
        let end = ConnectionTold {
            application: "a:1".to_owned(),
            moment: CONNECTION_ENDED.to_owned(),
            says: [("y".to_owned(), "2".to_owned())].into(),
        };
        connections.note(end.clone());
        assert_eq!(told(true).await.expect("known").says.len(), 2);
        connections.note(end);
        assert_eq!(told(true).await.expect("known").says.len(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn of_an_open_connection_nothing_is_told_that_an_earlier_one_with_its_address_was() {
        let say = |moment: &str, value: &str| ConnectionTold {
            application: "a:1".to_owned(),
            moment: moment.to_owned(),
            says: [("x".to_owned(), value.to_owned())].into(),
        };
        let connections = Arc::new(Connections::default());
        connections.note(say("TcpUpstreamConnected", "earlier"));
        connections.note(say(CONNECTION_ENDED, "earlier"));
        let ask = || {
            let connections = Arc::clone(&connections);
            async move { connections.told("a:1", false, Duration::from_secs(1)).await }
        };
        assert_eq!(ask().await, None);
        let asked = tokio::spawn(ask());
        tokio::task::yield_now().await;
        connections.note(say("TcpUpstreamConnected", "now"));
        let told = asked.await.expect("no panic").expect("known");
        assert_eq!(told.says["x"], "now");
        // One that ends while it is asked for is the one that is meant.
        connections.note(say(CONNECTION_ENDED, "now"));
        let asked = tokio::spawn(ask());
        tokio::task::yield_now().await;
        connections.note(say(CONNECTION_ENDED, "at once"));
        assert!(asked.await.expect("no panic").is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_is_told_when_the_sidecar_speaks_and_the_oldest_is_forgotten() {
        let connections = Arc::new(Connections::default());
        let waiting = Arc::clone(&connections);
        let waiting =
            tokio::spawn(async move { waiting.told("last", false, Duration::from_secs(9)).await });
        tokio::task::yield_now().await;
        for name in (0..KEPT).map(|n| n.to_string()).chain(["last".to_owned()]) {
            connections.note(ConnectionTold {
                application: name,
                ..ConnectionTold::default()
            });
        }
        assert!(waiting.await.expect("no panic").is_some());
        let is_known = |name: &str| connections.get(name, |_| true).is_some();
        assert!(!is_known("0") && is_known("1"));
    }
}
