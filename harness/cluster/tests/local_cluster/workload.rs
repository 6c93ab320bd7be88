//! What runs in the pods of the tests: this program once more, in an image of its own.

use harness_images::pack::{FileSpec, ImageSpec, pack};
use nix::sys::signal::{SigSet, Signal};
use std::io::{IsTerminal as _, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::time::Duration;

pub(crate) const ROLE: &str = "workload";
/// The image's name in manifests.
pub(crate) const IMAGE: &str = "test/workload:1";
/// Where `obey` listens.
pub(crate) const PORT: u16 = 8080;
/// Where `talk` listens too: what it hears there it says in capital letters, and nothing is heard.
pub(crate) const SHOUT_PORT: u16 = 8081;
pub(crate) const DEAF_PORT: u16 = 8082;
/// What must never be found in what is collected for people. No real key.
pub(crate) const SECRET: &str = "MIGHAgEAMBMGByqGSM49AgEG";

/// Packs this program into an image.
pub(crate) fn pack_image(folder: &Path) -> PathBuf {
    let archive = folder.join("workload.tar");
    let program = FileSpec {
        target: "/workload".into(),
        source: std::env::current_exe().unwrap(),
        mode: 0o755,
    };
    let folders = ["/dev", "/etc", "/proc", "/sys", "/tmp"];
    let spec = ImageSpec {
        reference: IMAGE.to_owned(),
        files: vec![program],
        folders: folders.map(|path| (path.into(), 0o755)).into(),
        entrypoint: vec!["/workload".to_owned(), ROLE.to_owned()],
        cmd: Vec::new(),
        env: Vec::new(),
    };
    pack(&spec, &archive).unwrap();
    archive
}

/// Does what the pod says.
#[expect(clippy::exit, reason = "a container that ends says how")]
pub(crate) fn run(arguments: &[String]) {
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["exit", status, words] => {
            println!("{words}");
            std::process::exit(status.parse().unwrap());
        }
        // The first process of a namespace ignores what it has no handler for.
        ["hold"] => hold(),
        ["obey"] => {
            let mut wanted = SigSet::empty();
            wanted.add(Signal::SIGTERM);
            wanted.thread_block().unwrap();
            // Probes see that it listens to the signal by now.
            let _door = TcpListener::bind(("0.0.0.0", PORT)).unwrap();
            wanted.wait().unwrap();
            println!("obeyed");
        }
        ["answer", status] => {
            let mut asked = String::new();
            std::io::stdin().read_to_string(&mut asked).unwrap();
            print!("{}", asked.to_uppercase());
            eprint!("{} bytes", asked.len());
            std::process::exit(status.parse().unwrap());
        }
        ["sit"] => sit(),
        ["use", ticks, mebibytes] => {
            let held = take(mebibytes.parse().unwrap());
            burn(ticks.parse().unwrap());
            println!("used");
            std::hint::black_box(&held);
            hold();
        }
        ["make", ref things @ ..] => {
            make(things);
            hold();
        }
        ["make-and-end", ref things @ ..] => make(things),
        ["show", file] => show(Path::new(file)),
        ["talk"] => talk(),
        ["left-alone", ref ports @ ..] => {
            wait_until_left_alone(
                &ports
                    .iter()
                    .map(|port| port.parse().unwrap())
                    .collect::<Vec<_>>(),
            );
        }
        ["tell-secret"] => {
            println!("-----BEGIN PRIVATE KEY-----\n{SECRET}\n-----END PRIVATE KEY-----\nafter it");
            hold();
        }
        _ => panic!("{arguments:?}"),
    }
}

/// Says how large the terminal is, whenever that changes and somebody presses return.
fn sit() {
    assert!(std::io::stdout().is_terminal(), "there is no terminal");
    for line in std::io::stdin().lines() {
        let (columns, rows) = harness_kernel::terminal::size(std::io::stdout()).unwrap();
        println!("{} at {columns}x{rows}", line.unwrap());
    }
}

/// Takes so many MiB of memory, every page of them.
fn take(mebibytes: usize) -> Vec<u8> {
    vec![1; mebibytes << 20]
}

/// Works until it has used so many hundredths of a second of processor time.
fn burn(ticks: u64) {
    let used = || -> u64 {
        let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
        let (_, fields) = stat.rsplit_once(')').unwrap();
        let times = fields.split_whitespace().skip(11).take(2);
        times.map(|field| field.parse::<u64>().unwrap()).sum()
    };
    while used() < ticks {
        std::hint::black_box((0..1_000_000_u64).sum::<u64>());
    }
}

/// Makes things on the disk, each told as `folder:PATH`, `socket:PATH`, `file:PATH=TEXT`, `key:PATH` or `link:PATH=TARGET`.
fn make(things: &[&str]) {
    for thing in things {
        let (kind, rest) = thing.split_once(':').unwrap();
        let (path, text) = rest.split_once('=').unwrap_or((rest, ""));
        let made = match kind {
            "folder" => std::fs::create_dir_all(path),
            "socket" => UnixListener::bind(path).map(drop),
            "file" => std::fs::create_dir_all(Path::new(path).parent().unwrap())
                .and_then(|()| std::fs::write(path, text)),
            "key" => std::fs::write(path, format!("-----BEGIN PRIVATE KEY-----\n{SECRET}\n")),
            "link" => symlink(text, path),
            _ => panic!("{thing}"),
        };
        made.unwrap_or_else(|error| panic!("{thing}: {error}"));
    }
    println!("made");
}

/// Repeats what it hears at [`PORT`]; see the other two.
fn talk() -> ! {
    let answers: [(u16, fn(TcpStream)); 3] = [
        (DEAF_PORT, |_held| hold()),
        (SHOUT_PORT, |stream| {
            answer(stream, |byte| byte.to_ascii_uppercase())
        }),
        // Probes see that it listens to the others by then.
        (PORT, |stream| answer(stream, |byte| byte)),
    ];
    for (port, answer) in answers {
        let door = TcpListener::bind(("0.0.0.0", port)).unwrap();
        std::thread::spawn(move || {
            for stream in door.incoming() {
                let stream = stream.unwrap();
                std::thread::spawn(move || answer(stream));
            }
        });
    }
    hold()
}

fn answer(mut stream: TcpStream, change: fn(u8) -> u8) {
    let mut chunk = [0; 4096];
    // Who left in the middle wants no answer.
    while let Ok(count @ 1..) = stream.read(&mut chunk) {
        chunk[..count]
            .iter_mut()
            .for_each(|byte| *byte = change(*byte));
        if stream.write_all(&chunk[..count]).is_err() {
            return;
        }
    }
}

/// Waits until nobody in the pod's network has a connection to one of these ports.
#[expect(clippy::disallowed_methods, reason = "the kernel tells nobody of it")]
fn wait_until_left_alone(ports: &[u16]) {
    let established = |line: &str| {
        let fields: Vec<_> = line.split_whitespace().skip(2).take(2).collect();
        let [there, "01"] = fields[..] else {
            return false;
        };
        let port = there.rsplit_once(':').unwrap().1;
        ports.contains(&u16::from_str_radix(port, 16).unwrap())
    };
    let connected = || {
        std::fs::read_to_string("/proc/self/net/tcp")
            .unwrap()
            .lines()
            .any(established)
    };
    while connected() {
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn hold() -> ! {
    loop {
        std::thread::park();
    }
}

/// Prints a file whenever it has changed, for ever.
#[expect(clippy::disallowed_methods, reason = "as an application would look")]
fn show(file: &Path) {
    let mut shown = String::new();
    loop {
        let text = std::fs::read_to_string(file).unwrap();
        if text != shown {
            println!("{text}");
            shown = text;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}
