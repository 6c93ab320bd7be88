//! What can be wrong with a token.

use crate::store::KeyName;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

/// The token does not do what it is asked for, or what is on it cannot be used.
///
/// Invariant: no PIN is in any of these, and nothing of a private key.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// The PIN cannot be read.
    #[error("read the PIN from {path}")]
    ReadPin {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The file holds no PIN.
    #[error("use the PIN in {0}: it must be one line, not empty, of UTF-8")]
    PinForm(PathBuf),
    /// The PKCS #11 module is not there.
    #[error("find the PKCS #11 module {path}")]
    FindModule {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The PKCS #11 module is there, but is none.
    #[error("load the PKCS #11 module {path}: {told}")]
    LoadModule {
        /// Which file.
        path: PathBuf,
        /// What the helper program says.
        told: String,
    },
    /// The helper program is not there or cannot be started.
    #[error("start the helper program {program} (Debian's package opensc brings pkcs11-tool)")]
    Start {
        /// Which.
        program: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The connection to the helper program broke.
    #[error("{act}: talk to the helper program")]
    Talk {
        /// What it was asked for.
        act: &'static str,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The token is not there, or not any more.
    #[error("find the token `{0}`: the PKCS #11 module shows none with this label")]
    NoToken(String),
    /// Nobody knows which of them is meant.
    #[error("find the token `{label}`: the PKCS #11 module shows {count} with this label")]
    ManyTokens {
        /// The label.
        label: String,
        /// How many.
        count: usize,
    },
    /// The PIN is wrong, or has run out.
    #[error(
        "log into the token `{token}`: {code}; the PIN is not tried again until the key service starts anew"
    )]
    Pin {
        /// Its label.
        token: String,
        /// What PKCS #11 calls it.
        code: String,
    },
    /// One more wrong PIN, and the token is of no use to anybody.
    #[error(
        "log into the token `{token}`: it says `{flag}`, so the PIN is not tried; log in by hand first"
    )]
    PinNotTried {
        /// Its label.
        token: String,
        /// What it says.
        flag: &'static str,
    },
    /// The helper program took too long; it was killed.
    #[error("{act}: the token has not answered within {limit:?}")]
    Slow {
        /// What it was asked for.
        act: &'static str,
        /// How long it had.
        limit: Duration,
    },
    /// Others ask the token, and none of them came to an end.
    #[error("wait for the token: it was busy with others for {limit:?}")]
    Busy {
        /// How long it was waited for.
        limit: Duration,
    },
    /// The token, or the helper program, says why not.
    #[error("{act}: {told}")]
    Refused {
        /// What it was asked for.
        act: &'static str,
        /// What it says.
        told: String,
    },
    /// What the helper program says about the token is nothing that is known.
    #[error("understand what the helper program says: {0}")]
    Understand(&'static str),
    /// The lock cannot be used.
    #[error("lock {path}")]
    Lock {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Somebody else makes keys all the time.
    #[error("lock {path}: another key service on the token has held it for {limit:?}")]
    Locked {
        /// Which file.
        path: PathBuf,
        /// How long it was waited for.
        limit: Duration,
    },
    /// Nobody knows which one it is.
    #[error(
        "use version {version} of key `{name}`: several key pairs on the token claim to be it (CKA_ID {}); \
         delete those that were never used, and let all key services on a token share one PKCS11_LOCK_FILE",
        .ids.join(", ")
    )]
    Claimed {
        /// Which key.
        name: KeyName,
        /// Which version.
        version: u32,
        /// Who claims it.
        ids: Vec<String>,
    },
    /// Half of the pair is missing, so it was never told of.
    #[error(
        "use version {version} of key `{name}`: only half of the pair is on the token (CKA_ID {id}); delete it"
    )]
    Half {
        /// Which key.
        name: KeyName,
        /// Which version.
        version: u32,
        /// Its `CKA_ID`.
        id: String,
    },
    /// The pair is no good, or what it signs.
    #[error("use version {version} of key `{name}` (CKA_ID {id}): {why}")]
    Unfit {
        /// Which key.
        name: KeyName,
        /// Which version.
        version: u32,
        /// Its `CKA_ID`.
        id: String,
        /// Why.
        why: &'static str,
    },
    /// Versions are counted from 1 without a gap.
    #[error("use key `{name}`: the token has version {newest}, but not version {missing}")]
    Gap {
        /// Which key.
        name: KeyName,
        /// The first one that is not there.
        missing: u32,
        /// One that is there.
        newest: u32,
    },
    /// The token is another one than before, or somebody has deleted keys.
    #[error(
        "use version {version} of key `{name}`: the token had it, and has another one or none now"
    )]
    Lost {
        /// Which key.
        name: KeyName,
        /// Which version.
        version: u32,
    },
    /// There are no random numbers.
    #[error("obtain random numbers")]
    Random,
}
