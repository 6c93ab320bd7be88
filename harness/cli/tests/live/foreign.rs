//! A cluster that somebody else runs: one of ours that is kept, addressed by its kubeconfig alone, with a client of its
//! owner.

use crate::meshproof::Place;
use kube::Client;
use kube::config::{Config, KubeConfigOptions, Kubeconfig};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

pub(crate) const NAME: &str = "foreign";

/// The cluster, as long as this lives.
pub(crate) struct Foreign<'a> {
    place: &'a Place,
    pub(crate) kubeconfig: PathBuf,
    pub(crate) context: String,
    runtime: tokio::runtime::Runtime,
    client: Client,
}

/// What a command ends with and says.
pub(crate) fn output(mut command: Command) -> (Option<i32>, String) {
    let Output {
        status,
        stdout,
        stderr,
    } = command.output().expect("the built binary starts");
    let said = String::from_utf8_lossy(&stdout) + String::from_utf8_lossy(&stderr);
    (status.code(), said.into_owned())
}

impl<'a> Foreign<'a> {
    /// Brings it up.
    pub(crate) fn up(place: &'a Place) -> Self {
        // A second call finds it installed.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let (code, said) = output(place.command(&["cluster", "up", NAME, "-o", "json", "--quiet"]));
        assert_eq!(code, Some(0), "{said}");
        let kubeconfig = place
            .folders
            .temporary
            .join(format!("meshproof-{}", nix::unistd::geteuid()))
            .join(NAME)
            .join("kubeconfig");
        let parsed = Kubeconfig::read_from(&kubeconfig).expect("a kept cluster has a kubeconfig");
        let context = parsed.current_context.clone().expect("it has a context");
        let runtime = tokio::runtime::Runtime::new().expect("a runtime can be made");
        let client = runtime.block_on(async {
            let options = KubeConfigOptions::default();
            let config = Config::from_custom_kubeconfig(parsed, &options).await;
            Client::try_from(config.expect("the kubeconfig is whole"))
        });
        Self {
            place,
            kubeconfig,
            context,
            runtime,
            client: client.expect("the kubeconfig makes a client"),
        }
    }

    /// Brings the images to its nodes, by a run of ours, which leaves its mesh there.
    pub(crate) fn with_images(self) -> Self {
        let run = ["run", "routing/own-zone", "--reuse", NAME];
        let (code, said) = output(self.place.command(&run));
        assert_eq!(code, Some(0), "{said}");
        self
    }

    /// `run` on it, as far as it is allowed.
    pub(crate) fn run(&self, kubeconfig: &Path, arguments: &[&str]) -> Command {
        let mut command = self.place.command(&["run", "--color", "never"]);
        command
            .args(["--cluster", "kubeconfig", "--images-preloaded"])
            .args(arguments)
            .env("KUBECONFIG", kubeconfig);
        command
    }

    /// `run` on it, allowed by the name of its context.
    pub(crate) fn run_allowed(&self, arguments: &[&str]) -> Command {
        let allowed = ["--allow-context", &self.context];
        self.run(&self.kubeconfig, &[arguments, &allowed].concat())
    }

    /// Has its owner do something.
    pub(crate) fn owner<T>(&self, act: impl AsyncFnOnce(Client) -> kube::Result<T>) -> T {
        self.runtime
            .block_on(act(self.client.clone()))
            .expect("the owner may do everything")
    }

    /// A kubeconfig of another user of it, who has this token.
    pub(crate) fn kubeconfig_of(&self, token: &str) -> PathBuf {
        let mut parsed = Kubeconfig::read_from(&self.kubeconfig).expect("it was read before");
        for user in &mut parsed.auth_infos {
            user.auth_info = Some(kube::config::AuthInfo {
                token: Some(token.to_owned().into()),
                ..kube::config::AuthInfo::default()
            });
        }
        let path = self.place.path().join("kubeconfig-of-another-user");
        let text = serde_json::to_string(&parsed).expect("a kubeconfig has a JSON form");
        fs::write(&path, text).expect("the folder of the test can be written");
        path
    }

    /// Takes it down.
    pub(crate) fn down(self) {
        let (code, said) = output(self.place.command(&["cluster", "down", NAME]));
        assert_eq!(code, Some(0), "{said}");
        let told = format!("took down the cluster {NAME}");
        assert!(said.contains(&told), "{said}");
    }
}
