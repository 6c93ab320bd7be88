//! `meshproof cluster`: clusters that stay up for work by hand.

mod distances;
mod images;
mod up;

use crate::arguments::{ClusterCommand, ClusterKind, ClusterUpArguments, Common, OutputForm};
use crate::commands::{write_json, write_json_line};
use crate::exit_code::ExitCode;
use crate::failure::Failure;
use crate::output::Out;
use crate::progress::Progress;
use crate::{logging, output, plan};
use distances::RoundTripForm;
use harness_cluster::ClusterError;
use harness_cluster::kind;
use harness_cluster::local::{self, Listed};
use harness_cluster::together::Kept;
use harness_model::run_event::RunEvent;
use harness_report::record::quote;
use serde::Serialize;
use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::Path;
use up::kind_program;

/// Brings up, takes down or lists.
pub(crate) fn cluster(
    command: &ClusterCommand,
    common: &Common,
    out: &mut Out,
) -> Result<ExitCode, Failure> {
    match command {
        ClusterCommand::Up(arguments) => up(arguments, common, out),
        ClusterCommand::Down { name } => down(name.as_deref(), common),
        ClusterCommand::List => list(common, out),
    }
}

/// A failure of the cluster, with its hint.
pub(crate) fn failure(attempt: impl Into<String>, error: &ClusterError) -> Failure {
    let exit = match error.left.is_empty() {
        true => ExitCode::Environment,
        false => ExitCode::LeftBehind,
    };
    let failure = Failure::new(exit, attempt)
        .because(error)
        .hint_opt(error.hint.clone());
    let left = error.left.iter();
    left.fold(failure, |failure, left| {
        failure.item(format!("left behind: {left}"))
    })
}

fn up(arguments: &ClusterUpArguments, common: &Common, out: &mut Out) -> Result<ExitCode, Failure> {
    let on_kind = match arguments.cluster.kind {
        ClusterKind::Local => "",
        ClusterKind::Kind => " --cluster kind",
        ClusterKind::Kubeconfig => {
            return Err(Failure::new(ExitCode::Usage, "bring a cluster up")
                .reason("a cluster of a kubeconfig is there already")
                .hint("use --cluster local or --cluster kind"));
        }
    };
    let mut progress = Progress::new(common);
    let kept = up::up(arguments, common, |phase: &str, message: String| {
        progress.on(&RunEvent::PhaseProgress {
            phase: phase.to_owned(),
            message,
        });
    })?;
    progress.finish();
    let kubeconfigs: BTreeMap<&str, String> = kept
        .kubeconfigs
        .iter()
        .map(|(cluster, file)| (cluster.as_str(), file.display().to_string()))
        .collect();
    // kubectl takes a list, with a context for each cluster.
    let kubeconfig = kept
        .kubeconfigs
        .iter()
        .map(|(_, file)| file.display().to_string());
    let kubeconfig = kubeconfig.collect::<Vec<_>>().join(":");
    let text = match common.output {
        OutputForm::Text => format!("export KUBECONFIG={}", quote(&kubeconfig)),
        OutputForm::Json | OutputForm::Jsonl => serde_json::json!({
            "name": arguments.name,
            "kubeconfig": kubeconfig,
            "kubeconfigs": kubeconfigs,
            "images": kept.images,
        })
        .to_string(),
    };
    writeln!(out, "{text}").map_err(|error| crate::write_failed(&error))?;
    if common.output == OutputForm::Text && !common.quiet {
        if !kept.images.is_empty() {
            output::say(&format!("images for pods: {}", kept.images.join(", ")));
        }
        output::say(&format!(
            "no mesh is deployed: `meshproof deploy {}{on_kind}` deploys one\nthe cluster stays until `meshproof cluster down {}`",
            arguments.name, arguments.name
        ));
    }
    Ok(ExitCode::Success)
}

fn down(name: Option<&str>, common: &Common) -> Result<ExitCode, Failure> {
    start_logging(common)?;
    let is_asked_for = name.is_some();
    let name = name.unwrap_or("dev");
    let attempt = format!("take down the cluster `{name}`");
    let options = plan::assets(None, true)?;
    let up = up_now(&options.cache);
    let Some((_, on_kind)) = up.iter().find(|(found, _)| found.name == name) else {
        let others: Vec<&Kept> = up.iter().map(|(found, _)| found).collect();
        return nothing_to_take_down(&attempt, name, is_asked_for, &others, common);
    };
    let left = if *on_kind {
        let program = kind_program(&options)?;
        runtime()?
            .block_on(kind::remove_kept(&options.cache, name, &program))
            .map_err(|error| failure(attempt.clone(), &error))?
    } else {
        runtime()?
            .block_on(local::remove_kept(name))
            .map_err(|error| failure(attempt.clone(), &error))?
    };
    if left.is_empty() {
        if !common.quiet {
            let kind = if *on_kind { "kind cluster" } else { "cluster" };
            output::say(&format!(
                "took down the {kind} {name}; nothing of it is left"
            ));
        }
        return Ok(ExitCode::Success);
    }
    let mut failure = Failure::new(ExitCode::LeftBehind, format!("{attempt} completely"));
    for one in left {
        failure = failure.item(one);
    }
    Err(failure.hint("`meshproof clean` removes what is left of dead clusters"))
}

/// The clusters of ours that can be taken down, and whether kind made each.
fn up_now(cache: &Path) -> Vec<(Kept, bool)> {
    let local = local::kept().into_iter();
    let kept = kind::kept(cache).into_iter();
    local
        .map(|kept| (kept, false))
        .chain(kept.map(|kept| (kept, true)))
        .collect()
}

/// Nothing to do is fine, unless a cluster was named.
fn nothing_to_take_down(
    attempt: &str,
    name: &str,
    is_asked_for: bool,
    others: &[&Kept],
    common: &Common,
) -> Result<ExitCode, Failure> {
    // One that somebody uses is no offer.
    let free = others.iter().filter(|kept| !kept.in_use);
    let free: Vec<&str> = free.map(|kept| kept.name.as_str()).collect();
    let there_are = match (others, &*free) {
        ([], _) => "none is up".to_owned(),
        (_, []) => "what is up is in use".to_owned(),
        (_, free) => format!("there are: {}", free.join(", ")),
    };
    if is_asked_for {
        return Err(Failure::new(ExitCode::Usage, attempt)
            .reason(format!("no cluster `{name}` is up"))
            .hint(there_are));
    }
    if !common.quiet {
        output::say(&format!(
            "nothing to take down: no cluster `{name}` is up; {there_are}"
        ));
    }
    Ok(ExitCode::Success)
}

/// One cluster, for programs.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct ListedForm {
    name: String,
    /// The name under which it is used and taken down.
    #[serde(skip)]
    handle: String,
    /// The same, when it was brought up with others.
    #[serde(skip_serializing_if = "Option::is_none")]
    part_of: Option<String>,
    /// What makes its nodes: `local` or `kind`.
    provider: &'static str,
    running: bool,
    in_use: bool,
    topology: Option<String>,
    started: Option<String>,
    kubeconfig: String,
    /// Between data centers, where that is measured.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    round_trips: Vec<RoundTripForm>,
}

impl From<Listed> for ListedForm {
    fn from(listed: Listed) -> Self {
        Self {
            handle: listed.handle().to_owned(),
            part_of: listed.part_of.map(|whole| whole.name),
            name: listed.name,
            provider: "local",
            round_trips: Vec::new(),
            running: listed.running,
            in_use: listed.in_use,
            topology: listed.topology.map(|topology| topology.name),
            started: listed.started.map(written),
            kubeconfig: listed.kubeconfig.display().to_string(),
        }
    }
}

impl From<kind::Listed> for ListedForm {
    fn from(listed: kind::Listed) -> Self {
        Self {
            handle: listed.handle().to_owned(),
            part_of: listed.part_of.map(|whole| whole.name),
            name: listed.name,
            provider: "kind",
            round_trips: Vec::new(),
            running: listed.state != kind::State::Dead,
            in_use: listed.in_use,
            topology: listed.topology.map(|topology| topology.name),
            started: listed.started.map(written),
            kubeconfig: listed.kubeconfig.display().to_string(),
        }
    }
}

/// The same, with the round trips of those that have latency.
fn listed_and_measured() -> Result<Vec<ListedForm>, Failure> {
    let cache = plan::assets(None, true)?.cache;
    let local = local::list().into_iter().map(|cluster| {
        let round_trips = distances::of_local(&cluster);
        (ListedForm::from(cluster), round_trips)
    });
    let kind = kind::list(&cache).into_iter().map(|cluster| {
        let round_trips = distances::of_kind(&cluster);
        (ListedForm::from(cluster), round_trips)
    });
    Ok(local
        .chain(kind)
        .map(|(listed, round_trips)| ListedForm {
            round_trips,
            ..listed
        })
        .collect())
}

fn written(at: jiff::Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

fn listed() -> Result<Vec<ListedForm>, Failure> {
    let cache = plan::assets(None, true)?.cache;
    Ok(local::list()
        .into_iter()
        .map(ListedForm::from)
        .chain(kind::list(&cache).into_iter().map(ListedForm::from))
        .collect())
}

/// How kubectl reaches the clusters of ours that go by this name: a list of files. None when none is there.
pub(crate) fn kubeconfig_of(name: &str) -> Result<Option<String>, Failure> {
    let files: Vec<String> = listed()?
        .into_iter()
        .filter(|one| one.handle == name && one.running)
        .map(|one| one.kubeconfig)
        .collect();
    Ok((!files.is_empty()).then(|| files.join(":")))
}

/// Says how a cluster that a run has left standing is reached and taken down. Nothing when it is not there.
pub(crate) fn tell_if_kept(name: &str) -> Result<(), Failure> {
    if let Some(files) = kubeconfig_of(name)? {
        output::say(&format!(
            "kept      {name}: export KUBECONFIG={}; it stays until `meshproof cluster down {name}`",
            quote(&files)
        ));
    }
    Ok(())
}

fn list(common: &Common, out: &mut Out) -> Result<ExitCode, Failure> {
    let listed = listed_and_measured()?;
    match common.output {
        OutputForm::Json => write_json(out, &listed)?,
        OutputForm::Jsonl => {
            for one in &listed {
                write_json_line(out, one)?;
            }
        }
        OutputForm::Text if listed.is_empty() => {
            if !common.quiet {
                output::say("no cluster is up");
            }
        }
        OutputForm::Text => {
            let width = listed.iter().map(|one| one.name.len()).max().unwrap_or(0);
            for one in &listed {
                let state = match (one.running, &one.topology) {
                    (false, _) => "dead (`meshproof clean` removes it)",
                    (true, None) => "coming up",
                    (true, Some(topology)) => topology,
                };
                let use_of_it = if one.in_use { ", in use" } else { "" };
                let since = one.started.as_deref().unwrap_or("");
                writeln!(
                    out,
                    "{:width$}  {:5}  {state}{use_of_it}  {since}  {}",
                    one.name, one.provider, one.kubeconfig
                )
                .map_err(|error| crate::write_failed(&error))?;
                if !one.round_trips.is_empty() {
                    for line in distances::table(&one.round_trips) {
                        writeln!(out, "{line}").map_err(|error| crate::write_failed(&error))?;
                    }
                }
            }
        }
    }
    Ok(ExitCode::Success)
}

fn start_logging(common: &Common) -> Result<(), Failure> {
    logging::start(common, None)
        .map_err(|error| Failure::new(ExitCode::Environment, "start logging").because(&error))
}

fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| {
            Failure::new(ExitCode::Environment, "start worker threads").because(&error)
        })
}
