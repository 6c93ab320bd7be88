//! How busy the machine was that clusters ran on.

use serde::{Deserialize, Serialize};
use std::fmt;

/// What Linux told of the machine over a scenario. A machine that is busy answers late, which looks as if the mesh did; no
/// verdict depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MachineLoad {
    /// Percent of the time in which something waited for a processor.
    pub processor_wait_percent: u8,
    /// Percent of the time in which something waited for a disk.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disk_wait_percent: Option<u8>,
    /// Percent of the time in which something waited for memory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_wait_percent: Option<u8>,
    /// The load average of the last minute at the end.
    pub load: f64,
    /// How many processors the machine has.
    pub processors: usize,
}

impl fmt::Display for MachineLoad {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let waited = self.processor_wait_percent;
        write!(f, "something waited for a processor {waited} % of the time")?;
        for (what, waited) in [
            ("a disk", self.disk_wait_percent),
            ("memory", self.memory_wait_percent),
        ] {
            if let Some(waited) = waited.filter(|waited| *waited > 0) {
                write!(f, ", for {what} {waited} %")?;
            }
        }
        let plural = if self.processors == 1 { "" } else { "s" };
        let (load, processors) = (self.load, self.processors);
        write!(f, ", load {load:.1} on {processors} processor{plural}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_something_waited_for_is_told() {
        let mut machine = MachineLoad {
            processor_wait_percent: 97,
            disk_wait_percent: Some(0),
            memory_wait_percent: None,
            load: 31.04,
            processors: 2,
        };
        assert_eq!(
            machine.to_string(),
            "something waited for a processor 97 % of the time, load 31.0 on 2 processors"
        );
        machine.disk_wait_percent = Some(4);
        machine.memory_wait_percent = Some(1);
        machine.processors = 1;
        assert_eq!(
            machine.to_string(),
            "something waited for a processor 97 % of the time, for a disk 4 %, for memory 1 %, load 31.0 on 1 processor"
        );
    }

    #[test]
    fn a_kernel_that_tells_of_processors_alone_is_enough() {
        let told = r#"{"processorWaitPercent":3,"load":0.5,"processors":8}"#;
        let machine: MachineLoad = serde_json::from_str(told).expect("it is whole");
        assert_eq!(machine.memory_wait_percent, None);
        assert_eq!(
            serde_json::to_string(&machine).expect("it has a form"),
            told
        );
    }
}
