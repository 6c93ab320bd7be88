//! What is still broken, written down before it is broken.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The list of faults that have not ended, kept in a file so that people can read it after us. Lines are only appended: one when
/// a fault begins, one when it is crossed out.
#[derive(Debug)]
pub struct Ledger {
    path: PathBuf,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    next: u64,
    active: BTreeMap<u64, Entry>,
}

/// One fault that has not ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Entry {
    /// Number in this ledger, from 0.
    pub number: u64,
    /// What is broken, in words.
    pub what: String,
    /// The data center to be healed, where the fault needs healing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data_center: Option<String>,
    /// For how long the kernel keeps it, milliseconds; none when there is nothing to be dropped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub millis: Option<u64>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
enum Line {
    Begun(Entry),
    Ended(u64),
}

/// The ledger's file could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// Not readable.
    #[error("read {}", path.display())]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Not writable.
    #[error("write {}", path.display())]
    Write {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

impl Ledger {
    /// The ledger in this file, with what an earlier process left in it. A last line that was cut off by a kill is a
    /// fault that was never injected, since the line is complete before.
    ///
    /// # Errors
    ///
    /// When the file exists and cannot be read.
    pub fn open(path: &Path) -> Result<Self, LedgerError> {
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
            Err(source) => {
                return Err(LedgerError::Read {
                    path: path.to_owned(),
                    source,
                });
            }
        };
        let mut state = State::default();
        for line in text
            .lines()
            .filter_map(|line| serde_json::from_str(line).ok())
        {
            match line {
                Line::Begun(entry) => {
                    state.next = state.next.max(entry.number + 1);
                    state.active.insert(entry.number, entry);
                }
                Line::Ended(number) => {
                    state.active.remove(&number);
                }
            }
        }
        Ok(Self {
            path: path.to_owned(),
            state: Mutex::new(state),
        })
    }

    /// Writes a fault down, on disk when this returns, and gives its number.
    ///
    /// # Errors
    ///
    /// When the file cannot be written: then the fault must not be injected.
    pub fn begin(
        &self,
        what: String,
        data_center: Option<String>,
        millis: Option<u64>,
    ) -> Result<u64, LedgerError> {
        let mut state = self.state();
        let entry = Entry {
            number: state.next,
            what,
            data_center,
            millis,
        };
        self.append(&Line::Begun(entry.clone()))
            .map_err(|source| LedgerError::Write {
                path: self.path.clone(),
                source,
            })?;
        state.next += 1;
        let number = entry.number;
        state.active.insert(number, entry);
        Ok(number)
    }

    /// Crosses a fault out: it has ended. A file that cannot be written keeps the line, so that the fault is healed
    /// once more than needed, which does no harm.
    pub fn cross_out(&self, number: u64) {
        let mut state = self.state();
        if state.active.remove(&number).is_some()
            && let Err(error) = self.append(&Line::Ended(number))
        {
            tracing::warn!(path = %self.path.display(), %error, "cannot cross a fault out of the ledger");
        }
    }

    /// What has not been crossed out.
    #[must_use]
    pub fn active(&self) -> Vec<Entry> {
        self.state().active.values().cloned().collect()
    }

    fn append(&self, line: &Line) -> std::io::Result<()> {
        let mut text = serde_json::to_string(line)?;
        text.push('\n');
        let mut file = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(&self.path)?;
        file.write_all(text.as_bytes())?;
        file.sync_data()
    }

    /// The state is changed by single assignments, so it is whole even if a holder panicked.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
