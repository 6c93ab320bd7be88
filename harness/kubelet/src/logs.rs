//! Container logs: written in the form that container runtimes write (`TIME STREAM F TEXT`), read as the API asks.

use crate::kept_logs::{KeptLogs, Owner};
use crate::runtime::Output;
use bytes::{Bytes, BytesMut};
use jiff::Timestamp;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::sync::{mpsc, watch};

/// Longest line that is written as one, in bytes.
const LINE_LIMIT: u64 = 64 * 1024;

/// Most that is kept of one run of a container, in bytes; the disk is memory.
const RUN_LIMIT: u64 = 32 * 1024 * 1024;

/// The logs of one pod.
#[derive(Debug)]
pub(crate) struct Logs {
    folder: PathBuf,
    namespace: String,
    pod: String,
    kept: Arc<KeptLogs>,
    /// By container, oldest run first.
    runs: Mutex<BTreeMap<String, Vec<Run>>>,
}

/// The log of one run of a container.
#[derive(Clone, Debug)]
pub(crate) struct Run {
    path: PathBuf,
    /// Length in bytes, and whether the run has ended.
    length: watch::Receiver<(u64, bool)>,
}

impl Run {
    /// One that has ended, of so many bytes.
    pub(crate) fn ended(path: PathBuf, bytes: u64) -> Self {
        let (_, length) = watch::channel((bytes, true));
        Self { path, length }
    }
}

/// What a reader asks for.
#[derive(Clone, Debug, Default)]
pub(crate) struct Request {
    pub(crate) follow: bool,
    pub(crate) timestamps: bool,
    pub(crate) tail: Option<usize>,
    pub(crate) since: Option<Timestamp>,
    pub(crate) limit: Option<usize>,
}

struct Writer {
    file: tokio::fs::File,
    length: watch::Sender<(u64, bool)>,
}

impl Logs {
    /// Those of a pod; `kept` gets what nobody can ask this for any more.
    pub(crate) fn new(folder: PathBuf, namespace: &str, pod: &str, kept: Arc<KeptLogs>) -> Self {
        Self {
            folder,
            namespace: namespace.to_owned(),
            pod: pod.to_owned(),
            kept,
            runs: Mutex::default(),
        }
    }

    /// The pod is gone, and nothing is written any more.
    pub(crate) fn hand_over(&self) {
        let runs =
            std::mem::take(&mut *self.runs.lock().expect("no panic while the logs are held"));
        for (container, runs) in &runs {
            // Those before the last two were handed over when they were too old.
            for run in &runs[runs.len().saturating_sub(2)..] {
                self.keep(container, run);
            }
        }
    }

    fn keep(&self, container: &str, run: &Run) {
        let owner = Owner {
            namespace: &self.namespace,
            pod: &self.pod,
            container,
        };
        if let Err(error) = self.kept.take(owner, &run.path) {
            tracing::warn!(%error, log = %run.path.display(), "log not kept");
            self.kept.lost();
        }
    }

    /// The log of the newest run, or of the one before it.
    pub(crate) fn find(&self, container: &str, previous: bool) -> Option<Run> {
        let runs = self.runs.lock().expect("no panic while the logs are held");
        let runs = runs.get(container)?;
        let index = runs.len().checked_sub(if previous { 2 } else { 1 })?;
        runs.get(index).cloned()
    }

    /// Writes both streams of a new run until they end. The task must be waited for after the container's end.
    pub(crate) fn record(
        &self,
        container: &str,
        output: Output,
        errors: Output,
    ) -> tokio::task::JoinHandle<()> {
        let (length, receiver) = watch::channel((0, false));
        let folder = self.folder.join(container);
        let path = {
            let mut runs = self.runs.lock().expect("no panic while the logs are held");
            let runs = runs.entry(container.to_owned()).or_default();
            let path = folder.join(format!("{}.log", runs.len()));
            runs.push(Run {
                path: path.clone(),
                length: receiver,
            });
            // Only the last two can be asked for.
            if let Some(old) = runs.len().checked_sub(3) {
                self.keep(container, &runs[old]);
            }
            path
        };
        tokio::spawn(async move {
            if let Err(error) = write(&folder, &path, length, output, errors).await {
                tracing::warn!(%error, log = %path.display(), "log not written");
            }
        })
    }
}

async fn write(
    folder: &Path,
    path: &Path,
    length: watch::Sender<(u64, bool)>,
    output: Output,
    errors: Output,
) -> io::Result<()> {
    tokio::fs::create_dir_all(folder).await?;
    let writer = Writer {
        file: tokio::fs::File::create(path).await?,
        length,
    };
    let writer = Arc::new(tokio::sync::Mutex::new(writer));
    let (first, second) = tokio::join!(
        copy(output, "stdout", &writer),
        copy(errors, "stderr", &writer)
    );
    writer
        .lock()
        .await
        .length
        .send_modify(|(_, ended)| *ended = true);
    first.and(second)
}

async fn copy(stream: Output, name: &str, writer: &tokio::sync::Mutex<Writer>) -> io::Result<()> {
    let mut reader = BufReader::new(stream);
    let mut line = Vec::new();
    loop {
        line.clear();
        if (&mut reader)
            .take(LINE_LIMIT)
            .read_until(b'\n', &mut line)
            .await?
            == 0
        {
            return Ok(());
        }
        let whole = line.last() == Some(&b'\n');
        if whole {
            line.pop();
        }
        let tag = if whole { 'F' } else { 'P' };
        let mut entry = String::with_capacity(line.len() + 48);
        let _ = write!(entry, "{:.9} {name} {tag} ", Timestamp::now());
        let mut entry = entry.into_bytes();
        entry.append(&mut line);
        entry.push(b'\n');
        let mut writer = writer.lock().await;
        if writer.length.borrow().0 < RUN_LIMIT {
            writer.file.write_all(&entry).await?;
            writer.file.flush().await?;
            writer
                .length
                .send_modify(|(length, _)| *length += entry.len() as u64);
        }
    }
}

/// Sends what is asked for, line by line, until the log's end (of the run, when following), the limit, or until the
/// receiver is gone.
pub(crate) async fn read(
    run: Run,
    request: Request,
    sink: mpsc::Sender<io::Result<Bytes>>,
) -> io::Result<()> {
    let mut length = run.length;
    let mut file = tokio::fs::File::open(&run.path).await?;
    let mut left = request.limit.unwrap_or(usize::MAX);
    let mut pending = BytesMut::new();
    let mut position = 0;
    let mut first_round = true;
    loop {
        let (known, ended) = *length.borrow_and_update();
        let mut fresh = (&mut file).take(known.saturating_sub(position));
        loop {
            match fresh.read_buf(&mut pending).await? {
                0 => break,
                count => position += count as u64,
            }
        }
        let lines = whole_lines(&mut pending);
        let skip = match request.tail {
            Some(tail) if first_round => lines.len().saturating_sub(tail),
            _ => 0,
        };
        first_round = false;
        for line in &lines[skip..] {
            let Some(mut text) = render(line, &request) else {
                continue;
            };
            text.truncate(left);
            left -= text.len();
            if sink.send(Ok(Bytes::from(text))).await.is_err() || left == 0 {
                return Ok(());
            }
        }
        if ended || !request.follow {
            return Ok(());
        }
        tokio::select! {
            changed = length.changed() => if changed.is_err() { return Ok(()) },
            () = sink.closed() => return Ok(()),
        }
    }
}

fn whole_lines(pending: &mut BytesMut) -> Vec<Bytes> {
    let Some(end) = pending.iter().rposition(|byte| *byte == b'\n') else {
        return Vec::new();
    };
    let ready = pending.split_to(end + 1).freeze();
    ready
        .split_inclusive(|byte| *byte == b'\n')
        .map(|line| ready.slice_ref(line))
        .collect()
}

/// What a reader sees of one written line; none when it is too old.
fn render(line: &[u8], request: &Request) -> Option<Vec<u8>> {
    let mut parts = line.splitn(4, |byte| *byte == b' ');
    let (time, _, tag, text) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    if let Some(since) = request.since {
        let time: Timestamp = std::str::from_utf8(time).ok()?.parse().ok()?;
        if time < since {
            return None;
        }
    }
    let text = if tag == b"P" {
        text.strip_suffix(b"\n").unwrap_or(text)
    } else {
        text
    };
    let mut rendered = Vec::with_capacity(line.len());
    if request.timestamps {
        rendered.extend_from_slice(time);
        rendered.push(b' ');
    }
    rendered.extend_from_slice(text);
    Some(rendered)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_rendered_as_asked() {
        let line = b"2026-01-02T03:04:05.000000006Z stdout F a b\n";
        let plain = Request::default();
        assert_eq!(render(line, &plain).unwrap(), b"a b\n");
        let stamped = Request {
            timestamps: true,
            ..Request::default()
        };
        assert_eq!(
            render(line, &stamped).unwrap(),
            b"2026-01-02T03:04:05.000000006Z a b\n"
        );
        let later = Request {
            since: "2026-01-02T03:04:06Z".parse().ok(),
            ..Request::default()
        };
        assert_eq!(render(line, &later), None);
        assert_eq!(
            render(b"2026-01-02T03:04:05Z stdout P half\n", &plain).unwrap(),
            b"half"
        );
    }

    #[test]
    fn a_line_is_not_read_before_it_is_whole() {
        let mut pending = BytesMut::from("a\nb\nc");
        assert_eq!(whole_lines(&mut pending), ["a\n", "b\n"]);
        assert_eq!(pending, "c");
    }

    #[tokio::test]
    async fn a_follower_sees_everything_and_then_the_end() {
        let folder = std::env::temp_dir().join(format!("meshproof-logs-{}", std::process::id()));
        let kept = Arc::new(KeptLogs::new(folder.join("kept"), u64::MAX));
        let logs = Logs::new(folder.join("logs"), "default", "teller", kept.clone());
        let (mut near, far) = tokio::io::duplex(64);
        let task = logs.record("main", Box::new(far), Box::new(tokio::io::empty()));
        near.write_all(b"one\n").await.unwrap();
        let run = logs.find("main", false).unwrap();
        assert!(logs.find("main", true).is_none());
        run.length
            .clone()
            .wait_for(|(length, _)| *length > 0)
            .await
            .unwrap();
        let (sender, mut receiver) = mpsc::channel(8);
        let reader = tokio::spawn(read(
            run,
            Request {
                follow: true,
                ..Request::default()
            },
            sender,
        ));
        assert_eq!(receiver.recv().await.unwrap().unwrap(), "one\n");
        near.write_all(b"two\nthree").await.unwrap();
        drop(near);
        assert_eq!(receiver.recv().await.unwrap().unwrap(), "two\n");
        assert_eq!(receiver.recv().await.unwrap().unwrap(), "three");
        assert!(receiver.recv().await.is_none());
        task.await.unwrap();
        reader.await.unwrap().unwrap();

        // Of four runs two can be asked for; the others are kept, and those two as well when the pod is gone.
        for run in ["2", "3", "4"] {
            let output = Box::new(io::Cursor::new(format!("run {run}\n").into_bytes()));
            let task = logs.record("main", output, Box::new(tokio::io::empty()));
            task.await.unwrap();
        }
        let names = |kept: &KeptLogs| -> Vec<String> {
            let of = |log: &crate::kept_logs::Kept| {
                format!("{}/{}/{}", log.namespace, log.pod, log.container)
            };
            kept.listing().logs.iter().map(of).collect()
        };
        assert_eq!(names(&kept), ["default/teller/main"; 2]);
        logs.hand_over();
        assert_eq!(names(&kept), ["default/teller/main"; 4]);
        assert!(logs.find("main", false).is_none());
        let (sender, mut receiver) = mpsc::channel(8);
        let last = kept.find(3).unwrap();
        read(last, Request::default(), sender).await.unwrap();
        assert_eq!(receiver.recv().await.unwrap().unwrap(), "run 4\n");
        std::fs::remove_dir_all(folder).unwrap();
    }
}
