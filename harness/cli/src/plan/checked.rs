//! What the arguments name, read and checked before anything is touched.
//!
//! Invariant: everything that is wrong is told at once; one wrong argument hides no other.

use super::{Ground, Stand};
use super::{assets, candidates, capabilities, cluster_choice, folders, mesh, ready_images};
use crate::arguments::{EnvironmentArguments, SelectionArguments};
use crate::exit_code::ExitCode;
use crate::failure::{Failure, Failures};
use crate::selection::{self, Selection};
use harness_cluster::assets::AssetOptions;
use harness_cluster::registry::Prefix;
use harness_mesh::MeshDefinition;
use harness_model::capability::Capability;
use harness_model::names::{Names, Places};
use harness_model::scenario::Scenario;
use std::collections::BTreeSet;

/// Everything that was checked before anything is touched.
pub(crate) struct Checked {
    pub(crate) ground: Ground,
    pub(crate) mesh: MeshDefinition,
    pub(super) registry: Option<Prefix>,
    pub(super) replacements: candidates::Choice,
    pub(super) before: candidates::Choice,
    pub(super) assets: AssetOptions,
}

/// What could be made of the arguments; none of what is wrong.
pub(crate) struct Found {
    ground: Option<Ground>,
    mesh: Option<MeshDefinition>,
    registry: Option<Prefix>,
    images: Option<(candidates::Choice, candidates::Choice)>,
    assets: Option<AssetOptions>,
}

impl Found {
    /// Reads and checks every file that the arguments name, each by itself; an upgrade goes from the images of `upgrade_from`.
    pub(crate) fn of(
        arguments: &EnvironmentArguments,
        upgrade_from: &[(String, String)],
        stand: Stand<'_>,
        failures: &mut Failures,
    ) -> Self {
        let registry = failures.keep(cluster_choice::check(arguments, upgrade_from, stand));
        let ground = failures.keep(cluster_choice::ground(arguments, stand));
        let mut mesh = failures.keep(mesh(&arguments.mesh));
        if let Some(mesh) = &mut mesh {
            failures.keep(set_variables(mesh, &arguments.mesh, &arguments.set));
        }
        let kind = arguments.cluster.kind;
        let ready = ready_images(arguments.images.as_deref());
        let images = candidates::choices(&arguments.image, upgrade_from, ready.as_deref(), kind);
        let images = failures.keep(images);
        let folder = arguments.assets.as_deref();
        failures.keep(folders(arguments.images.as_deref(), folder));
        let assets = failures.keep(assets(folder, arguments.offline));
        Self {
            ground,
            mesh,
            registry: registry.flatten(),
            images,
            assets,
        }
    }

    /// The mesh, where its definition is right.
    pub(crate) fn mesh(&self) -> Option<&MeshDefinition> {
        self.mesh.as_ref()
    }

    /// All of it, where nothing is wrong.
    pub(crate) fn whole(self) -> Option<Checked> {
        let (replacements, before) = self.images?;
        Some(Checked {
            ground: self.ground?,
            mesh: self.mesh?,
            registry: self.registry,
            replacements,
            before,
            assets: self.assets?,
        })
    }
}

/// Reads and checks every file that the arguments name; everything that is wrong is told at once.
pub(crate) fn check(
    arguments: &EnvironmentArguments,
    stand: Stand<'_>,
) -> Result<Checked, Failure> {
    let mut failures = Failures::default();
    let found = Found::of(arguments, &[], stand, &mut failures);
    failures.end(found.whole())
}

/// What scenarios may speak of in an environment.
struct Known {
    names: Names,
    has: Option<BTreeSet<Capability>>,
}

impl Known {
    /// None while nobody knows the mesh.
    fn of(found: &Found) -> Option<Self> {
        let mesh = found.mesh()?;
        let topology = found.ground.as_ref().and_then(Ground::topology);
        Some(Self {
            names: Names {
                components: Some(mesh.component_names()),
                applications: mesh.applications(),
                services: mesh.services(),
                places: topology.map(Places::of),
            },
            has: topology.map(|topology| capabilities(topology, mesh)),
        })
    }

    fn to(&self, scenario: &Scenario) -> Names {
        self.names.for_scenario(scenario, self.has.as_ref())
    }
}

/// Selects scenarios to be run in an environment; mistakes in files are told all at once, names that the environment does
/// not have among them.
pub(crate) fn select(arguments: &SelectionArguments, found: &Found) -> Result<Selection, Failure> {
    let known = Known::of(found);
    let names = |scenario: &Scenario| known.as_ref().map(|known| known.to(scenario));
    let selected = selection::select_among(suites::all(), arguments, &names)?;
    if let Some(known) = &known {
        selected.check_names(|scenario| known.to(scenario))?;
    }
    Ok(selected)
}

/// Sets variables of a mesh definition that has this name or file.
fn set_variables(
    definition: &mut MeshDefinition,
    name_or_path: &str,
    set: &[(String, String)],
) -> Result<(), Failure> {
    let mut hints: Vec<String> = Vec::new();
    let attempt = format!("set variables of the mesh `{name_or_path}`");
    let mut failure = Failure::new(ExitCode::Usage, attempt);
    for (name, value) in set {
        let Err(error) = definition.set_variable(name, value) else {
            continue;
        };
        failure = failure.item(format!("--set {name}={value}: {error}"));
        let hint = match definition.variables.get(name) {
            Some(right) => format!("for example `--set {name}={right}`"),
            None => "variables stand in the mesh definition, below `variables`".to_owned(),
        };
        if !hints.contains(&hint) {
            hints.push(hint);
        }
    }
    if hints.is_empty() {
        return Ok(());
    }
    Err(hints.into_iter().fold(failure, Failure::hint))
}

#[cfg(test)]
mod tests {
    use super::super::check_mutant;
    use super::*;
    use crate::arguments::{Arguments, Command};
    use clap::Parser as _;

    /// What a run with these words is told.
    fn told(words: &[&str]) -> String {
        let words = ["meshproof", "run"].iter().chain(words);
        let parsed = Arguments::try_parse_from(words).expect("the words are right");
        let Command::Run(run) = parsed.command else {
            panic!("it is a run");
        };
        let execution = &run.execution;
        let mut failures = Failures::default();
        let found = Found::of(
            &execution.environment,
            &execution.upgrade_from,
            Stand::of(execution),
            &mut failures,
        );
        let selected = failures.keep(select(&execution.selection, &found));
        failures.keep(check_mutant(&run));
        let made = failures.end(found.whole().zip(selected));
        let failure = made.err().expect("something is wrong");
        assert_eq!(failure.exit, ExitCode::Usage);
        failure.render(false)
    }

    #[test]
    fn everything_that_is_wrong_is_told_at_once() {
        let told = told(&[
            "routing/own-zon",
            "--filter=(",
            "--set=nothing=1",
            "--image=controlplane=a:1",
            "--topology=nowhere",
            "--mutant=leak-lat",
        ]);
        for part in [
            "error: failed to find the scenario `routing/own-zon`",
            "error: failed to read the filter `(`",
            "error: failed to set variables of the mesh `reference`",
            "error: failed to replace the image `controlplane`",
            "error: failed to use the topology `nowhere`",
            "error: failed to seed the bug `leak-lat`",
        ] {
            assert!(told.contains(part), "{part}\n{told}");
        }
    }

    #[test]
    fn every_setting_that_cannot_be_is_told_with_one_that_can() {
        let told = told(&[
            "--set=certificateLifetime=abc,xds=loud",
            "--set=sidecarLog=debug",
            "--set=xsd=delta",
            "--set=certificateLifetime=60s",
        ]);
        assert_eq!(
            told,
            "error: failed to set variables of the mesh `reference`
  --set certificateLifetime=abc: `certificateLifetime` cannot be `abc`; it can be a whole number of seconds from 2 to 86400
  --set xds=loud: `xds` cannot be `loud`; it can be sotw, delta, mixed
  --set xsd=delta: the mesh has no variable `xsd`; it has certificateLifetime, controlPlaneLog, identityLog, sidecarLog, xds
  --set certificateLifetime=60s: `certificateLifetime` cannot be `60s`; it can be a whole number of seconds from 2 to 86400

hint: for example `--set certificateLifetime=20`
hint: for example `--set xds=sotw`
hint: variables stand in the mesh definition, below `variables`
"
        );
    }

    #[test]
    fn a_bug_that_nobody_has_is_told_with_the_one_that_was_meant_and_without_all_others() {
        let told = told(&["--mutant=leak-lat"]);
        assert_eq!(
            told,
            "error: failed to seed the bug `leak-lat`\n  caused by: there is no such bug\n\nhint: did you mean `leak-late`?\nhint: `meshproof list --mutants` shows what there is\n"
        );
    }
}
