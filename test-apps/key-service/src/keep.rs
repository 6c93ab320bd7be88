//! Where a sealed store is kept.

pub mod folder;
pub mod secret;

use std::error::Error;

/// A place for one piece of bytes. Methods may block.
pub trait Keep: Send + Sync + 'static {
    /// Reads what is kept; none where nothing is yet.
    ///
    /// # Errors
    ///
    /// When the place cannot be read.
    fn load(&self) -> Result<Option<Vec<u8>>, KeepError>;

    /// Reads what is kept for whoever does not write then, while somebody else may: it may wait less than [`load`](Self::load),
    /// and [`save`](Self::save) replaces nothing that has only been looked at.
    ///
    /// # Errors
    ///
    /// When the place cannot be read.
    fn look(&self) -> Result<Option<Vec<u8>>, KeepError>;

    /// Replaces what [`load`](Self::load) or `save` left here last. Afterwards it is the old piece or the new one, and after
    /// a success it is there after a crash, too.
    ///
    /// # Errors
    ///
    /// [`KeepError::Outdated`] when somebody else has written since, else when the place cannot be written: then nobody
    /// knows which piece is there.
    fn save(&self, sealed: &[u8]) -> Result<(), KeepError>;

    /// Whether others may write to the same place while this one is open.
    fn is_shared(&self) -> bool;

    /// Which place it is, for messages.
    fn place(&self) -> String;
}

/// A place for keys could not be used.
#[derive(Debug, thiserror::Error)]
pub enum KeepError {
    /// It cannot be read or written.
    #[error("use {place}")]
    Use {
        /// Which.
        place: String,
        /// Why.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
    /// Two who write would lose each other's keys.
    #[error("lock {0}: another key service uses it")]
    Locked(String),
    /// Somebody else has written first; nothing of ours was written.
    #[error("write {0}: it has changed since it was read")]
    Outdated(String),
}

impl KeepError {
    pub(crate) fn of(
        place: impl Into<String>,
        source: impl Into<Box<dyn Error + Send + Sync>>,
    ) -> Self {
        Self::Use {
            place: place.into(),
            source: source.into(),
        }
    }
}
