//! Several processes and one cache: they share the work, and one that is killed takes its children along and leaves
//! nothing that the next one does not heal. Where official releases cannot be had, they make everything.
//!
//! The processes are this test program itself, started for [`obtain_in_a_process_of_its_own`] only, with a `go` on
//! their path that does what a test says. All waiting is for pipes.

use harness_assets::{Asset, AssetOptions, Downloads, ForImages, Progress, obtain};
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};

/// Notes each build, says who it is on `alive`, and holds that pipe until it ends; goes on when `gate` is opened.
const FAKE_GO: &str = r#"#!/bin/sh
place="$MESHPROOF_TEST_PLACE"
while [ "$1" != "-o" ]; do shift; done
echo "$3" >>"$place/builds"
if [ -p "$place/gate" ]; then
    exec 9>"$place/alive"
    echo "building" >&9
    read -r _ <"$place/gate"
fi
printf '#!/bin/sh\n' >"$2"
chmod +x "$2"
"#;

struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("temporary folder");
        let place = Self { folder };
        for name in ["bin", "given", "cache"] {
            fs::create_dir(place.path(name)).expect("make a folder");
        }
        write_program(&place.path("bin/go"), FAKE_GO);
        // The wheel's hash is pinned, so Envoy cannot be faked; it is given.
        write_program(&place.path("given/envoy"), "#!/bin/sh\n");
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Makes builds wait until [`open`](Self::open).
    fn close(&self) {
        for name in ["gate", "alive"] {
            let made = Command::new("mkfifo")
                .arg(self.path(name))
                .status()
                .expect("start mkfifo");
            assert!(made.success());
        }
    }

    /// Lets the build that waits go on, and all after it.
    fn open(&self) {
        let mut gate = File::options()
            .write(true)
            .open(self.path("gate"))
            .expect("open the gate");
        fs::remove_file(self.path("gate")).expect("remove the gate");
        gate.write_all(b"go\n").expect("write to the gate");
    }

    fn start(&self) -> Process {
        self.start_with("off")
    }

    /// `downloads` is where releases come from, in the words of the variable.
    fn start_with(&self, downloads: &str) -> Process {
        let path = std::env::var("PATH").expect("a path");
        let mut child = Command::new(std::env::current_exe().expect("own program"))
            .args([
                "--ignored",
                "--exact",
                "obtain_in_a_process_of_its_own",
                "--nocapture",
                "--test-threads=1",
            ])
            .env("PATH", format!("{}:{path}", self.path("bin").display()))
            .env("MESHPROOF_TEST_PLACE", self.folder.path())
            .env("MESHPROOF_DOWNLOADS", downloads)
            .env("NO_PROXY", "127.0.0.1")
            .stdout(Stdio::piped())
            .spawn()
            .expect("start own program");
        let lines = BufReader::new(child.stdout.take().expect("stdout is a pipe"));
        Process { child, lines }
    }

    fn builds(&self) -> usize {
        fs::read_to_string(self.path("builds"))
            .expect("builds were noted")
            .lines()
            .count()
    }

    fn rubbish(&self) -> usize {
        let entries = fs::read_dir(self.path("cache/assets")).expect("read the cache");
        let names = entries.map(|entry| entry.expect("an entry").file_name());
        names
            .filter(|name| name.to_string_lossy().starts_with('.'))
            .count()
    }
}

struct Process {
    child: Child,
    lines: BufReader<ChildStdout>,
}

impl Process {
    #[track_caller]
    fn wait_for(&mut self, part: &str) -> String {
        let mut line = String::new();
        loop {
            line.clear();
            let count = self.lines.read_line(&mut line).expect("read its output");
            assert!(count > 0, "it ended before it said `{part}`");
            if line.contains(part) {
                return line;
            }
        }
    }

    #[track_caller]
    fn finish(mut self) {
        let mut rest = String::new();
        self.lines
            .read_to_string(&mut rest)
            .expect("read its output");
        let status = self.child.wait().expect("wait for it");
        assert!(status.success(), "{status}: {rest}");
    }
}

fn write_program(path: &Path, text: &str) {
    fs::write(path, text).expect("write a program");
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).expect("make it executable");
}

fn options(place: &Path) -> AssetOptions {
    AssetOptions {
        folders: vec![place.join("given")],
        cache: place.join("cache"),
        offline: false,
        downloads: Downloads::Off,
    }
}

#[test]
#[ignore = "not a test by itself: the program of the processes that the tests start"]
fn obtain_in_a_process_of_its_own() {
    let place = std::env::var_os("MESHPROOF_TEST_PLACE").expect("a test says which place");
    let say = |progress: &Progress| {
        println!("{progress}");
        std::io::stdout().flush().expect("flush");
    };
    let options = AssetOptions {
        downloads: Downloads::from_environment().expect("a test says from where"),
        ..options(Path::new(&place))
    };
    obtain(&options, ForImages::Envoy, &say).expect("obtain");
}

#[test]
fn two_processes_share_one_build() {
    let place = Place::new();
    place.close();
    let mut first = place.start();
    let mut alive = File::open(place.path("alive")).expect("wait for the build");
    first.wait_for("making etcd (1 of 4)");
    let mut second = place.start();
    let line = second.wait_for("waiting for it");
    assert!(
        line.contains(&format!("process {}", first.child.id())),
        "{line}"
    );
    place.open();
    alive
        .read_to_string(&mut String::new())
        .expect("read until the build ends");
    first.finish();
    second.finish();
    assert_eq!(place.builds(), Asset::ALL.len() - 1);
    assert_eq!(place.rubbish(), 0);
}

#[test]
fn a_killed_process_takes_its_build_along_and_the_next_one_heals_the_cache() {
    let place = Place::new();
    place.close();
    let mut process = place.start();
    let mut alive = File::open(place.path("alive")).expect("wait for the build");
    process.child.kill().expect("kill it");
    process.child.wait().expect("wait for it");
    // The build holds this pipe: its end is the build's end.
    alive
        .read_to_string(&mut String::new())
        .expect("read until the build ends");
    assert_eq!(place.rubbish(), 1, "it was killed in the middle");
    fs::remove_file(place.path("gate")).expect("let builds pass");
    place.start().finish();
    assert_eq!(place.rubbish(), 0);
    assert_eq!(
        place.builds(),
        Asset::ALL.len(),
        "one of them was begun twice"
    );
    obtain(
        &AssetOptions {
            offline: true,
            ..options(place.folder.path())
        },
        ForImages::Envoy,
        &|_| (),
    )
    .expect("everything is there");
}

#[test]
fn only_what_is_damaged_is_made_again() {
    let place = Place::new();
    place.start().finish();
    let whole = obtain(&options(place.folder.path()), ForImages::Envoy, &|_| ())
        .expect("everything is there");
    fs::write(&whole.etcd, "").expect("truncate");
    let mut process = place.start();
    process
        .wait_for("etcd in the cache is damaged (it has 0 bytes instead of 10); making it again");
    process.wait_for("making etcd (1 of 1)");
    process.finish();
    assert_eq!(place.builds(), Asset::ALL.len());
}

/// A server that has nothing, until the test ends.
fn empty_mirror() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("its address");
    std::thread::spawn(move || {
        for mut connection in listener.incoming().map_while(Result::ok) {
            let request = BufReader::new(connection.try_clone().expect("a second handle"));
            let lines = request.lines().map_while(Result::ok);
            lines.take_while(|line| !line.is_empty()).for_each(drop);
            let answer =
                b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
            connection.write_all(answer).expect("answer");
        }
    });
    address
}

#[test]
fn what_cannot_be_downloaded_is_made() {
    let empty = empty_mirror();
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let nobody = listener.local_addr().expect("its address");
    drop(listener);
    for (mirror, reason) in [(nobody, "refused"), (empty, "404")] {
        let place = Place::new();
        let mut process = place.start_with(&format!("http://{mirror}"));
        let line = process.wait_for("etcd cannot be downloaded from");
        assert!(line.contains(reason), "{line}");
        process.wait_for("making etcd (1 of 4)");
        process.finish();
        assert_eq!(place.builds(), Asset::ALL.len() - 1);
    }
}
