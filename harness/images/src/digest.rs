//! SHA-256 as images name it.

use sha2::{Digest as _, Sha256};
use std::io::{self, Write};

/// Lower-case hex of the SHA-256 of bytes.
pub(crate) fn of_bytes(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

/// Passes bytes on and hashes them.
pub(crate) struct Hasher<W> {
    inner: W,
    state: Sha256,
    written: u64,
}

impl<W: Write> Hasher<W> {
    pub(crate) fn new(inner: W) -> Self {
        Self {
            inner,
            state: Sha256::new(),
            written: 0,
        }
    }

    /// What it wrote to, the hash in hex, and how many bytes there were.
    pub(crate) fn finish(self) -> (W, String, u64) {
        (self.inner, hex(&self.state.finalize()), self.written)
    }
}

impl<W: Write> Write for Hasher<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.inner.write(bytes)?;
        self.state.update(&bytes[..count]);
        self.written += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes
        .iter()
        .fold(String::with_capacity(64), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        })
}
