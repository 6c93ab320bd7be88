//! The names of what an environment runs and has, so that a scenario that speaks of something else is refused before
//! anything is started.
//!
//! Invariant: a name that nobody has is a mistake unless it is written [`UNKNOWN`]: a scope that matches nobody by a
//! typing error would prove an absence that means nothing.

use crate::capability::Capability;
use crate::scenario::Scenario;
use crate::topology::Topology;
use std::collections::{BTreeMap, BTreeSet};

/// Begins the name of an application, data center or cluster that is meant to be unknown: `$unknown:elsewhere`.
pub const UNKNOWN: &str = "$unknown:";

/// What an environment calls its applications and places.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Names {
    /// The applications that the mesh deploys.
    pub applications: Vec<String>,
    /// The services that can be called.
    pub services: Vec<String>,
    /// Its further parts; none while nobody knows whether it has them.
    pub components: Option<Components>,
    /// Its places; none while nobody knows them.
    pub places: Option<Places>,
}

/// The further parts of a mesh, and those of them that have what some faults are to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Components {
    /// All of them.
    pub all: Vec<String>,
    /// Those with a socket that may be broken.
    pub with_socket: Vec<String>,
    /// Those with a folder whose file system may be filled.
    pub with_folder: Vec<String>,
    /// Those with a list of the parts that they serve, and who is in it.
    pub clients: BTreeMap<String, Vec<String>>,
}

/// Data centers and clusters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Places {
    /// In the topology's order: `$zone1` is the first.
    pub data_centers: Vec<String>,
    /// `$cluster1` is the first.
    pub clusters: Vec<String>,
}

impl Places {
    /// Those of a topology.
    #[must_use]
    pub fn of(topology: &Topology) -> Self {
        Self {
            data_centers: topology
                .data_centers()
                .map(|found| found.name.clone())
                .collect(),
            clusters: topology.clusters.iter().map(|c| c.name.clone()).collect(),
        }
    }
}

/// What a name in a scenario is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Application,
    Service,
    Component,
    DataCenter,
    Cluster,
}

impl Kind {
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Application => "application",
            Self::Service => "service",
            Self::Component => "component",
            Self::DataCenter => "data center",
            Self::Cluster => "cluster",
        }
    }

    /// How one is written by its number, where that can be.
    pub(crate) const fn numbered(self) -> Option<&'static str> {
        match self {
            Self::Application | Self::Service | Self::Component => None,
            Self::DataCenter => Some("$zone"),
            Self::Cluster => Some("$cluster"),
        }
    }
}

impl Names {
    /// Those that a scenario is held against where an environment `has` this; none: nobody knows yet. Of one that is
    /// going to be skipped for what the environment lacks only the applications and services are looked at.
    #[must_use]
    pub fn for_scenario(&self, scenario: &Scenario, has: Option<&BTreeSet<Capability>>) -> Self {
        let can_run = has.is_none_or(|has| scenario.needs().is_subset(has));
        Self {
            components: self.components.clone().filter(|_| can_run),
            places: self.places.clone().filter(|_| can_run),
            ..self.clone()
        }
    }

    /// All names of a kind; none while nobody knows them.
    pub(crate) fn of(&self, kind: Kind) -> Option<&[String]> {
        let (places, components) = (self.places.as_ref(), self.components.as_ref());
        match kind {
            Kind::Application => Some(&self.applications),
            Kind::Service => Some(&self.services),
            Kind::Component => components.map(|components| components.all.as_slice()),
            Kind::DataCenter => places.map(|places| places.data_centers.as_slice()),
            Kind::Cluster => places.map(|places| places.clusters.as_slice()),
        }
    }
}
