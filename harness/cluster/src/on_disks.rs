//! What can be harmed on the disks of nodes.

use crate::ClusterError;
use harness_model::fault::SocketHarm;
use std::collections::BTreeSet;
use std::fmt;
use std::path::PathBuf;

/// Something at the same path of the disks of several nodes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OnDisks {
    /// The nodes of this data center,
    pub data_center: String,
    /// that are among these.
    pub nodes: BTreeSet<String>,
    /// Where on the disk of each.
    pub path: PathBuf,
    /// What becomes of it.
    pub harm: DiskHarm,
}

/// What becomes of something on the disk of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DiskHarm {
    /// The Unix socket at the path is broken.
    Socket(SocketHarm),
    /// The file system of the folder at the path is full.
    Full,
}

impl OnDisks {
    /// What is done to it, as a fragment that fits "failed to ...".
    #[must_use]
    pub fn act(&self) -> String {
        match self.harm {
            DiskHarm::Socket(_) => format!("break {self}"),
            DiskHarm::Full => format!("fill {self}"),
        }
    }

    /// What undoes that.
    pub(crate) fn undo(&self) -> String {
        match self.harm {
            DiskHarm::Socket(_) => format!("put back {self}"),
            DiskHarm::Full => format!("give its room back to {self}"),
        }
    }

    /// Those nodes of a cluster, each told with its data center, that are meant.
    pub(crate) fn among<'a>(
        &self,
        all: impl Iterator<Item = (&'a str, &'a str)>,
    ) -> Result<Vec<&'a str>, ClusterError> {
        let meant: Vec<&str> = all
            .filter(|(data_center, name)| {
                *data_center == self.data_center && self.nodes.contains(*name)
            })
            .map(|(_, name)| name)
            .collect();
        if meant.is_empty() {
            let reason = "no node there runs who has it";
            return Err(ClusterError::because(self.act(), reason));
        }
        Ok(meant)
    }
}

impl fmt::Display for OnDisks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path.display();
        match self.harm {
            DiskHarm::Socket(_) => write!(f, "the socket {path} in {}", self.data_center),
            DiskHarm::Full => write!(f, "the file system of {path} in {}", self.data_center),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_nodes_of_the_data_center_that_run_it_are_meant() {
        let part = |nodes: &[&str]| OnDisks {
            data_center: "east".to_owned(),
            nodes: nodes.iter().map(|name| (*name).to_owned()).collect(),
            path: "/run/agent".into(),
            harm: DiskHarm::Full,
        };
        let all = [("east", "east-1"), ("east", "east-2"), ("west", "west-1")];
        let meant = part(&["east-2", "west-1"]).among(all.into_iter()).unwrap();
        assert_eq!(meant, ["east-2"]);
        let nobody = part(&["west-1"]).among(all.into_iter()).unwrap_err();
        assert_eq!(nobody.act, "fill the file system of /run/agent in east");
    }
}
