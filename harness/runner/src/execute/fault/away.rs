//! Faults that take something away for a while.

use super::victims::{Chosen, of_replica};
use super::{Injected, inside, words};
use crate::execute::Execution;
use harness_cluster::{DiskHarm, OnDisks, Part, clusters};
use harness_faults::{Pulse, Removal, Victim};
use harness_model::causes::chain;
use harness_model::directory::Sidecar;
use harness_model::fault::{PodSelector, SocketHarm};
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

impl Execution {
    /// Stops the processes of pods.
    pub(super) async fn freeze(&self, selector: &PodSelector, duration: Duration) -> Injected {
        let Chosen { victims, hits } = self.victims(selector).await?;
        let parts = victims
            .iter()
            .map(|victim| Part::PodProcesses(victim.address.clone()))
            .collect();
        let pulses = victims.into_iter().map(Pulse::Reacts).collect();
        let what = format!("freeze the pods {}", hits.join(", "));
        self.take_away(what, parts, pulses, duration, hits).await
    }

    /// Has every pod of a part of the mesh answer late.
    pub(super) async fn answer_late(
        &self,
        component: &str,
        delay: Duration,
        duration: Duration,
    ) -> Injected {
        let Chosen { mut victims, hits } = self.pods_of(component).await?;
        let part = self.environment.mesh().definition().component(component);
        if let Some(serves) = part.and_then(|part| part.serves) {
            for victim in &mut victims {
                victim.port = serves;
            }
        }
        let parts = victims.iter().map(|victim| Part::Promptness {
            pod: victim.address.clone(),
            port: victim.port,
            delay,
        });
        let parts = parts.collect();
        let pulses = victims.into_iter().map(Pulse::Reacts).collect();
        let what = format!("have {component} answer {} ms late", delay.as_millis());
        let injector = self.environment.injector();
        let active = injector.harm(what, parts, pulses, duration).await;
        Ok((active.map_err(words)?, hits))
    }

    /// Takes every pod of a part of the mesh away.
    pub(super) async fn take_component_away(
        &self,
        component: &str,
        duration: Duration,
    ) -> Injected {
        let Chosen { victims, hits } = self.pods_of(component).await?;
        let mesh = self.environment.mesh();
        let absences = mesh.absence_of(component).await;
        let removals: Vec<Removal> = absences
            .map_err(|error| chain(&error))?
            .into_iter()
            .map(|absence| Removal {
                cluster: absence.cluster,
                away: vec![absence.away],
                back: vec![absence.back],
            })
            .collect();
        let active = self
            .environment
            .injector()
            .remove(
                format!("take {component} away"),
                &removals,
                victims,
                duration,
            )
            .await
            .map_err(words)?;
        Ok((active, hits))
    }

    /// Has a part of the mesh deny another one.
    pub(super) async fn deny(&self, component: &str, client: &str, duration: Duration) -> Injected {
        let hits = self.pods_of(client).await?.hits;
        let denials = self.environment.mesh().denials_of(component, client).await;
        let (mut removals, mut pulses) = (Vec::new(), Vec::new());
        for denial in denials.map_err(|error| chain(&error))? {
            removals.push(Removal {
                cluster: denial.cluster,
                away: denial.away,
                back: denial.back,
            });
            pulses.extend(denial.pods.into_iter().map(|address| Pulse::Shows {
                victim: Victim {
                    address,
                    port: denial.port,
                },
                path: denial.path.clone(),
                line: denial.line.clone(),
            }));
        }
        if pulses.is_empty() {
            return Err(format!("no pod of {component} is there"));
        }
        let what = format!("have {component} deny {client}");
        let injector = self.environment.injector();
        let active = injector.alter(what, &removals, pulses, duration).await;
        Ok((active.map_err(words)?, hits))
    }

    /// Switches the nodes of a data center off.
    pub(super) async fn switch_off(&self, data_center: &str, duration: Duration) -> Injected {
        let replicas = self.environment.streams().replicas().await?;
        let there = |name: &str| name == data_center;
        let workloads = self.environment.watch().workloads();
        let mut victims: Vec<Victim> = workloads
            .into_iter()
            .filter(|workload| there(&workload.sidecar.data_center))
            .map(|workload| Victim {
                address: workload.address,
                port: probe_api::CONTROL_PORT,
            })
            .collect();
        for replica in replicas
            .iter()
            .filter(|replica| there(&replica.data_center))
        {
            victims.push(of_replica(replica.clone())?);
        }
        if victims.is_empty() {
            return Err(format!("nothing of the mesh runs in {data_center}"));
        }
        let hits = inside(data_center, self.recorder.sidecars(), replicas);
        let part = Part::Nodes {
            data_center: data_center.to_owned(),
        };
        let pulses = victims.into_iter().map(Pulse::Connects).collect();
        let what = format!("switch the nodes of {data_center} off");
        self.take_away(what, vec![part], pulses, duration, hits)
            .await
    }

    /// Breaks the socket of a part of the mesh. Whoever is there may have to dial it.
    pub(super) async fn break_socket(
        &self,
        component: &str,
        data_center: &str,
        how: SocketHarm,
        duration: Duration,
    ) -> Injected {
        let part = self.environment.mesh().definition().component(component);
        let path = part
            .and_then(|part| part.socket)
            .ok_or_else(|| format!("the mesh definition names no socket of {component}"))?;
        let harm = DiskHarm::Socket(how);
        self.harm_disks(component, data_center, path, harm, duration)
            .await
    }

    /// Fills the file system that a folder of a part of the mesh is on.
    pub(super) async fn fill_disk(
        &self,
        component: &str,
        data_center: &str,
        duration: Duration,
    ) -> Injected {
        let part = self.environment.mesh().definition().component(component);
        let path = part
            .and_then(|part| part.folder)
            .ok_or_else(|| format!("the mesh definition names no folder of {component}"))?;
        self.harm_disks(component, data_center, path, DiskHarm::Full, duration)
            .await
    }

    /// Harms something on the disks of those nodes of a data center that run a part of the mesh.
    async fn harm_disks(
        &self,
        component: &str,
        data_center: &str,
        path: PathBuf,
        harm: DiskHarm,
        duration: Duration,
    ) -> Injected {
        let Chosen { victims, .. } = self.pods_of(component).await?;
        let nodes: BTreeSet<String> = victims
            .into_iter()
            .map(|victim| victim.address.node)
            .collect();
        let there =
            |sidecar: &Sidecar| sidecar.data_center == data_center && nodes.contains(&sidecar.node);
        let sidecars = self.recorder.sidecars().into_iter().filter(there);
        let hits = sidecars.map(|sidecar| sidecar.name).collect();
        let part = OnDisks {
            data_center: data_center.to_owned(),
            nodes,
            path,
            harm,
        };
        let what = part.act();
        let injector = self.environment.injector();
        let active = injector
            .harm(what, vec![Part::OnDisks(part)], Vec::new(), duration)
            .await;
        Ok((active.map_err(words)?, hits))
    }

    /// Takes a part of the control plane of Kubernetes away, which concerns everybody.
    pub(super) async fn take_kubernetes_away(&self, part: Part, duration: Duration) -> Injected {
        let pulses = self
            .environment
            .clusters()
            .all()
            .iter()
            .map(|cluster| Pulse::Reads {
                cluster: clusters::name(cluster.as_ref()).to_owned(),
            })
            .collect();
        let sidecars = self.recorder.sidecars();
        let hits = sidecars.into_iter().map(|sidecar| sidecar.name).collect();
        let what = format!("take {part} away");
        self.take_away(what, vec![part], pulses, duration, hits)
            .await
    }

    async fn take_away(
        &self,
        what: String,
        parts: Vec<Part>,
        pulses: Vec<Pulse>,
        duration: Duration,
        hits: Vec<String>,
    ) -> Injected {
        let active = self
            .environment
            .injector()
            .take_away(what, parts, pulses, duration)
            .await
            .map_err(words)?;
        Ok((active, hits))
    }
}
