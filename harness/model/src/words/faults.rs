//! What is broken, in words.

use super::place;
use crate::fault::{Fault, PodSelector, SocketHarm};

/// One fault.
#[must_use]
pub fn fault(fault: &Fault) -> String {
    match fault {
        Fault::PodKill { selector } => format!("kill {}", pod(selector)),
        Fault::PodFreeze { selector, duration } => {
            format!("freeze {} for {duration}", pod(selector))
        }
        Fault::LateAnswers {
            component,
            delay,
            duration,
        } => format!("have {component} answer {delay} late for {duration}"),
        Fault::ComponentOutage {
            component,
            duration,
        } => format!("take {component} away for {duration}"),
        Fault::ClientDenial {
            component,
            client,
            duration,
        } => format!("have {component} deny {client} for {duration}"),
        Fault::ZoneOutage {
            data_center,
            duration,
            without,
        } => {
            let without = without
                .as_ref()
                .map(|part| format!(", where no {part} runs,"));
            let (place, without) = (place(data_center), without.unwrap_or_default());
            format!("cut {place}{without} off for {duration}")
        }
        Fault::NodeOutage {
            data_center,
            duration,
        } => format!(
            "switch the nodes of {} off for {duration}",
            place(data_center)
        ),
        Fault::SocketFault {
            component,
            data_center,
            how,
            duration,
        } => {
            let harm = match how {
                SocketHarm::Unlinked => "unlink",
                SocketHarm::Forbidden => "forbid",
            };
            let place = place(data_center);
            format!("{harm} the socket of {component} in {place} for at most {duration}")
        }
        Fault::DiskFull {
            component,
            data_center,
            duration,
        } => {
            let place = place(data_center);
            format!("fill the file system of {component}'s folder in {place} for {duration}")
        }
        Fault::ApiServerOutage { duration } => {
            format!("take the API server of Kubernetes away for {duration}")
        }
        Fault::EtcdFreeze { duration } => format!("freeze etcd for {duration}"),
    }
}

fn pod(selector: &PodSelector) -> String {
    match selector {
        PodSelector::Workload(name) => place(name),
        PodSelector::ControlPlaneReplica => {
            "the control-plane replica that most sidecars are connected to".to_owned()
        }
        PodSelector::Replica(name) => format!("one pod of {name}"),
        PodSelector::Component(name) => format!("every pod of {name}"),
    }
}
