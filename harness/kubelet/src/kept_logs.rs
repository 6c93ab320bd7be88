//! Logs that the API has no words for any more: of pods that are gone, and of earlier runs than the last two of a container.
//! They are kept for those who look through everything that was written.
//!
//! Invariant: they take a bounded part of the disk, which is memory, since the node started. What had to go for that is told.

use crate::logs::Run;
use jiff::Timestamp;
use serde::Serialize;
use std::collections::VecDeque;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Most that is kept of all of them on one node, in bytes.
pub(crate) const MOST: u64 = 64 * 1024 * 1024;

/// The logs that one node keeps.
#[derive(Debug)]
pub(crate) struct KeptLogs {
    folder: PathBuf,
    most: u64,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    taken: u64,
    bytes: u64,
    listing: Listing,
}

/// What is kept, oldest first.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Listing {
    /// When the youngest of those had ended that had to go, or could not be kept; none when all are there.
    pub(crate) dropped_until: Option<Timestamp>,
    pub(crate) logs: VecDeque<Kept>,
}

/// One log.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Kept {
    /// By which it is asked for.
    pub(crate) number: u64,
    pub(crate) namespace: String,
    pub(crate) pod: String,
    pub(crate) container: String,
    /// Nothing was written to it later.
    pub(crate) ended_at: Timestamp,
    #[serde(skip)]
    bytes: u64,
}

/// Whose log it is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Owner<'a> {
    pub(crate) namespace: &'a str,
    pub(crate) pod: &'a str,
    pub(crate) container: &'a str,
}

impl KeptLogs {
    pub(crate) fn new(folder: PathBuf, most: u64) -> Self {
        Self {
            folder,
            most,
            state: Mutex::default(),
        }
    }

    /// Takes over the file of a log that nothing is written to any more; the oldest ones go when there are too many. One that
    /// was never made, or has nothing in it, is not kept.
    ///
    /// # Errors
    ///
    /// When the file cannot be moved: it is where it was.
    pub(crate) fn take(&self, owner: Owner<'_>, path: &Path) -> io::Result<()> {
        let bytes = match path.metadata() {
            Ok(metadata) if metadata.len() > 0 => metadata.len(),
            Ok(_) => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(error),
        };
        let mut state = self.state();
        std::fs::create_dir_all(&self.folder)?;
        let number = state.taken;
        std::fs::rename(path, self.path(number))?;
        state.taken += 1;
        state.bytes += bytes;
        state.listing.logs.push_back(Kept {
            number,
            namespace: owner.namespace.to_owned(),
            pod: owner.pod.to_owned(),
            container: owner.container.to_owned(),
            ended_at: Timestamp::now(),
            bytes,
        });
        while state.bytes > self.most {
            let Some(oldest) = state.listing.logs.pop_front() else {
                break;
            };
            state.bytes -= oldest.bytes;
            state.listing.dropped_until = Some(oldest.ended_at);
            if let Err(error) = std::fs::remove_file(self.path(oldest.number)) {
                tracing::warn!(%error, "a log that had to go is there still");
            }
        }
        Ok(())
    }

    /// Tells that one could not be taken.
    pub(crate) fn lost(&self) {
        self.state().listing.dropped_until = Some(Timestamp::now());
    }

    /// What is kept now.
    pub(crate) fn listing(&self) -> Listing {
        self.state().listing.clone()
    }

    /// The log with a number, if it is kept.
    pub(crate) fn find(&self, number: u64) -> Option<Run> {
        let state = self.state();
        let kept = state
            .listing
            .logs
            .iter()
            .find(|kept| kept.number == number)?;
        Some(Run::ended(self.path(number), kept.bytes))
    }

    fn path(&self, number: u64) -> PathBuf {
        self.folder.join(format!("{number}.log"))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAIN: Owner<'_> = Owner {
        namespace: "default",
        pod: "teller",
        container: "main",
    };

    #[test]
    fn what_is_taken_is_kept_until_there_is_too_much_and_that_is_told() {
        let folder = tempfile::tempdir().expect("a folder");
        let kept = KeptLogs::new(folder.path().join("kept"), 10);
        let take = |text: &str| {
            let path = folder.path().join("0.log");
            std::fs::write(&path, text).expect("written");
            kept.take(MAIN, &path).expect("taken");
        };
        take("12345");
        take("6789");
        // What holds nothing is no loss.
        take("");
        kept.take(MAIN, &folder.path().join("never-made.log"))
            .expect("fine");
        let numbers = || -> Vec<u64> { kept.listing().logs.iter().map(|log| log.number).collect() };
        assert_eq!(numbers(), [0, 1]);
        assert_eq!(kept.listing().dropped_until, None);
        let oldest = kept.listing().logs[0].ended_at;

        take("abc");
        assert_eq!(numbers(), [1, 2]);
        assert_eq!(kept.listing().dropped_until, Some(oldest));
        assert!(kept.find(0).is_none());
        assert!(kept.find(1).is_some());

        kept.lost();
        assert!(kept.listing().dropped_until > Some(oldest));
        let files = std::fs::read_dir(folder.path().join("kept")).expect("there");
        assert_eq!(files.count(), 2, "what went is gone from the disk");
    }

    #[test]
    fn one_that_is_too_large_alone_is_told_for_lost() {
        let folder = tempfile::tempdir().expect("a folder");
        let kept = KeptLogs::new(folder.path().join("kept"), 3);
        let path = folder.path().join("0.log");
        std::fs::write(&path, "1234").expect("written");
        kept.take(MAIN, &path).expect("taken");
        assert!(kept.listing().logs.is_empty());
        assert!(kept.listing().dropped_until.is_some());
    }
}
