//! Whether two clusters say the same of every scenario.

use crate::junit::Count;
use crate::system::CannotHere;
use crate::workspace;
use anyhow::Context as _;
use std::path::Path;
use std::process::{Command, Stdio};

/// The run on the local cluster against one on kind, in whatever that one ran: one test.
///
/// # Errors
///
/// [`CannotHere`] when there was none on kind.
pub(super) fn of(program: &Path, results: &Path, on_kind: &str) -> anyhow::Result<Count> {
    let [local, kind] = ["run", on_kind].map(|part| results.join(part).join("latest/report.json"));
    if !kind.exists() {
        let reason = "there is no run on kind to compare with";
        return Err(CannotHere::because(reason.to_owned()));
    }
    let both = results.join("run-as-on-kind.json");
    std::fs::write(&both, among(&read(&local)?, &read(&kind)?).to_string())
        .with_context(|| format!("write {}", both.display()))?;
    let output = Command::new(program)
        .current_dir(workspace::root())
        .args(["report", "compare"])
        .args([both, kind])
        .stderr(Stdio::inherit())
        .output()
        .context("start meshproof")?;
    let said = String::from_utf8_lossy(&output.stdout);
    eprint!("{said}");
    Ok(if output.status.success() {
        Count::ONE_PASSED
    } else {
        let said = said.trim_end().replace('\n', "\n    ");
        Count::one_failed(format!(
            "the local cluster and kind do not say the same\n    {said}"
        ))
    })
}

fn read(report: &Path) -> anyhow::Result<serde_json::Value> {
    let text = std::fs::read_to_string(report);
    let text = text.with_context(|| format!("read {}", report.display()))?;
    serde_json::from_str(&text).with_context(|| format!("read {}", report.display()))
}

/// The report of a run, of those scenarios alone that are in the other one.
fn among(report: &serde_json::Value, other: &serde_json::Value) -> serde_json::Value {
    let name = |scenario: &serde_json::Value| scenario["name"].clone();
    let scenarios = |of: &serde_json::Value| of["scenarios"].as_array().cloned();
    let wanted: Vec<_> = scenarios(other).iter().flatten().map(name).collect();
    let mut kept = report.clone();
    if let Some(all) = kept["scenarios"].as_array_mut() {
        all.retain(|scenario| wanted.contains(&name(scenario)));
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::among;
    use serde_json::json;

    #[test]
    fn what_only_one_run_was_asked_for_is_not_compared() {
        let report = |names: &[&str]| {
            let scenarios: Vec<_> = names.iter().map(|name| json!({"name": name})).collect();
            json!({"run": "r", "scenarios": scenarios})
        };
        let all = report(&["a", "b", "c"]);
        assert_eq!(among(&all, &report(&["b"])), report(&["b"]));
    }
}
