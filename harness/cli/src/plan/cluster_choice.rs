//! Which cluster a run uses, and which options go together.

use crate::arguments::{ClusterKind, EnvironmentArguments, ExecutionArguments};
use crate::exit_code::ExitCode;
use crate::failure::Failure;
use crate::plan::candidates;
use crate::plan::options::DEFAULT_TOPOLOGY;
use harness_cluster::registry::{Prefix, Protocol};
use harness_cluster::{kind, local};
use harness_model::topology::Topology;
use harness_runner::ClusterChoice;

/// What a run stands on.
#[derive(Clone, Debug)]
pub(crate) enum Ground {
    /// A cluster that is made for the run, of this shape.
    New(Topology),
    /// A cluster of ours that is up.
    Kept { name: String, topology: Topology },
    /// A cluster of somebody else, whose zones are read when it is used.
    Foreign,
}

impl Ground {
    /// The shape, where it is known before the run.
    pub(crate) fn topology(&self) -> Option<&Topology> {
        match self {
            Self::New(topology) | Self::Kept { topology, .. } => Some(topology),
            Self::Foreign => None,
        }
    }

    /// Whether something is brought up or built here, which needs tools of the distribution.
    pub(crate) fn needs_tools(&self, environment: &EnvironmentArguments) -> bool {
        match self {
            Self::New(_) => true,
            Self::Kept { .. } => false,
            Self::Foreign => environment.registry.registry.is_some(),
        }
    }

    /// In words that fit behind "would run".
    pub(crate) fn describe(&self) -> String {
        match self {
            Self::New(topology) => format!("on topology {}", topology.name),
            Self::Kept { name, topology } => {
                format!("on the kept cluster {name} (topology {})", topology.name)
            }
            Self::Foreign => {
                "on a cluster of somebody else (its zones are read when it is used)".to_owned()
            }
        }
    }
}

/// What the user wants to stand on.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Stand<'a> {
    /// A cluster of its own, or one of somebody else.
    Own,
    /// A kept cluster of this name.
    Kept(&'a str),
    /// A kept cluster of this name, which is brought up where it is not there.
    KeptOrNew(&'a str),
}

impl<'a> Stand<'a> {
    /// That of a run.
    pub(crate) fn of(arguments: &'a ExecutionArguments) -> Self {
        arguments.reuse.as_deref().map_or(Self::Own, Self::Kept)
    }
}

/// Finds what a run is to stand on: a kept cluster must be up.
pub(super) fn ground(
    environment: &EnvironmentArguments,
    stand: Stand<'_>,
) -> Result<Ground, Failure> {
    let new = || super::topology(&environment.topology).map(Ground::New);
    match (environment.cluster.kind, stand) {
        (ClusterKind::Kubeconfig, _) => Ok(Ground::Foreign),
        (kind, Stand::Kept(name)) => kept(kind, name),
        (_, Stand::Own) => new(),
        (_, Stand::KeptOrNew(name)) if !is_up(name)? => new(),
        (kind, Stand::KeptOrNew(name)) => {
            let ground = kept(kind, name)?;
            of_shape(&environment.topology, name, ground)
        }
    }
}

/// Whether a kept cluster has this name, of whichever kind.
fn is_up(name: &str) -> Result<bool, Failure> {
    let cache = super::assets(None, true)?.cache;
    let mut up = kind::kept(&cache).into_iter().chain(local::kept());
    Ok(up.any(|kept| kept.name == name))
}

/// A cluster that is up does not change its shape.
fn of_shape(wanted: &str, name: &str, ground: Ground) -> Result<Ground, Failure> {
    if wanted == DEFAULT_TOPOLOGY {
        return Ok(ground);
    }
    let wanted = super::topology(wanted)?;
    match ground.topology() {
        Some(topology) if topology.name != wanted.name => {
            let attempt = format!("use the cluster `{name}`");
            let reason = format!(
                "it is up with topology {}, not {}",
                topology.name, wanted.name
            );
            Err(Failure::new(ExitCode::Usage, attempt)
                .reason(reason)
                .hint("leave --topology out, or name another cluster"))
        }
        _ => Ok(ground),
    }
}

fn kept(kind: ClusterKind, name: &str) -> Result<Ground, Failure> {
    let cache = super::assets(None, true)?.cache;
    let (on_kind, local) = (kind::kept(&cache), local::kept());
    let (up, others) = if kind == ClusterKind::Kind {
        (on_kind, local)
    } else {
        (local, on_kind)
    };
    let is_among_others = others.iter().any(|kept| kept.name == name);
    // One that somebody uses is no offer.
    let names: Vec<String> = up
        .iter()
        .filter(|kept| !kept.in_use)
        .map(|kept| kept.name.clone())
        .collect();
    let no_offer = if up.is_empty() {
        "none is up"
    } else {
        "what is up is in use"
    };
    let up: Vec<(String, Topology)> = up
        .into_iter()
        .map(|kept| (kept.name, kept.topology))
        .collect();
    let on_kind = match kind {
        ClusterKind::Kind => " --cluster kind",
        ClusterKind::Local | ClusterKind::Kubeconfig => "",
    };
    up.into_iter()
        .find(|(found, _)| found == name)
        .map(|(name, topology)| Ground::Kept { name, topology })
        .ok_or_else(|| {
            Failure::new(ExitCode::Environment, format!("use the cluster `{name}`"))
                .reason(match (is_among_others, kind) {
                    (false, _) => "no cluster of this name is up",
                    (true, ClusterKind::Kind) => "the cluster of this name is a local one",
                    (true, _) => "the cluster of this name is one of kind (--cluster kind)",
                })
                .hint(match &names[..] {
                    [] => format!("{no_offer}; `meshproof cluster up{on_kind} {name}` makes it"),
                    names => format!("there are: {}", names.join(", ")),
                })
        })
}

/// The chosen cluster; one that is made for the run is called `name`.
pub(super) fn choose(
    environment: &EnvironmentArguments,
    name: String,
    ground: Ground,
    registry: Option<Prefix>,
) -> ClusterChoice {
    let on_kind = environment.cluster.kind == ClusterKind::Kind;
    match ground {
        Ground::Kept { name, .. } if on_kind => ClusterChoice::AttachKind { name },
        Ground::Kept { name, .. } => ClusterChoice::Attach { name },
        Ground::New(topology) if on_kind => ClusterChoice::Kind {
            name,
            topology,
            node_image: environment.cluster.node_image.clone(),
        },
        Ground::New(topology) => ClusterChoice::Local { name, topology },
        Ground::Foreign => ClusterChoice::Existing {
            context: environment.context.clone(),
            allowed: environment.allow_context.clone(),
            registry,
        },
    }
}

/// The options that choose it again.
pub(super) fn options(environment: &EnvironmentArguments) -> Vec<(&'static str, &str)> {
    match environment.cluster.kind {
        ClusterKind::Local => Vec::new(),
        ClusterKind::Kind => [
            Some(("--cluster", "kind")),
            given("--node-image", &environment.cluster.node_image),
        ]
        .into_iter()
        .flatten()
        .collect(),
        ClusterKind::Kubeconfig => [
            Some(("--cluster", "kubeconfig")),
            given("--context", &environment.context),
            given("--allow-context", &environment.allow_context),
            given("--registry", &environment.registry.registry),
        ]
        .into_iter()
        .flatten()
        .collect(),
    }
}

fn given<'a>(name: &'static str, value: &'a Option<String>) -> Option<(&'static str, &'a str)> {
    value.as_deref().map(|value| (name, value))
}

/// Refuses options that do not go together; everything that is wrong is told at once.
pub(super) fn check(
    environment: &EnvironmentArguments,
    upgrade_from: &[(String, String)],
    stand: Stand<'_>,
) -> Result<Option<Prefix>, Failure> {
    let registry = environment.registry.registry.as_deref().map(|text| {
        let protocol = if environment.registry.registry_insecure {
            Protocol::Plain
        } else {
            Protocol::Secure
        };
        Prefix::parse(text, protocol)
    });
    let mut problems = of_cluster(environment, upgrade_from, stand);
    let registry = match registry.transpose() {
        Ok(registry) => registry,
        Err(error) => {
            problems.push((
                format!("--registry: {error}"),
                "write it as in an image's name, for example registry.example:5000/team",
            ));
            None
        }
    };
    if problems.is_empty() {
        return Ok(registry);
    }
    let failed = Failure::new(ExitCode::Usage, "choose a cluster");
    let alone = problems.len() == 1;
    Err(problems
        .into_iter()
        .fold(failed, |failed, (problem, hint)| {
            let failed = failed.hint(hint);
            if alone {
                failed.reason(problem)
            } else {
                failed.item(problem)
            }
        }))
}

/// What does not go together, each with what to do about it.
fn of_cluster(
    environment: &EnvironmentArguments,
    upgrade_from: &[(String, String)],
    stand: Stand<'_>,
) -> Vec<(String, &'static str)> {
    let registry = environment.registry.registry.is_some();
    let preloaded = environment.images_preloaded;
    let has_archive = |images: &[(String, String)]| {
        let mut texts = images.iter();
        texts.any(|(_, text)| candidates::is_archive(text))
    };
    let mut problems = Vec::new();
    let mut add = |wrong: bool, problem: &str, hint| {
        if wrong {
            problems.push((problem.to_owned(), hint));
        }
    };
    add(
        environment.registry.registry_insecure && !registry,
        "--registry-insecure is about a registry, and none is named",
        "name it with --registry",
    );
    if environment.cluster.kind != ClusterKind::Kubeconfig {
        let options: Vec<&str> = [
            (environment.context.is_some(), "--context"),
            (environment.allow_context.is_some(), "--allow-context"),
            (registry, "--registry"),
        ]
        .into_iter()
        .filter_map(|(is_given, option)| is_given.then_some(option))
        .collect();
        let are = if options.len() > 1 { "are" } else { "is" };
        add(
            !options.is_empty(),
            &format!(
                "{} {are} for a cluster of somebody else",
                options.join(" and ")
            ),
            "add --cluster kubeconfig",
        );
        return problems;
    }
    add(
        matches!(stand, Stand::KeptOrNew(_)),
        "what is deployed stays, and in a cluster of somebody else nothing of ours does",
        "use --cluster local or --cluster kind; `meshproof run --cluster kubeconfig` deploys, runs scenarios and removes it all",
    );
    add(
        matches!(stand, Stand::Kept(_)),
        "--reuse names a cluster of ours, and --cluster kubeconfig one of somebody else",
        "leave one of them out",
    );
    add(
        environment.topology != DEFAULT_TOPOLOGY,
        "--topology shapes a cluster that is made, and one of somebody else has its zones already",
        "leave --topology (and MESHPROOF_TOPOLOGY) out",
    );
    add(
        registry && preloaded,
        "--registry brings the images, and --images-preloaded says that they are there",
        "leave one of them out",
    );
    add(
        !registry && !preloaded,
        "the nodes of a cluster of somebody else need the images from somewhere",
        "name a registry they pull from with --registry; or put the images of `cargo xtask images` on the nodes, and say so with --images-preloaded",
    );
    add(
        preloaded && !registry && has_archive(&environment.image),
        "--image with an archive replaces an image that is brought to the nodes, and --images-preloaded says that they are there",
        "name an image that the nodes pull (--image NAME=registry.example/team/NAME:tag), or bring the images with --registry",
    );
    add(
        preloaded && !registry && has_archive(upgrade_from),
        "--upgrade-from with an archive names an image that is brought to the nodes, and --images-preloaded says that they are there",
        "name an image that the nodes pull (--upgrade-from NAME=registry.example/team/NAME:tag), or bring the images with --registry",
    );
    problems
}
