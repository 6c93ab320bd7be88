//! Running a tool that may take minutes, so that it ends with us however we end.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::io::{self, BufRead as _, BufReader};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};

/// Lines of a tool's output that are kept for an error.
const KEPT_LINES: usize = 40;

/// Leads the process group of the tool. Standard input is a pipe whose other end only we hold: when we end, however
/// that comes about, the guard reads end-of-file and kills the whole group. (A parent-death signal would need unsafe
/// code here, and would not reach the tool's own children.)
const GUARD: &str = r#"
exec 3<&0
( exec >/dev/null 2>&1; read -r _ <&3; kill -KILL 0 ) &
guard=$!
"$@" </dev/null 3<&- 2>&1
status=$?
kill "$guard"
exit "$status"
"#;

/// How a tool ended and the last lines it said.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) status: ExitStatus,
    pub(crate) output: String,
}

/// Runs a program to its end. `line` gets each line it writes.
pub(crate) fn run(
    program: &Path,
    arguments: &[OsString],
    environment: &[(&str, OsString)],
    folder: &Path,
    line: &mut dyn FnMut(&str),
) -> io::Result<Ended> {
    let mut child = Command::new("/bin/sh")
        .args(["-c", GUARD, "guard"])
        .arg(program)
        .args(arguments)
        .envs(environment.iter().map(|(name, value)| (name, value)))
        .current_dir(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn()?;
    // Kept open until the tool has ended; `wait` would close it.
    let lifeline = child.stdin.take();
    let mut kept = VecDeque::new();
    if let Some(output) = child.stdout.take() {
        for bytes in BufReader::new(output).split(b'\n').map_while(Result::ok) {
            let text = String::from_utf8_lossy(&bytes).into_owned();
            line(&text);
            kept.push_back(text);
            if kept.len() > KEPT_LINES {
                kept.pop_front();
            }
        }
    }
    let status = child.wait()?;
    drop(lifeline);
    Ok(Ended {
        status,
        output: Vec::from(kept).join("\n"),
    })
}

#[cfg(test)]
mod tests {
    use super::run;
    use std::path::Path;

    #[test]
    fn output_and_exit_code_are_those_of_the_tool() {
        let mut lines = Vec::new();
        let ended = run(
            Path::new("/bin/sh"),
            &["-c".into(), "echo $NAME; echo two >&2; exit 7".into()],
            &[("NAME", "one".into())],
            Path::new("/"),
            &mut |line| lines.push(line.to_owned()),
        )
        .unwrap();
        assert_eq!(lines, ["one", "two"]);
        assert_eq!(ended.status.code(), Some(7));
        assert_eq!(ended.output, "one\ntwo");
    }
}
