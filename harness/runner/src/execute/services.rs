//! Acts on which services there are: withdraw and offer.

use super::Execution;
use harness_model::causes::chain;
use harness_model::history::EventKind;
use harness_model::patience::Whose;

impl Execution {
    /// Takes a service away, and waits until no sidecar has a cluster of it any more.
    pub(super) async fn withdraw(&mut self, service: &str) {
        let (mesh, name) = (self.environment.mesh(), service.to_owned());
        let withdrawn = self
            .writes
            .carry_out(async move { mesh.withdraw(&name).await })
            .await;
        let ready = self.environment.patience().ready;
        let mesh = self.environment.mesh();
        let gone = match withdrawn {
            // While Kubernetes still tells endpoints, that sidecars have them is not the mesh's doing.
            Ok(()) => mesh.wait_until_without_endpoints(service, ready.0).await,
            Err(error) => Err(error),
        };
        if let Err(error) = gone {
            let why = chain(&error);
            self.give_up(format!("the service {service} to be taken away: {why}"));
            return;
        }
        self.recorder.push_and_ask_again(EventKind::Withdrawn {
            service: service.to_owned(),
        });
        let missing = self.environment.wait_until_forgotten(service).await;
        let waited_for = format!("no sidecar to know the service {service} any more");
        self.give_up_on(self.whose(), &waited_for, &missing);
    }

    /// Brings a service back, and waits until every sidecar knows it and whom it leads to.
    pub(super) async fn offer(&mut self, service: &str) {
        let (mesh, name) = (self.environment.mesh(), service.to_owned());
        let offered = self
            .writes
            .carry_out(async move { mesh.offer(&name).await })
            .await;
        if let Err(error) = offered {
            let why = chain(&error);
            self.give_up(format!("the service {service} to be brought back: {why}"));
            return;
        }
        self.recorder.push_and_ask_again(EventKind::Offered {
            service: service.to_owned(),
        });
        let missing = self.environment.wait_until_known_again(service).await;
        let waited_for = format!("every sidecar to know the service {service} again");
        self.give_up_on(self.whose(), &waited_for, &missing);
    }

    /// Whose time it is: the mesh's where readings tell which services a sidecar knows. Where they do not, the wait runs out in
    /// any case, and says nothing of the mesh.
    fn whose(&self) -> Whose {
        match self.environment.mesh().definition().state.services {
            Some(_) => Whose::Mesh,
            None => Whose::Harness,
        }
    }
}
