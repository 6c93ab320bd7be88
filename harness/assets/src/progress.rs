//! What is told while assets are obtained.

use crate::Asset;
use std::fmt;
use std::path::PathBuf;

/// What is going on while assets are obtained. `Display` gives a line for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Progress {
    /// A program is taken from a folder the user gave.
    Given {
        /// The program.
        asset: Asset,
        /// The folder.
        folder: PathBuf,
    },
    /// A folder the user gave lacks these.
    Lacking {
        /// The folder.
        folder: PathBuf,
        /// What is not in it.
        missing: Vec<Asset>,
    },
    /// A cached program is damaged and is made again.
    Damaged {
        /// The program.
        asset: Asset,
        /// What is wrong with it.
        reason: String,
    },
    /// Another process is making the programs; we wait for it.
    Waiting {
        /// The other process, where it said so.
        process: Option<u32>,
    },
    /// An official release cannot be had.
    NotReached {
        /// The program.
        asset: Asset,
        /// Where it would be.
        address: String,
        /// Why not.
        reason: String,
    },
    /// An official release is in the cache now.
    Downloaded {
        /// The program.
        asset: Asset,
    },
    /// Making a program begins.
    Making {
        /// The program.
        asset: Asset,
        /// Which one of those that are made now, from 1.
        number: usize,
        /// How many are made now.
        count: usize,
        /// How long or how large, for people.
        note: &'static str,
    },
    /// The making goes on; shown in a spinner, not as a line.
    Activity {
        /// The program.
        asset: Asset,
        /// What is being done.
        detail: String,
    },
    /// A program is in the cache now.
    Made {
        /// The program.
        asset: Asset,
        /// How long it took, in seconds.
        seconds: u64,
    },
}

impl fmt::Display for Progress {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Given { asset, folder } => {
                write!(formatter, "using {asset} from {}", folder.display())
            }
            Self::Lacking { folder, missing } => {
                let names: Vec<&str> = missing.iter().map(|asset| asset.file_name()).collect();
                write!(
                    formatter,
                    "{} has no {}; looking elsewhere",
                    folder.display(),
                    names.join(", ")
                )
            }
            Self::Damaged { asset, reason } => {
                write!(
                    formatter,
                    "{asset} in the cache is damaged ({reason}); making it again"
                )
            }
            Self::Waiting {
                process: Some(process),
            } => {
                write!(
                    formatter,
                    "process {process} is making the assets; waiting for it"
                )
            }
            Self::Waiting { process: None } => {
                formatter.write_str("another process is making the assets; waiting for it")
            }
            Self::NotReached {
                asset,
                address,
                reason,
            } => write!(
                formatter,
                "{asset} cannot be downloaded from {address} ({reason}); programs are made from their sources"
            ),
            Self::Downloaded { asset } => write!(formatter, "{asset} is downloaded"),
            Self::Making {
                asset,
                number,
                count,
                note,
            } => write!(formatter, "making {asset} ({number} of {count}), {note}"),
            Self::Activity { asset, detail } => write!(formatter, "{asset}: {detail}"),
            Self::Made { asset, seconds } => write!(formatter, "{asset} is ready ({seconds} s)"),
        }
    }
}
