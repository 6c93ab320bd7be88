//! The options of a run, as rerun lines repeat them: all that decide what was tested and where it is written, whether they
//! came from the command line or from a variable.

use super::cluster_choice;
use crate::arguments::RunArguments;
use clap::ValueEnum as _;

/// What is left out because it is the default of the option.
const DEFAULT_ARTIFACTS: &str = "artifacts";
pub(super) const DEFAULT_TOPOLOGY: &str = "three-zones";
const DEFAULT_MESH: &str = "reference";

/// The options of a run, for rerun lines.
pub(crate) fn options(arguments: &RunArguments) -> Vec<String> {
    let mut options: Vec<String> = Vec::new();
    let mut add = |name: &str, value: &str| {
        options.push(name.to_owned());
        options.push(value.to_owned());
    };
    let environment = &arguments.execution.environment;
    for (name, value) in cluster_choice::options(environment) {
        add(name, value);
    }
    if let Some(name) = &environment.reuse {
        add("--reuse", name);
    } else if environment.topology != DEFAULT_TOPOLOGY {
        add("--topology", &environment.topology);
    }
    if environment.mesh != DEFAULT_MESH {
        add("--mesh", &environment.mesh);
    }
    if let Some(mutant) = &arguments.mutant {
        add("--mutant", mutant);
    }
    for (name, value) in &environment.set {
        add("--set", &format!("{name}={value}"));
    }
    for (name, path) in &environment.image {
        add("--image", &format!("{name}={path}"));
    }
    if let Some(folder) = &environment.images {
        add("--images", &folder.display().to_string());
    }
    if let Some(folder) = &environment.assets {
        add("--assets", &folder.display().to_string());
    }
    let bounds = &arguments.execution.bounds;
    if let Some(span) = bounds.delivery {
        add("--delivery", &span.to_string());
    }
    if let Some(span) = bounds.recovery {
        add("--recovery", &span.to_string());
    }
    for (wait, span) in &bounds.patience {
        if let Some(wait) = wait.to_possible_value() {
            add("--patience", &format!("{}={span}", wait.get_name()));
        }
    }
    if let Some(file) = &arguments.quarantine {
        add("--quarantine", &file.display().to_string());
    }
    let artifacts = arguments.execution.artifacts.display().to_string();
    if artifacts != DEFAULT_ARTIFACTS {
        add("--artifacts", &artifacts);
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
            "--image control-plane=candidate.tar --image probe-app=probe.tar",
            "--assets /programs --patience ready=5m --artifacts /tmp/a --offline --no-install",
            "--cluster kubeconfig --context a --allow-context a --registry r.example/team --registry-insecure",
            "--mutant leak-late --set xds=delta --delivery 5s --recovery 1m",
        ] {
            let split: Vec<&str> = words.split(' ').collect();
            assert_eq!(of(&split), words);
        }
    }
}
