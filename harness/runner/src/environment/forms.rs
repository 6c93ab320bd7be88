//! Which sidecar speaks which form of xDS, for people.

use super::Environment;
use crate::phases::Phases;
use probe_api::state::{SidecarReading, XdsForm};

impl Environment {
    /// Tells people which sidecar speaks which form of xDS.
    pub(super) fn tell_forms(&self, phases: &Phases) {
        self.forms().into_iter().for_each(phases.lines("sidecars"));
    }

    /// Which sidecar speaks which form of xDS, one line for each form; none where no sidecar tells.
    fn forms(&self) -> Vec<String> {
        let forms = [
            (XdsForm::Sotw, "state-of-the-world"),
            (XdsForm::Delta, "delta"),
        ];
        let told = self.watch.workloads();
        forms
            .into_iter()
            .filter_map(|(form, name)| {
                let speaks = |sidecar: &str| match &self.watch.latest(sidecar)?.sidecar {
                    SidecarReading::Read(held) => held.control_plane.form,
                    SidecarReading::None | SidecarReading::Unreachable(_) => None,
                };
                let names: Vec<&str> = told
                    .iter()
                    .map(|workload| workload.sidecar.name.as_str())
                    .filter(|sidecar| speaks(sidecar) == Some(form))
                    .collect();
                let count = names.len();
                (count > 0).then(|| format!("{count} over {name} xDS: {}", names.join(", ")))
            })
            .collect()
    }
}
