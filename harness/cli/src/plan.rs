//! From arguments to what a run needs: topology, mesh, bounds and the rest of the plan.

pub(crate) mod candidates;

mod checked;
mod cluster_choice;
mod options;

pub(crate) use checked::{Checked, Found, check, select};
pub(crate) use cluster_choice::{Ground, Stand};
pub(crate) use options::{of_environment, options};

use crate::arguments::{
    BoundArguments, EnvironmentArguments, ExecutionArguments, RunArguments, Wait, When,
};
use crate::artifacts::Artifacts;
use crate::exit_code::ExitCode;
use crate::failure::Failure;
use harness_cluster::assets::{AssetError, AssetOptions};
use harness_cluster::zones_of;
use harness_mesh::MeshDefinition;
use harness_model::capability::Capability;
use harness_model::document;
use harness_model::patience::Patience;
use harness_model::scenario::Scenario;
use harness_model::topology::Topology;
use harness_runner::plan::ImageSource;
use harness_runner::{CollectPolicy, ImageChoice, KeepPolicy, MeshChoice, RunPlan};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// Loads a topology by name or file.
pub(crate) fn topology(name_or_path: &str) -> Result<Topology, Failure> {
    let failed = || {
        Failure::new(
            ExitCode::Usage,
            format!("use the topology `{name_or_path}`"),
        )
    };
    // A file is looked at whole first, so that all its mistakes are told and not only the first.
    if let Ok(text) = std::fs::read_to_string(name_or_path)
        && let Err(problems) = document::parse::<Topology>(name_or_path, &text)
    {
        return Err(failed().in_file(&text, problems));
    }
    harness_cluster::topology::load(name_or_path)
        .map_err(|error| failed().because(&error).hint_opt(error.hint.clone()))
}

/// Loads a mesh definition by name or file.
pub(crate) fn mesh(name_or_path: &str) -> Result<MeshDefinition, Failure> {
    MeshDefinition::load(name_or_path).map_err(|error| {
        let hint = error.hint();
        Failure::new(ExitCode::Usage, format!("load the mesh `{name_or_path}`"))
            .because(&error)
            .hint_opt(hint)
    })
}

/// What an environment of this shape will have, as far as that is known before it is up.
pub(crate) fn capabilities(topology: &Topology, mesh: &MeshDefinition) -> BTreeSet<Capability> {
    let mut has = zones_of(topology);
    if has.contains(&Capability::TwoZones) {
        has.insert(Capability::ZoneCut);
        has.insert(Capability::Wire);
    }
    // Whether the cluster can do these is known once it is there.
    has.extend([
        Capability::PodFreeze,
        Capability::LateAnswers,
        Capability::ComponentOutage,
        Capability::ClientDenial,
        Capability::NodeOutage,
        Capability::SocketFault,
        Capability::DiskFull,
        Capability::KubernetesOutage,
        Capability::TokenSigning,
    ]);
    if topology.has_latency() {
        has.insert(Capability::ZoneLatency);
    }
    mesh.capabilities_on(has)
}

/// The bounds, with what the user changed.
pub(crate) fn patience(arguments: &BoundArguments) -> Patience {
    let mut patience = Patience::default();
    if let Some(span) = arguments.delivery {
        patience.delivery = span;
    }
    if let Some(span) = arguments.recovery {
        patience.recovery = span;
    }
    for (what, span) in &arguments.patience {
        match what {
            Wait::Marker => patience.marker = *span,
            Wait::Probe => patience.probe = *span,
            Wait::Ready => patience.ready = *span,
        }
    }
    patience
}

/// An upgrade needs a scenario that rolls something out: without one nobody would see that it was not tried.
pub(crate) fn check_upgrade(
    upgrade_from: &[(String, String)],
    scenarios: &[Scenario],
) -> Result<(), Failure> {
    if upgrade_from.is_empty() || scenarios.iter().any(Scenario::rolls_out) {
        return Ok(());
    }
    Err(Failure::new(ExitCode::Usage, "upgrade with --upgrade-from")
        .reason("none of the selected scenarios rolls anything out")
        .hint("select one that does, for example outages/control-plane-rolled-out, or leave the option out"))
}

/// Checks that a folder of ready images has what a run needs, before anything is brought up.
pub(crate) fn check_images(
    environment: &EnvironmentArguments,
    without: &BTreeSet<String>,
) -> Result<(), Failure> {
    let Some(folder) = &ready_images(environment.images.as_deref()) else {
        return Ok(());
    };
    // That there is none is told by `folders`.
    if !folder.is_dir() {
        return Ok(());
    }
    let replaced = environment.image.iter().map(|(name, _)| name.clone());
    let without = without.iter().cloned().chain(replaced).collect();
    harness_images::build::check_prebuilt(folder, &without).map_err(|error| {
        let option = match environment.images {
            Some(_) => "--images",
            None => "the images beside this program,",
        };
        Failure::new(
            ExitCode::Usage,
            format!("use {option} {}", folder.display()),
        )
        .because(&error)
        .hint_opt(error.hint())
    })
}

/// A seeded bug of the shipped mesh must be one of those in the matrix; those of other meshes are theirs to know.
pub(crate) fn check_mutant(arguments: &RunArguments) -> Result<(), Failure> {
    let Some(name) = &arguments.mutant else {
        return Ok(());
    };
    let attempt = || Failure::new(ExitCode::Usage, format!("seed the bug `{name}`"));
    match arguments.execution.environment.mesh.as_str() {
        "absent" => Err(attempt().reason("the mesh `absent` has no control plane")),
        "reference" => {
            let matrix = suites::matrix::checked_in()
                .map_err(|problems| attempt().reason(problems.to_string()))?;
            if matrix.contains_key(name) {
                return Ok(());
            }
            let known = matrix.keys().map(String::as_str);
            let meant = document::suggestion(name, known);
            Err(attempt()
                .reason("there is no such bug")
                .hint_opt(meant.map(|meant| format!("did you mean `{meant}`?")))
                .hint("`meshproof list --mutants` shows what there is"))
        }
        _ => Ok(()),
    }
}

/// Checks that folders which options name are there.
pub(crate) fn folders(images: Option<&Path>, assets: Option<&Path>) -> Result<(), Failure> {
    for (option, folder) in [("--images", images), ("--assets", assets)] {
        if let Some(folder) = folder.filter(|folder| !folder.is_dir()) {
            return Err(Failure::new(
                ExitCode::Usage,
                format!("use {option} {}", folder.display()),
            )
            .reason("there is no such folder"));
        }
    }
    Ok(())
}

/// The folder of ready images: that of `--images`, else the one beside this program.
pub(crate) fn ready_images(given: Option<&Path>) -> Option<PathBuf> {
    given
        .map(absolute)
        .or_else(harness_images::build::beside_program)
}

pub(crate) fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

/// The plan of a run of each scenario once, in the order they come in.
pub(crate) fn plan(
    arguments: &ExecutionArguments,
    checked: Checked,
    scenarios: Vec<Scenario>,
    seed: u64,
    artifacts: &Artifacts,
    started: Instant,
) -> RunPlan {
    let (environment, bounds) = (&arguments.environment, &arguments.bounds);
    let cluster = artifacts.cluster();
    let rolled_out = scenarios.iter().any(Scenario::rolls_out);
    let mut plan = without_scenarios(environment, bounds, checked, cluster, artifacts, started);
    plan.images.rolled_out = rolled_out;
    RunPlan {
        scenarios,
        seed,
        parallel: arguments.parallel,
        keep: match arguments.keep {
            When::Never => KeepPolicy::Never,
            When::OnFailure => KeepPolicy::OnFailure,
            When::Always => KeepPolicy::Always,
        },
        collect: match arguments.collect {
            When::Never => CollectPolicy::Never,
            When::OnFailure => CollectPolicy::OnFailure,
            When::Always => CollectPolicy::Always,
        },
        ..plan
    }
}

/// The plan of a run of nothing; a cluster that is made for it is called `cluster`, and stays.
pub(crate) fn without_scenarios(
    environment: &EnvironmentArguments,
    bounds: &BoundArguments,
    checked: Checked,
    cluster: String,
    artifacts: &Artifacts,
    started: Instant,
) -> RunPlan {
    let cluster = cluster_choice::choose(environment, cluster, checked.ground, checked.registry);
    let source = match ready_images(environment.images.as_deref()) {
        Some(folder) => ImageSource::Folder(folder),
        None => ImageSource::Built,
    };
    RunPlan {
        run: artifacts.run.clone(),
        started,
        scenarios: Vec::new(),
        seed: 0,
        shuffle: false,
        repeat: 1,
        parallel: 1,
        fail_fast: false,
        excused: BTreeSet::new(),
        patience: patience(bounds),
        cluster,
        mesh: MeshChoice {
            name: environment.mesh.clone(),
            definition: checked.mesh,
        },
        mutant: None,
        images: ImageChoice {
            source,
            replacements: checked.replacements,
            before: checked.before,
            rolled_out: false,
            seeded_bugs: false,
        },
        assets: checked.assets,
        whole_again: true,
        keep: KeepPolicy::Always,
        collect: CollectPolicy::OnFailure,
        artifacts: absolute(&artifacts.folder),
    }
}

/// Where programs of the cluster are looked for.
pub(crate) fn assets(folder: Option<&Path>, offline: bool) -> Result<AssetOptions, Failure> {
    AssetOptions::from_environment(folder.map(absolute))
        .map(|options| AssetOptions { offline, ..options })
        .map_err(|error| {
            let hint = error.hint();
            let exit = match error {
                AssetError::Downloads { .. } => ExitCode::Usage,
                _ => ExitCode::Environment,
            };
            Failure::new(exit, "find the programs of the cluster")
                .because(&error)
                .hint_opt(hint)
        })
}

/// The folder of the image store.
pub(crate) fn image_store(options: &AssetOptions) -> PathBuf {
    options.cache.join("images")
}
