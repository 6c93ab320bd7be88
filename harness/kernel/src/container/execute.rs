//! The `__container` process: reads its order, makes or joins the namespaces, forks, executes, waits.

use super::{Act, ContainerSpec, Order, ProcessSpec, StepError, Streams, capabilities, root};
use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sched::{CloneFlags, setns, unshare};
use nix::sys::signal::{SigHandler, Signal, signal};
use nix::sys::stat::{Mode, umask};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid, fork};
use std::ffi::CString;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, FromRawFd, OwnedFd};
use std::path::{Path, PathBuf};

/// Exit status when the container could not be started; runtimes use the same.
const START_FAILED: i32 = 128;

/// Where programs are looked up when the environment has no `PATH`.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

pub(super) fn run() -> i32 {
    let Ok(mut report) = report_channel() else {
        return START_FAILED;
    };
    match start(&mut report) {
        Ok(status) => status,
        Err(error) => {
            tell_failure(&mut report, &error);
            START_FAILED
        }
    }
}

/// The socket to the kubelet, under a number that is closed by the exec.
fn report_channel() -> io::Result<File> {
    Ok(File::from(io::stdin().as_fd().try_clone_to_owned()?))
}

/// Writes a line at once: parent and child report over the same socket.
fn tell(report: &mut File, line: &str) -> io::Result<()> {
    report.write_all(format!("{line}\n").as_bytes())
}

fn tell_failure(report: &mut File, error: &StepError) {
    // The kubelet being gone is the only reason for this to fail, and then this process is ended with it.
    let _ = tell(report, &format!("error {error}"));
}

fn start(report: &mut File) -> Result<i32, StepError> {
    let mut text = String::new();
    report
        .read_to_string(&mut text)
        .act(|| "read the order".to_owned())?;
    let order: Order = serde_json::from_str(&text)
        .map_err(io::Error::from)
        .act(|| "understand the order".to_owned())?;
    drop(text);
    detach_standard_input()?;
    close_on_exec()?;
    // Before namespaces are joined: the paths are those of the caller.
    let groups = open_groups(&order)?;
    match &order {
        Order::Start(spec) => new_namespaces(spec)?,
        Order::Execute { pid, streams, .. } => {
            // Before its namespaces are joined: the paths are those of the caller.
            attach(streams)?;
            join_namespaces(*pid)?;
        }
    }
    // Before the fork: the child's pivot changes this process's root as well.
    let nothing = null_device()?;
    // SAFETY: this process has one thread (see the invariant of `shim`), so the child may do anything.
    match unsafe { fork() }.act(|| "fork".to_owned())? {
        ForkResult::Child => {
            let error = match become_process(&order, groups) {
                Ok(never) => match never {},
                Err(error) => error,
            };
            tell_failure(report, &error);
            // SAFETY: ends this process without running the parent's exit handlers.
            unsafe { libc::_exit(START_FAILED) }
        }
        ForkResult::Parent { child } => {
            tell(report, &format!("pid {child}")).act(|| "report the process".to_owned())?;
            // The kubelet reads until every copy is closed: the child's is by its exec.
            drop(std::mem::replace(report, nothing));
            Ok(wait_for(child))
        }
    }
}

fn null_device() -> Result<File, StepError> {
    File::options()
        .read(true)
        .write(true)
        .open("/dev/null")
        .act(|| "open /dev/null".to_owned())
}

fn detach_standard_input() -> Result<(), StepError> {
    nix::unistd::dup2_stdin(null_device()?).act(|| "detach standard input".to_owned())
}

fn attach(streams: &Streams) -> Result<(), StepError> {
    match streams {
        Streams::Outputs => Ok(()),
        Streams::Input(path) => {
            let input = File::open(path).act(|| format!("open {}", path.display()))?;
            nix::unistd::dup2_stdin(input).act(|| "attach the input".to_owned())
        }
        Streams::Terminal(path) => {
            let terminal = nix::fcntl::open(path, OFlag::O_RDWR | OFlag::O_NOCTTY, Mode::empty())
                .act(|| format!("open {}", path.display()))?;
            let attached = nix::unistd::dup2_stdin(&terminal)
                .and_then(|()| nix::unistd::dup2_stdout(&terminal))
                .and_then(|()| nix::unistd::dup2_stderr(&terminal));
            attached.act(|| "attach the terminal".to_owned())
        }
    }
}

/// Nothing but the standard streams may reach the container, whatever this process inherited.
fn close_on_exec() -> Result<(), StepError> {
    // SAFETY: close_range with CLOSE_RANGE_CLOEXEC only sets a flag on descriptors.
    let result = unsafe {
        libc::syscall(
            libc::SYS_close_range,
            3_u32,
            u32::MAX,
            libc::CLOSE_RANGE_CLOEXEC,
        )
    };
    Errno::result(result).act(|| "mark inherited descriptors".to_owned())?;
    Ok(())
}

fn new_namespaces(spec: &ContainerSpec) -> Result<(), StepError> {
    let network = File::open(&spec.network_namespace).act(|| {
        format!(
            "open the network namespace {}",
            spec.network_namespace.display()
        )
    })?;
    setns(network.as_fd(), CloneFlags::CLONE_NEWNET).act(|| "join the pod's network".to_owned())?;
    unshare(
        CloneFlags::CLONE_NEWNS
            | CloneFlags::CLONE_NEWPID
            | CloneFlags::CLONE_NEWUTS
            | CloneFlags::CLONE_NEWIPC,
    )
    .act(|| "make namespaces".to_owned())
}

fn join_namespaces(pid: i32) -> Result<(), StepError> {
    // SAFETY: pidfd_open takes two numbers and returns a new descriptor.
    let result = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
    let number = Errno::result(result).act(|| format!("find the container's process {pid}"))?;
    let number = i32::try_from(number)
        .map_err(io::Error::other)
        .act(|| "use a descriptor".to_owned())?;
    // SAFETY: the descriptor was just made and is owned by nobody else.
    let container = unsafe { OwnedFd::from_raw_fd(number) };
    setns(
        container,
        CloneFlags::CLONE_NEWNS
            | CloneFlags::CLONE_NEWPID
            | CloneFlags::CLONE_NEWUTS
            | CloneFlags::CLONE_NEWIPC
            | CloneFlags::CLONE_NEWNET,
    )
    .act(|| "join the container".to_owned())
}

fn open_groups(order: &Order) -> Result<Vec<File>, StepError> {
    let process = match order {
        Order::Start(spec) => &spec.process,
        Order::Execute { process, .. } => process,
    };
    let open = |path: &PathBuf| {
        let opened = File::options().write(true).open(path);
        opened.act(|| format!("open {}", path.display()))
    };
    process.control_groups.iter().map(open).collect()
}

fn become_process(order: &Order, groups: Vec<File>) -> Result<std::convert::Infallible, StepError> {
    for mut group in groups {
        group
            .write_all(b"0")
            .act(|| "enter the control group".to_owned())?;
    }
    let process = match order {
        Order::Start(spec) => {
            nix::unistd::sethostname(&spec.hostname).act(|| "set the host name".to_owned())?;
            root::enter(spec)?;
            &spec.process
        }
        Order::Execute { process, .. } => process,
    };
    nix::unistd::setsid().act(|| "start a session".to_owned())?;
    if let Order::Execute {
        streams: Streams::Terminal(_),
        ..
    } = order
    {
        // SAFETY: TIOCSCTTY takes a number, and standard input is the terminal.
        let result = unsafe { libc::ioctl(libc::STDIN_FILENO, libc::TIOCSCTTY, 0) };
        Errno::result(result).act(|| "take the terminal".to_owned())?;
    }
    umask(Mode::from_bits_truncate(0o022));
    // SAFETY: the default action is no function; Rust's runtime had set "ignore", which an exec would hand on.
    unsafe { signal(Signal::SIGPIPE, SigHandler::SigDfl) }.act(|| "reset SIGPIPE".to_owned())?;
    let folder = &process.working_directory;
    nix::unistd::chdir(folder).act(|| format!("enter the working folder {}", folder.display()))?;
    capabilities::keep_only(&process.capabilities)?;
    if process.no_new_privileges {
        nix::sys::prctl::set_no_new_privs().act(|| "forbid new privileges".to_owned())?;
    }
    execute(process)
}

fn execute(process: &ProcessSpec) -> Result<std::convert::Infallible, StepError> {
    let program = find_program(process)?;
    let text = |value: &str| {
        CString::new(value)
            .map_err(io::Error::from)
            .act(|| "pass arguments without a zero byte".to_owned())
    };
    let arguments = process
        .arguments
        .iter()
        .map(|value| text(value))
        .collect::<Result<Vec<_>, _>>()?;
    let environment = process
        .environment
        .iter()
        .map(|(name, value)| text(&format!("{name}={value}")))
        .collect::<Result<Vec<_>, _>>()?;
    nix::unistd::execve(&text(&program.to_string_lossy())?, &arguments, &environment)
        .act(|| format!("execute {}", program.display()))
}

fn find_program(process: &ProcessSpec) -> Result<PathBuf, StepError> {
    let Some(name) = process.arguments.first() else {
        return Err(Errno::EINVAL)
            .act(|| "execute: neither the image nor the pod names a command".to_owned());
    };
    if name.contains('/') {
        return Ok(PathBuf::from(name));
    }
    let path = process
        .environment
        .iter()
        .find_map(|(variable, value)| (variable == "PATH").then_some(value.as_str()))
        .unwrap_or(DEFAULT_PATH);
    path.split(':')
        .map(|folder| Path::new(folder).join(name))
        .find(|candidate| candidate.is_file())
        .ok_or(Errno::ENOENT)
        .act(|| format!("find {name} in {path}"))
}

fn wait_for(child: Pid) -> i32 {
    loop {
        match waitpid(child, None) {
            Ok(WaitStatus::Exited(_, status)) => return status,
            Ok(WaitStatus::Signaled(_, signal, _)) => return 128 + signal as i32,
            Ok(_) | Err(Errno::EINTR) => {}
            Err(_) => return START_FAILED,
        }
    }
}
