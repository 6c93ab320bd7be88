//! The fabric as the harness holds it: started, listened to, ended.
//!
//! Invariant: whoever drops a fabric that is not kept has waited for its end, so that also a bring-up that is given
//! up leaves nothing when it is over.

use super::cluster::Options;
use super::protocol::{self, FabricConfig, LIFELINE, LISTENER, Order, Progress};
use super::{connect_socket, control_socket, failed, plan};
use crate::ClusterError;
use harness_kernel::namespace::{Child, CloneFlags, Spawn, SpawnError};
use nix::sys::signal::Signal;
use std::io;
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt};

/// How long the fabric may take to end; it kills and removes a folder.
pub(super) const END: Duration = Duration::from_secs(20);
/// Longest path of a Unix socket.
const LONGEST_SOCKET: usize = 107;
/// What the fabric needs of our environment; the rest is none of its business.
const ENVIRONMENT: [&str; 3] = ["PATH", "MESHPROOF_LOG", "RUST_BACKTRACE"];

/// The fabric we started, and the connection whose end is its end.
#[derive(Debug)]
pub(super) struct Fabric {
    child: Child,
    lifeline: Option<tokio::io::BufReader<tokio::net::UnixStream>>,
    keep: bool,
}

impl Fabric {
    /// Starts it and tells it what to bring up in `folder`.
    pub(super) fn start(options: &Options, folder: &Path) -> Result<Self, ClusterError> {
        let loopback = "listen on the loopback";
        // Opened here, it stays in our network namespace: the cluster's door to the host.
        let listener = TcpListener::bind("127.0.0.1:0").map_err(failed(loopback))?;
        let port = listener.local_addr().map_err(failed(loopback))?.port();
        let (here, there) = UnixStream::pair().map_err(failed("make a pair of sockets"))?;
        let mut spawn = Spawn::again(vec![
            "meshproof".into(),
            "__fabric".into(),
            options.name.clone().into(),
        ]);
        spawn
            .environment
            .retain(|(name, _)| ENVIRONMENT.iter().any(|kept| name == kept));
        spawn.namespaces = CloneFlags::CLONE_NEWUSER
            | CloneFlags::CLONE_NEWPID
            | CloneFlags::CLONE_NEWNS
            | CloneFlags::CLONE_NEWNET
            | CloneFlags::CLONE_NEWUTS
            | CloneFlags::CLONE_NEWIPC;
        spawn.new_session = true;
        spawn.descriptors = vec![
            (LIFELINE, OwnedFd::from(there)),
            (LISTENER, listener.into()),
        ];
        let child = spawn.start().map_err(not_started)?;
        let config = FabricConfig {
            name: options.name.clone(),
            folder: folder.to_owned(),
            topology: options.topology.clone(),
            part_of: options.part_of.clone(),
            programs: options.programs.clone(),
            image_store: options.image_store.clone(),
            port,
        };
        let lifeline = protocol::send(&here, &config)
            .and_then(|()| here.set_nonblocking(true))
            .and_then(|()| tokio::net::UnixStream::from_std(here))
            .map_err(failed("tell the fabric its configuration"))?;
        Ok(Self {
            child,
            lifeline: Some(tokio::io::BufReader::new(lifeline)),
            keep: false,
        })
    }

    /// Hears of its steps until it is ready.
    pub(super) async fn hear(
        &mut self,
        folder: &Path,
        progress: &mut (impl FnMut(&str) + Send),
    ) -> Result<(), ClusterError> {
        let act = "hear from the fabric";
        let Some(lifeline) = &mut self.lifeline else {
            return Ok(());
        };
        loop {
            let mut line = String::new();
            if lifeline.read_line(&mut line).await.map_err(failed(act))? == 0 {
                return Err(ended(&self.child, folder).await);
            }
            match serde_json::from_str(&line).map_err(failed(act))? {
                Progress::Step(text) => progress(&text),
                Progress::Ready => return Ok(()),
                Progress::Failed(failure) => {
                    let _ = self.child.wait().await;
                    return Err(failure.into());
                }
            }
        }
    }

    /// Tells it to live on when we end.
    pub(super) async fn keep(&mut self) -> io::Result<()> {
        if let Some(lifeline) = &mut self.lifeline {
            lifeline.write_all(&protocol::line(&Order::Keep)?).await?;
            self.keep = true;
        }
        Ok(())
    }

    /// Waits until it has ended, and says how.
    pub(super) async fn wait(&self) -> String {
        match self.child.wait().await {
            Ok(status) => status.to_string(),
            Err(error) => error.to_string(),
        }
    }

    /// Ends it when it does not end by itself; the kernel ends what is in it.
    pub(super) async fn kill(&self) {
        let _ = self.child.signal(Signal::SIGKILL);
        let _ = self.wait().await;
    }
}

impl Drop for Fabric {
    fn drop(&mut self) {
        drop(self.lifeline.take());
        if !self.keep && self.child.known().is_none() {
            let _ = self.child.wait_at_most(END);
        }
    }
}

/// Refuses what would fail later with a worse message.
pub(super) fn check(options: &Options, folder: &Path) -> Result<(), ClusterError> {
    let refuse = |act: String, why: String, hint: &str| {
        Err(ClusterError {
            act,
            source: Some(why.into()),
            hint: Some(hint.into()),
            left: Vec::new(),
        })
    };
    let act = || format!("name a cluster `{}`", options.name);
    let name = &options.name;
    let label = !name.is_empty()
        && name.len() <= 40
        && name
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
        && !name.starts_with('-');
    if !label {
        let why = "a name has lower-case letters, digits and `-`, at most 40".to_owned();
        return refuse(act(), why, "choose a name such as `meshproof`");
    }
    let plan = plan::Plan::new(&options.topology);
    let longest = plan
        .nodes()
        .map(|node| connect_socket(folder, &node.name))
        .chain([control_socket(folder)])
        .max_by_key(|path| path.as_os_str().len());
    if let Some(path) = longest.filter(|path| path.as_os_str().len() > LONGEST_SOCKET) {
        let why = format!("{} is too long for a Unix socket", path.display());
        return refuse(act(), why, "set TMPDIR to a shorter path such as /tmp");
    }
    for tool in ["nft", "iptables-restore"] {
        if which::which_in(tool, Some(harness_kernel::search_path()), "/").is_err() {
            let package = if tool == "nft" {
                "nftables"
            } else {
                "iptables"
            };
            return Err(ClusterError {
                act: format!("find `{tool}`"),
                source: None,
                hint: Some(format!(
                    "install it, on Debian and Ubuntu: apt-get install {package}"
                )),
                left: Vec::new(),
            });
        }
    }
    Ok(())
}

fn not_started(error: SpawnError) -> ClusterError {
    let hint = error.forbids_user_namespaces().then(|| {
        "the kernel must allow user namespaces: sysctl user.max_user_namespaces above 0, and \
         kernel.unprivileged_userns_clone=1 or kernel.apparmor_restrict_unprivileged_userns=0 where they exist; \
         in a container, a seccomp profile that allows clone and unshare; or run as root"
            .to_owned()
    });
    ClusterError {
        act: "start the cluster's fabric".into(),
        source: Some(Box::new(error)),
        hint,
        left: Vec::new(),
    }
}

/// The fabric ended without a word.
async fn ended(child: &Child, folder: &Path) -> ClusterError {
    let how = match child.wait().await {
        Ok(status) => status.to_string(),
        Err(error) => error.to_string(),
    };
    let log = folder.join("logs/fabric.log");
    let log = if log.exists() {
        super::components::tail(&log)
    } else {
        String::new()
    };
    ClusterError {
        act: "bring the cluster up".into(),
        source: Some(format!("the fabric ended ({how})\n{log}").into()),
        hint: None,
        left: Vec::new(),
    }
}
