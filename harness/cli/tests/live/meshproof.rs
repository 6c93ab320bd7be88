//! The program under test: started in folders of its own, its events read as they come.

use crate::baseline::{Folders, Footprint};
use serde_json::Value;
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::time::Duration;

/// How long a run may be silent before the test gives up on it. Ours: generous, since machines are shared.
const SILENCE: Duration = Duration::from_secs(300);

/// Folders for one test, removed at its end.
pub(crate) struct Place {
    folder: tempfile::TempDir,
    /// `HOME` and `TMPDIR` of what is started here.
    pub(crate) folders: Folders,
    user: Option<u32>,
    cache: Option<PathBuf>,
}

impl Place {
    /// Folders for runs as the user of the test.
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let folders = Folders {
            home: folder.path().join("home"),
            temporary: folder.path().join("tmp"),
        };
        for path in [&folders.home, &folders.temporary] {
            fs::create_dir(path).expect("a folder can be made in a fresh folder");
        }
        Self {
            folder,
            folders,
            user: None,
            cache: None,
        }
    }

    /// Runs get this cache folder instead of the user's.
    pub(crate) fn with_cache(mut self, cache: PathBuf) -> Self {
        self.cache = Some(cache);
        self
    }

    /// Runs are started as the user (and group) with this id, who owns the folders.
    pub(crate) fn owned_by(mut self, user: u32) -> Self {
        for path in [
            self.folder.path(),
            &self.folders.home,
            &self.folders.temporary,
        ] {
            std::os::unix::fs::chown(path, Some(user), Some(user))
                .expect("root can give a folder away");
        }
        self.user = Some(user);
        self
    }

    /// The folder that holds all the others.
    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Where the runs of this place write their artefacts.
    pub(crate) fn artifacts(&self) -> PathBuf {
        self.folder.path().join("artifacts")
    }

    /// A command for the program under test.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(self.program());
        command
            .args(arguments)
            .env("HOME", &self.folders.home)
            .env("TMPDIR", &self.folders.temporary)
            .env("MESHPROOF_ARTIFACTS", self.artifacts())
            .env(
                "MESHPROOF_CACHE",
                self.cache.clone().unwrap_or_else(users_cache),
            )
            .env("MESHPROOF_IMAGES", images())
            .current_dir(self.path())
            .stdin(Stdio::null());
        if let Some(user) = self.user {
            command.uid(user).gid(user);
        }
        command
    }

    /// The binary; for another user a copy that this user can reach.
    fn program(&self) -> PathBuf {
        let built = PathBuf::from(env!("CARGO_BIN_EXE_meshproof"));
        if self.user.is_none() {
            return built;
        }
        let copy = self.folder.path().join("meshproof");
        if !copy.exists() {
            fs::copy(built, &copy).expect("the binary can be copied");
        }
        copy
    }

    /// Starts the program with events as JSON lines on its output.
    pub(crate) fn start(&self, arguments: &[&str]) -> Running {
        self.start_command(self.command(arguments))
    }

    /// The same for a command of this place that was changed.
    pub(crate) fn start_command(&self, mut command: Command) -> Running {
        command
            .args(["-o", "jsonl"])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().expect("the built binary starts");
        let events = read_lines(child.stdout.take().expect("stdout is a pipe"));
        let stderr = child.stderr.take().expect("stderr is a pipe");
        let complaints = std::thread::spawn(move || {
            let mut text = String::new();
            // What a killed program wrote last may be cut in the middle of a character: what is readable counts.
            let _ = BufReader::new(stderr).read_to_string(&mut text);
            text
        });
        Running {
            child,
            events,
            complaints: Some(complaints),
            seen: Vec::new(),
        }
    }
}

/// The cache that the machine's other runs fill; asset builds are too long to repeat them in each test.
pub(crate) fn users_cache() -> PathBuf {
    std::env::var_os("MESHPROOF_CACHE")
        .map(PathBuf::from)
        .unwrap_or_else(|| {
            let base = std::env::var_os("XDG_CACHE_HOME")
                .map(PathBuf::from)
                .unwrap_or_else(|| {
                    PathBuf::from(std::env::var_os("HOME").expect("HOME is set")).join(".cache")
                });
            base.join("meshproof")
        })
}

/// The image archives of this workspace, as `cargo xtask images` leaves them.
pub(crate) fn images() -> PathBuf {
    std::env::var_os("MESHPROOF_IMAGES")
        .map(PathBuf::from)
        .unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/images"))
}

fn read_lines(stdout: ChildStdout) -> mpsc::Receiver<Value> {
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            let Ok(event) = serde_json::from_str(&line) else {
                continue;
            };
            if sender.send(event).is_err() {
                return;
            }
        }
    });
    receiver
}

/// A started program.
pub(crate) struct Running {
    child: Child,
    events: mpsc::Receiver<Value>,
    complaints: Option<std::thread::JoinHandle<String>>,
    seen: Vec<Value>,
}

impl Running {
    /// Waits for the first event that `is` accepts.
    ///
    /// # Panics
    ///
    /// When the program ends or goes silent before.
    #[track_caller]
    pub(crate) fn wait_for(&mut self, what: &str, is: impl Fn(&Value) -> bool) -> Value {
        loop {
            match self.events.recv_timeout(SILENCE) {
                Ok(event) => {
                    self.seen.push(event.clone());
                    if is(&event) {
                        return event;
                    }
                }
                Err(error) => {
                    // The program is ours and it is of no more use: end it, so that nothing waits for it.
                    let _ = self.child.kill();
                    let complaints = self.complaints.take().map(|thread| thread.join());
                    panic!(
                        "waited for {what}: {error}; last event: {:?}; stderr: {complaints:?}",
                        self.seen.last()
                    );
                }
            }
        }
    }

    /// Its process.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal to the program, and to it alone.
    pub(crate) fn signal(&self, signal: &str) {
        let sent = Command::new("kill")
            .args([format!("-{signal}"), self.child.id().to_string()])
            .status()
            .expect("`kill` starts");
        assert!(sent.success(), "the program is still there to be signalled");
    }

    /// What it has started so far.
    pub(crate) fn footprint(&self) -> Footprint {
        Footprint::of(self.child.id())
    }

    /// Kills it and waits for its end: nothing of it runs any cleanup. What it had started by then.
    pub(crate) fn kill(mut self) -> Footprint {
        let footprint = self.footprint();
        self.child.kill().expect("a child of ours can be killed");
        self.child
            .wait()
            .expect("a child of ours can be waited for");
        footprint
    }

    /// Waits for its end; all its events, its exit status and what it wrote to stderr.
    pub(crate) fn finish(mut self) -> (ExitStatus, Vec<Value>, String) {
        while let Ok(event) = self.events.recv_timeout(SILENCE) {
            self.seen.push(event);
        }
        let status = self
            .child
            .wait()
            .expect("a child of ours can be waited for");
        let complaints = self
            .complaints
            .take()
            .and_then(|thread| thread.join().ok())
            .unwrap_or_default();
        (status, std::mem::take(&mut self.seen), complaints)
    }
}

/// The event says that this phase of bringing the environment up or down begins.
pub(crate) fn phase_started(phase: &str) -> impl Fn(&Value) -> bool + '_ {
    move |event| event["type"] == "phaseStarted" && event["phase"] == phase
}

/// The event says that this phase is over and went well.
pub(crate) fn phase_finished(phase: &str) -> impl Fn(&Value) -> bool + '_ {
    move |event| event["type"] == "phaseFinished" && event["phase"] == phase
}

/// The event is one of this kind in a scenario's history.
pub(crate) fn scenario_event(kind: &str) -> impl Fn(&Value) -> bool + '_ {
    move |event| event["type"] == "scenarioEvent" && event["event"]["event"] == kind
}
