//! The examples in the documentation.

use crate::junit::Count;
use crate::workspace;
use anyhow::Context as _;
use std::process::Stdio;

/// Examples run inside one test program a crate, so they are counted as Cargo's own summary says.
pub(super) fn run() -> anyhow::Result<Count> {
    let output = workspace::cargo()
        .args([
            "test",
            "--doc",
            "--release",
            "--workspace",
            "--no-fail-fast",
            "--quiet",
        ])
        .stderr(Stdio::inherit())
        .output()
        .context("start cargo")?;
    let text = String::from_utf8_lossy(&output.stdout);
    let mut count = Count::default();
    for line in text.lines().filter(|line| line.starts_with("test result:")) {
        count += Count {
            passed: number_before(line, "passed"),
            failed: vec![line.to_owned(); number_before(line, "failed")],
            skipped: number_before(line, "ignored"),
        };
    }
    if !output.status.success() {
        eprintln!("{text}");
        if count.failed.is_empty() {
            count += Count::one_failed(format!("cargo test --doc ended with {}", output.status));
        }
    }
    Ok(count)
}

fn number_before(line: &str, word: &str) -> usize {
    let words: Vec<&str> = line.split([' ', ';']).collect();
    words
        .windows(2)
        .find(|pair| pair[1] == word)
        .and_then(|pair| pair[0].parse().ok())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::number_before;

    #[test]
    fn cargos_summary_is_read() {
        let line = "test result: ok. 3 passed; 1 failed; 2 ignored; 0 measured; 0 filtered out; finished in 0.1s";
        assert_eq!(
            ["passed", "failed", "ignored"].map(|word| number_before(line, word)),
            [3, 1, 2]
        );
    }
}
