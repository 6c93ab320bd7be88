//! The kernel's side, tried in namespaces that the tests make themselves: no privilege is needed and nothing
//! outside is touched.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use harness_kernel::full_disk::fill;
use harness_kernel::late_port;
use harness_kernel::link::{Links, VethEnd, Via};
use harness_kernel::namespace::{CloneFlags, Spawn};
use harness_kernel::netns::NetNs;
use harness_kernel::nfqueue::{DelayQueue, QueueRule, install, install_for_port};
use harness_kernel::parent::end_with_this_thread;
use harness_kernel::tap::{Seen, Tap};
use harness_kernel::{mount, nft};
use nix::sys::signal::Signal;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpListener, TcpStream, UdpSocket};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Runs `body` in a child process that is root of new namespaces: this very test binary, told to run this test.
fn inside(test: &str, body: impl FnOnce()) {
    const MARK: &str = "MESHPROOF_TEST_INSIDE";
    if std::env::var_os(MARK).is_some() {
        body();
        return;
    }
    let mut spawn = Spawn::again(vec![
        "test".into(),
        test.into(),
        "--exact".into(),
        "--nocapture".into(),
    ]);
    spawn.environment.push((MARK.into(), "1".into()));
    spawn.namespaces = CloneFlags::CLONE_NEWUSER
        | CloneFlags::CLONE_NEWPID
        | CloneFlags::CLONE_NEWNS
        | CloneFlags::CLONE_NEWNET;
    for (number, fd) in [
        (1, std::io::stdout().as_fd_copy()),
        (2, std::io::stderr().as_fd_copy()),
    ] {
        spawn.descriptors.push((number, fd));
    }
    let status = spawn.start().unwrap().wait_blocking().unwrap();
    assert!(status.success(), "inside the namespaces: {status}");
}

trait Copy {
    fn as_fd_copy(&self) -> std::os::fd::OwnedFd;
}

impl<T: std::os::fd::AsFd> Copy for T {
    fn as_fd_copy(&self) -> std::os::fd::OwnedFd {
        self.as_fd().try_clone_to_owned().unwrap()
    }
}

fn address(last: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 9, 0, last)
}

/// Two namespaces with a router between them; far is behind the router.
fn near_router_far() -> (NetNs, NetNs, NetNs) {
    mount::make_private().unwrap();
    mount::mount_proc(Path::new("/proc")).unwrap();
    let (near, router, far) = (
        NetNs::create().unwrap(),
        NetNs::create().unwrap(),
        NetNs::create().unwrap(),
    );
    let end = |name, namespace| VethEnd {
        name,
        namespace: Some(namespace),
    };
    let links = Links::open().unwrap();
    links
        .add_veth(&end("eth0", &near), &end("near", &router))
        .unwrap();
    links
        .add_veth(&end("eth0", &far), &end("far", &router))
        .unwrap();
    for (namespace, link, own) in [
        (&near, "eth0", Ipv4Addr::new(10, 9, 1, 2)),
        (&router, "near", Ipv4Addr::new(10, 9, 1, 1)),
        (&far, "eth0", Ipv4Addr::new(10, 9, 2, 2)),
        (&router, "far", Ipv4Addr::new(10, 9, 2, 1)),
    ] {
        let links = Links::open_in(namespace).unwrap();
        links.add_address(link, own, 24).unwrap();
        links.set_up(link).unwrap();
        if link == "eth0" {
            let [a, b, c, _] = own.octets();
            links
                .add_route(
                    Ipv4Addr::UNSPECIFIED,
                    0,
                    Via::Gateway(Ipv4Addr::new(a, b, c, 1)),
                )
                .unwrap();
        }
    }
    router.set_sysctl("ipv4/ip_forward", "1").unwrap();
    // The kernel turns a link on some time after it was set up, and drops what is sent until then.
    assert!(is_answered_soon(&near, &far), "the links never come up");
    (near, router, far)
}

/// How long a datagram may take where it is bound to arrive: longer than any machine is busy.
const SURELY: Duration = Duration::from_secs(30);
/// How long a datagram is waited for that may be lost.
const PERHAPS: Duration = Duration::from_millis(500);

/// Whether one of many datagrams arrives.
fn is_answered_soon(near: &NetNs, far: &NetNs) -> bool {
    (0..40).any(|_| round_trip(near, far, PERHAPS).is_some())
}

/// A datagram there and back; none when it takes longer than `bound` in either direction.
fn round_trip(near: &NetNs, far: &NetNs, bound: Duration) -> Option<Duration> {
    let to = Ipv4Addr::new(10, 9, 2, 2);
    let server = far.run_in(|| UdpSocket::bind((to, 0)).unwrap()).unwrap();
    let client = near
        .run_in(|| UdpSocket::bind("0.0.0.0:0").unwrap())
        .unwrap();
    for socket in [&server, &client] {
        socket.set_read_timeout(Some(bound)).unwrap();
    }
    let start = Instant::now();
    client
        .send_to(b"ping", server.local_addr().unwrap())
        .unwrap();
    let mut buffer = [0; 8];
    let (length, peer) = server.recv_from(&mut buffer).ok()?;
    server.send_to(&buffer[..length], peer).unwrap();
    client.recv_from(&mut buffer).ok()?;
    Some(start.elapsed())
}

/// A pod, and a port of its loopback that somebody listens at.
fn pod_with_port() -> (NetNs, TcpListener) {
    mount::make_private().unwrap();
    mount::mount_proc(Path::new("/proc")).unwrap();
    let pod = NetNs::create().unwrap();
    Links::open_in(&pod).unwrap().set_up("lo").unwrap();
    let listener = listen_in(&pod);
    (pod, listener)
}

fn listen_in(pod: &NetNs) -> TcpListener {
    let listen = || TcpListener::bind("127.0.0.1:0").unwrap();
    pod.run_in(listen).unwrap()
}

fn address_of(listener: &TcpListener) -> SocketAddrV4 {
    match listener.local_addr().unwrap() {
        SocketAddr::V4(address) => address,
        SocketAddr::V6(address) => panic!("{address} is of IPv6"),
    }
}

#[test]
fn a_veth_pair_spans_two_namespaces_and_a_bridge() {
    inside("a_veth_pair_spans_two_namespaces_and_a_bridge", || {
        mount::make_private().unwrap();
        mount::mount_proc(Path::new("/proc")).unwrap();
        let pod = NetNs::create().unwrap();
        let links = Links::open().unwrap();
        links.add_bridge("pods0").unwrap();
        links.add_address("pods0", address(1), 24).unwrap();
        links
            .add_veth(
                &VethEnd {
                    name: "vpod",
                    namespace: None,
                },
                &VethEnd {
                    name: "eth0",
                    namespace: Some(&pod),
                },
            )
            .unwrap();
        links.set_bridge("vpod", "pods0").unwrap();
        links.set_up("vpod").unwrap();
        let inside = Links::open_in(&pod).unwrap();
        inside.add_address("eth0", address(2), 24).unwrap();
        inside.set_up("eth0").unwrap();
        inside
            .add_route(Ipv4Addr::UNSPECIFIED, 0, Via::Gateway(address(1)))
            .unwrap();
        assert_ne!(
            pod.inode().unwrap(),
            NetNs::current().unwrap().inode().unwrap()
        );
        let listener = std::net::TcpListener::bind((address(1), 0)).unwrap();
        let target = listener.local_addr().unwrap();
        let stream = pod
            .run_in(|| std::net::TcpStream::connect(target))
            .unwrap()
            .unwrap();
        assert_eq!(stream.local_addr().unwrap().ip(), address(2));
        links.delete("vpod").unwrap();
        assert!(inside.index("eth0").is_err(), "both ends go together");
    });
}

#[test]
fn a_refused_rule_is_named_with_what_nft_said() {
    inside("a_refused_rule_is_named_with_what_nft_said", || {
        let error = nft::apply("table inet t { chain c { no such words } }")
            .unwrap_err()
            .to_string();
        assert!(error.contains("syntax error"), "{error}");
        assert!(error.contains("no such words"), "{error}");
    });
}

#[test]
fn a_timed_element_cuts_and_the_kernel_heals() {
    inside("a_timed_element_cuts_and_the_kernel_heals", || {
        let (near, router, far) = near_router_far();
        nft::apply_in(
            &router,
            "table inet m { set cut { type ifname; flags timeout; }
               chain forward { type filter hook forward priority 0; iifname @cut drop; oifname @cut drop; }
             }",
        )
        .unwrap();
        nft::apply_in(&router, "add element inet m cut { \"near\" timeout 5s }").unwrap();
        assert!(round_trip(&near, &far, PERHAPS).is_none(), "cut");
        assert!(
            is_answered_soon(&near, &far),
            "nobody but the kernel took the element away"
        );
    });
}

#[test]
fn a_queue_delays_and_without_its_reader_packets_pass() {
    inside("a_queue_delays_and_without_its_reader_packets_pass", || {
        let (near, router, far) = near_router_far();
        let delay = Duration::from_millis(40);
        let rule = QueueRule {
            link: "near".into(),
            source: "10.9.1.0/24".into(),
            queue: 1,
        };
        router
            .run_in(|| install(&[rule], Path::new("/tmp/meshproof-kernel-test.lock")).unwrap())
            .unwrap();
        round_trip(&near, &far, SURELY).expect("bypass without a listener");
        let queue = router
            .run_in(|| DelayQueue::open(1, delay).unwrap())
            .unwrap();
        std::thread::spawn(move || queue.run());
        // Never less than the delay; how much more depends on the machine.
        for _ in 0..5 {
            let took = round_trip(&near, &far, SURELY).expect("with delay");
            assert!(took >= delay, "{took:?}");
        }
        let _ = std::fs::remove_file("/tmp/meshproof-kernel-test.lock");
    });
}

#[test]
fn a_port_is_late_until_it_is_given_back_and_another_one_never() {
    inside(
        "a_port_is_late_until_it_is_given_back_and_another_one_never",
        || {
            let (pod, slow) = pod_with_port();
            let other = listen_in(&pod);
            let took = |listener: &TcpListener| {
                let (to, begun) = (address_of(listener), Instant::now());
                pod.run_in(|| TcpStream::connect(to).unwrap()).unwrap();
                begun.elapsed()
            };
            // Longer than a busy machine stands still.
            let delay = Duration::from_secs(2);
            let lock = Path::new("/tmp/meshproof-kernel-late-port.lock");
            let begin =
                || late_port::begin(pod.try_clone().unwrap(), address_of(&slow), delay, lock);
            let (late, measured) = begin().unwrap();
            assert!(measured.contains("ms before and "), "{measured}");
            assert!(took(&slow) >= delay);
            // A busy machine may be slow once.
            let is_prompt = |listener: &TcpListener| (0..20).any(|_| took(listener) < delay);
            assert!(is_prompt(&other), "it is not late");
            begin().map(drop).expect_err("it is late already");
            late.end().unwrap();
            assert!(is_prompt(&slow), "it was given back");
            let _ = std::fs::remove_file(lock);
        },
    );
}

/// Dials a port for a moment; whether it was reached.
fn is_reached(namespace: &NetNs, to: SocketAddrV4) -> bool {
    let moment = Duration::from_millis(20);
    let dial = || TcpStream::connect_timeout(&SocketAddr::V4(to), moment);
    namespace.run_in(dial).unwrap().is_ok()
}

#[test]
fn a_port_is_late_again_while_packets_of_the_time_before_wait() {
    inside(
        "a_port_is_late_again_while_packets_of_the_time_before_wait",
        || {
            let (pod, slow) = pod_with_port();
            let to = address_of(&slow);
            let lock = Path::new("/tmp/meshproof-kernel-late-again.lock");
            let delay = Duration::from_secs(2);
            let begin = || late_port::begin(pod.try_clone().unwrap(), to, delay, lock);
            let (late, _) = begin().unwrap();
            // It waits for the whole delay, and nobody else can have the queue.
            assert!(!is_reached(&pod, to), "it is not late");
            late.end().unwrap();
            let (late, _) = begin().unwrap();
            assert!(!is_reached(&pod, to), "it is not late again");
            late.end().unwrap();
            let _ = std::fs::remove_file(lock);
        },
    );
}

#[test]
fn packets_pass_at_once_where_the_rule_of_a_queue_that_nobody_wants_stays() {
    inside(
        "packets_pass_at_once_where_the_rule_of_a_queue_that_nobody_wants_stays",
        || {
            let (pod, slow) = pod_with_port();
            let to = address_of(&slow);
            let lock = Path::new("/tmp/meshproof-kernel-rule-stays.lock");
            let delay = Duration::from_millis(500);
            let open = || DelayQueue::open(1, delay).unwrap();
            let queue = pod.run_in(open).unwrap();
            pod.run_in(|| install_for_port(to.port(), 1, lock).unwrap())
                .unwrap();
            let is_wanted = AtomicBool::new(true);
            std::thread::scope(|scope| {
                let serving = scope.spawn(|| queue.run_while(&is_wanted));
                let was_late = !is_reached(&pod, to);
                is_wanted.store(false, Ordering::Relaxed);
                assert!(was_late);
                let begun = Instant::now();
                // Each leaves a packet that waits, so that there is always one.
                while !is_reached(&pod, to) && begun.elapsed() < SURELY {}
                assert!(begun.elapsed() < SURELY, "it stays late");
                serving.join().unwrap().unwrap();
            });
            let _ = std::fs::remove_file(lock);
        },
    );
}

#[test]
fn a_tap_sees_what_one_address_sends_and_gets_over_a_router_and_nothing_else() {
    inside(
        "a_tap_sees_what_one_address_sends_and_gets_over_a_router_and_nothing_else",
        || {
            let (near, router, far) = near_router_far();
            let open = |link: &str, source| router.run_in(|| Tap::open(link, source)).unwrap();
            let own = Ipv4Addr::new(10, 9, 1, 2);
            let tap = open("far", own).unwrap();
            let of_another = open("far", Ipv4Addr::new(10, 9, 1, 3)).unwrap();
            let the_other_way = open("near", own).unwrap();
            let listener = far
                .run_in(|| TcpListener::bind("10.9.2.2:7000"))
                .unwrap()
                .unwrap();
            let mut caller = near
                .run_in(|| TcpStream::connect("10.9.2.2:7000"))
                .unwrap()
                .unwrap();
            let (mut callee, _) = listener.accept().unwrap();
            caller.write_all(b"question").unwrap();
            let mut question = [0; 8];
            callee.read_exact(&mut question).unwrap();
            callee.write_all(b"answer").unwrap();
            caller.read_exact(&mut question[..6]).unwrap();
            let seen = tap.seen().unwrap();
            assert_eq!(seen.dropped, 0);
            let carries =
                |packet: &Vec<u8>, what: &[u8]| packet.windows(what.len()).any(|part| part == what);
            let count = |what: &[u8], at: std::ops::Range<usize>| {
                let is_there =
                    |packet: &&Vec<u8>| carries(packet, what) && packet[at.clone()] == own.octets();
                seen.packets.iter().filter(is_there).count()
            };
            assert_eq!(count(b"question", 12..16), 1, "{seen:?}");
            assert_eq!(count(b"answer", 16..20), 1, "{seen:?}");
            assert!(
                seen.packets
                    .iter()
                    .all(|packet| packet[12..16] == own.octets() || packet[16..20] == own.octets())
            );
            assert_eq!(of_another.seen().unwrap(), Seen::default());
            assert_eq!(the_other_way.seen().unwrap(), Seen::default());
            assert!(open("nowhere", own).is_err());
        },
    );
}

#[test]
fn a_file_system_in_memory_is_full_and_has_its_room_again() {
    inside(
        "a_file_system_in_memory_is_full_and_has_its_room_again",
        || {
            mount::make_private().unwrap();
            let disk = tempfile::tempdir().unwrap();
            let disk = disk.path().canonicalize().unwrap();
            mount::mount_tmpfs(&disk, "mode=755,size=1m").unwrap();
            let run = disk.join("run");
            std::fs::create_dir(&run).unwrap();
            mount::mount_tmpfs(&run, "mode=755,size=1m").unwrap();
            let folder = run.join("agent");
            std::fs::create_dir(&folder).unwrap();
            // Once while nothing is on it, and once while something is.
            for length in [0, 300_000] {
                std::fs::write(folder.join("present"), vec![1; length]).unwrap();
                let (full, measured) = fill(&folder, &disk).unwrap();
                assert!(
                    measured.ends_with("No space left on device (os error 28)"),
                    "{measured}"
                );
                let error = std::fs::write(folder.join("new"), "something").unwrap_err();
                assert_eq!(error.kind(), std::io::ErrorKind::StorageFull);
                std::fs::write(disk.join("beside"), "something").unwrap();
                // A socket needs no block.
                let socket = folder.join("socket");
                std::os::unix::net::UnixListener::bind(&socket).unwrap();
                std::fs::remove_file(socket).unwrap();
                let again = fill(&folder, &disk).unwrap_err();
                assert!(again.act.ends_with("which has no room"), "{}", again.act);

                full.undo().unwrap();
                assert_eq!(std::fs::read(folder.join("present")).unwrap().len(), length);
                std::fs::write(folder.join("new"), vec![1; 600_000]).unwrap();
                let error = std::fs::write(folder.join("newer"), vec![1; 600_000]).unwrap_err();
                assert_eq!(error.kind(), std::io::ErrorKind::StorageFull);
                std::fs::remove_file(folder.join("new")).unwrap();
                std::fs::remove_file(folder.join("newer")).unwrap();
            }
            assert_eq!(std::fs::read_dir(&run).unwrap().count(), 1);
            assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 1);
            mount::detach(&disk).unwrap();
        },
    );
}

#[test]
fn a_file_system_that_is_not_ours_or_not_in_memory_is_never_filled() {
    inside(
        "a_file_system_that_is_not_ours_or_not_in_memory_is_never_filled",
        || {
            mount::make_private().unwrap();
            let disk = tempfile::tempdir().unwrap();
            let below = disk.path().join("below");
            std::fs::create_dir(&below).unwrap();
            mount::mount_tmpfs(disk.path(), "mode=755,size=1m").unwrap();
            std::fs::create_dir(&below).unwrap();
            let reason =
                |folder: &Path, top: &Path| fill(folder, top).unwrap_err().source.to_string();
            assert_eq!(reason(&below, &below), "it is not ours");
            std::fs::create_dir(below.join("proc")).unwrap();
            mount::mount_proc(&below.join("proc")).unwrap();
            assert_eq!(
                reason(&below.join("proc"), disk.path()),
                "it is not in memory"
            );
            std::fs::write(below.join("new"), "something").unwrap();
            mount::detach(disk.path()).unwrap();
        },
    );
}

#[test]
fn a_child_is_root_of_its_namespaces_and_dies_with_its_init() {
    let mut spawn = Spawn::again(vec!["sleep".into(), "1000".into()]);
    spawn.program = "/bin/sleep".into();
    spawn.namespaces = CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWPID;
    let child = spawn.start().unwrap();
    let map = std::fs::read_to_string(format!("/proc/{}/uid_map", child.pid())).unwrap();
    assert_eq!(map.split_whitespace().next(), Some("0"));
    child.signal(Signal::SIGKILL).unwrap();
    assert_eq!(
        child.wait_blocking().unwrap().to_string(),
        "signal: 9 (SIGKILL)"
    );
    assert!(child.known().is_some());
}

#[test]
fn a_process_can_end_with_the_thread_that_started_it() {
    use std::os::unix::process::ExitStatusExt;
    let thread = std::thread::spawn(|| {
        let mut command = std::process::Command::new("sleep");
        command.arg("1000");
        end_with_this_thread(&mut command);
        command.spawn().unwrap()
    });
    let mut child = thread.join().unwrap();
    let ended_by = child.wait().unwrap().signal();
    assert_eq!(ended_by, Some(Signal::SIGKILL as i32));
}

#[test]
fn a_program_that_does_not_exist_is_named() {
    let mut spawn = Spawn::again(vec!["x".into()]);
    spawn.program = "/no/such/program".into();
    assert_eq!(
        spawn.start().unwrap_err().to_string(),
        "execute `/no/such/program`"
    );
}
