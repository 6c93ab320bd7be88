//! The options of a run, as rerun lines repeat them: all that decide what was tested and where it is written, whether they
//! came from the command line or from a variable.

use super::cluster_choice;
use crate::arguments::{EnvironmentArguments, RunArguments};
use clap::ValueEnum as _;

/// What is left out because it is the default of the option.
const DEFAULT_ARTIFACTS: &str = "artifacts";
pub(super) const DEFAULT_TOPOLOGY: &str = "three-zones";
const DEFAULT_MESH: &str = "reference";

/// The options of a run, for rerun lines.
pub(crate) fn options(arguments: &RunArguments) -> Vec<String> {
    let execution = &arguments.execution;
    let environment = &execution.environment;
    let mutant = arguments.mutant.as_deref();
    let mut options = of_environment(environment, execution.reuse.as_deref(), mutant);
    for (name, build) in &execution.upgrade_from {
        add(&mut options, "--upgrade-from", &format!("{name}={build}"));
    }
    let bounds = &execution.bounds;
    if let Some(span) = bounds.delivery {
        add(&mut options, "--delivery", &span.to_string());
    }
    if let Some(span) = bounds.recovery {
        add(&mut options, "--recovery", &span.to_string());
    }
    for (wait, span) in &bounds.patience {
        if let Some(wait) = wait.to_possible_value() {
            let patience = format!("{}={span}", wait.get_name());
            add(&mut options, "--patience", &patience);
        }
    }
    if let Some(file) = &arguments.quarantine {
        add(&mut options, "--quarantine", &file.display().to_string());
    }
    let artifacts = execution.artifacts.display().to_string();
    if artifacts != DEFAULT_ARTIFACTS {
        add(&mut options, "--artifacts", &artifacts);
    }
    for (flag, given) in [
        ("--offline", environment.offline),
        ("--no-install", environment.no_install),
        ("--images-preloaded", environment.images_preloaded),
        (
            "--registry-insecure",
            environment.registry.registry_insecure,
        ),
    ] {
        if given {
            options.push(flag.to_owned());
        }
    }
    options
}

/// Those that decide what is deployed, and where.
pub(crate) fn of_environment(
    environment: &EnvironmentArguments,
    reuse: Option<&str>,
    mutant: Option<&str>,
) -> Vec<String> {
    let mut options = Vec::new();
    for (name, value) in cluster_choice::options(environment) {
        add(&mut options, name, value);
    }
    if let Some(name) = reuse {
        add(&mut options, "--reuse", name);
    } else if environment.topology != DEFAULT_TOPOLOGY {
        add(&mut options, "--topology", &environment.topology);
    }
    if environment.mesh != DEFAULT_MESH {
        add(&mut options, "--mesh", &environment.mesh);
    }
    if let Some(mutant) = mutant {
        add(&mut options, "--mutant", mutant);
    }
    for (name, value) in &environment.set {
        add(&mut options, "--set", &format!("{name}={value}"));
    }
    for (name, candidate) in &environment.image {
        add(&mut options, "--image", &format!("{name}={candidate}"));
    }
    if let Some(folder) = &environment.images {
        add(&mut options, "--images", &folder.display().to_string());
    }
    if let Some(folder) = &environment.assets {
        add(&mut options, "--assets", &folder.display().to_string());
    }
    options
}

fn add(options: &mut Vec<String>, name: &str, value: &str) {
    options.push(name.to_owned());
    options.push(value.to_owned());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arguments::{Arguments, Command};
    use clap::Parser as _;

    fn of(words: &[&str]) -> String {
        let words = ["meshproof", "run"].iter().chain(words);
        let parsed = Arguments::try_parse_from(words).expect("the words are right");
        match parsed.command {
            Command::Run(mut run) => {
                // Whoever runs the tests may have ready images.
                run.execution.environment.images = None;
                options(&run).join(" ")
            }
            _ => panic!("it is a run"),
        }
    }

    #[test]
    fn what_decides_is_repeated_and_defaults_are_not() {
        assert_eq!(of(&["routing"]), "");
        for words in [
            "--artifacts elsewhere",
            "--cluster kind --node-image mine:1 --topology two-clusters",
            "--image control-plane=candidate.tar --image probe-app=team/probe:1",
            "--image control-plane=candidate.tar --upgrade-from control-plane=in-use.tar",
            "--assets /programs --patience ready=5m --artifacts /tmp/a --offline --no-install",
            "--cluster kubeconfig --context a --allow-context a --registry r.example/team --registry-insecure",
            "--mutant leak-late --set xds=delta --delivery 5s --recovery 1m",
        ] {
            let split: Vec<&str> = words.split(' ').collect();
            assert_eq!(of(&split), words);
        }
    }
}
