//! Where text goes: data to stdout, everything else to stderr. A reader that goes away is no error.

use crate::arguments::ColourChoice;
use indicatif::MultiProgress;
use std::io::{self, IsTerminal as _, Write};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

/// The progress lines on the terminal, which must step aside while something else is written.
static BARS: OnceLock<MultiProgress> = OnceLock::new();

/// How much text is held back at most until it is written.
const HELD: usize = 64 * 1024;

/// Stdout: colour codes are removed where they are not wanted, and once the reader is gone or takes no more everything is
/// swallowed, so that a run goes on to its clean end. Text is held until `flush`.
#[derive(Clone)]
pub(crate) struct Out {
    stream: Arc<Mutex<Stream>>,
}

struct Stream<W = anstream::AutoStream<io::Stdout>> {
    inner: W,
    held: Vec<u8>,
    closed: bool,
    /// Why text was lost, where that is an error: told at the end, whoever wrote it.
    lost: Option<io::Error>,
}

impl Out {
    /// Stdout with colours as chosen.
    pub(crate) fn stdout(choice: ColourChoice) -> Self {
        Self {
            stream: Arc::new(Mutex::new(Stream {
                inner: anstream::AutoStream::new(io::stdout(), choice.into()),
                held: Vec::new(),
                closed: false,
                lost: None,
            })),
        }
    }

    /// Writes what is still held, and says whether anything was lost since the beginning.
    pub(crate) fn end(&self) -> io::Result<()> {
        self.stream().end()
    }

    fn stream(&self) -> MutexGuard<'_, Stream> {
        self.stream.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Write for Out {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut stream = self.stream();
        stream.held.extend_from_slice(bytes);
        if stream.held.len() > HELD {
            stream.release()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream().release()
    }
}

impl<W: Write> Stream<W> {
    fn release(&mut self) -> io::Result<()> {
        let held = std::mem::take(&mut self.held);
        if self.closed || held.is_empty() {
            return Ok(());
        }
        let inner = &mut self.inner;
        let Err(error) = aside(|| inner.write_all(&held).and_then(|()| inner.flush())) else {
            return Ok(());
        };
        self.closed = true;
        if error.kind() == io::ErrorKind::BrokenPipe {
            return Ok(());
        }
        self.lost = Some(copy(&error));
        Err(error)
    }

    fn end(&mut self) -> io::Result<()> {
        let released = self.release();
        match self.lost.take() {
            Some(lost) => Err(lost),
            None => released,
        }
    }
}

/// An error can be told once only, and this one is told when it comes and at the end.
fn copy(error: &io::Error) -> io::Error {
    match error.raw_os_error() {
        Some(number) => io::Error::from_raw_os_error(number),
        None => io::Error::new(error.kind(), error.to_string()),
    }
}

/// Makes progress lines step aside whenever something else is written.
pub(crate) fn register_bars(bars: &MultiProgress) {
    // Only one command runs in a process; a second registration would be the same bars.
    let _ = BARS.set(bars.clone());
}

fn aside<T>(write: impl FnOnce() -> T) -> T {
    match BARS.get() {
        Some(bars) => bars.suspend(write),
        None => write(),
    }
}

/// Colours are wanted on stderr.
pub(crate) fn colour_on_stderr(choice: ColourChoice) -> bool {
    match choice {
        ColourChoice::Always => true,
        ColourChoice::Never => false,
        ColourChoice::Auto => {
            anstream::AutoStream::choice(&io::stderr()) != anstream::ColorChoice::Never
        }
    }
}

/// Stderr is a terminal that a person looks at, so that a moving line makes sense.
pub(crate) fn is_interactive() -> bool {
    let ci = std::env::var_os("CI").is_some_and(|v| !v.is_empty());
    let dumb = std::env::var_os("TERM").is_some_and(|v| v == "dumb");
    io::stderr().is_terminal() && !ci && !dumb
}

/// Writes text to stderr, ended by a line break; when nobody reads it any more, that is no error.
pub(crate) fn say(text: &str) {
    let end = if text.ends_with('\n') { "" } else { "\n" };
    aside(|| {
        let mut stderr = io::stderr().lock();
        // As above: nobody reads it.
        let _ = stderr.write_all(format!("{text}{end}").as_bytes());
    });
}

/// Stderr for logs, in step with progress lines.
pub(crate) struct Log(Vec<u8>);

impl Log {
    /// One log line.
    pub(crate) const fn new() -> Self {
        Self(Vec::new())
    }
}

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        if !self.0.is_empty() {
            say(&String::from_utf8_lossy(&self.0));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes nothing, for this reason.
    struct Full(io::ErrorKind);

    impl Write for Full {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(self.0.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn stream(kind: io::ErrorKind) -> Stream<Full> {
        Stream {
            inner: Full(kind),
            held: b"a verdict".to_vec(),
            closed: false,
            lost: None,
        }
    }

    #[test]
    fn what_was_lost_is_told_at_the_end_too() {
        let mut full = stream(io::ErrorKind::StorageFull);
        assert!(full.release().is_err(), "whoever writes is told");
        full.held = b"more".to_vec();
        assert!(full.release().is_ok(), "once is enough");
        let lost = full.end().expect_err("something was lost");
        assert_eq!(lost.kind(), io::ErrorKind::StorageFull);
    }

    #[test]
    fn what_nobody_reads_is_not_lost() {
        let mut gone = stream(io::ErrorKind::BrokenPipe);
        assert!(gone.release().is_ok());
        assert!(gone.end().is_ok());
    }
}
