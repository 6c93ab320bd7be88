//! `meshproof cluster`: clusters that stay up for work by hand.

mod images;

use crate::arguments::{ClusterCommand, ClusterUpArguments, Common, OutputForm};
use crate::commands::{write_json, write_json_line};
use crate::exit_code::ExitCode;
use crate::failure::Failure;
use crate::output::Out;
use crate::progress::Progress;
use crate::{logging, output, plan, signals, tools};
use harness_cluster::local::{self, Listed, LocalCluster, Options};
use harness_cluster::{Cluster as _, ClusterError, assets};
use harness_model::run_event::RunEvent;
use harness_report::record::quote;
use serde::Serialize;
use std::io::Write as _;
use std::sync::Arc;

/// Brings up, takes down or lists.
pub(crate) fn cluster(
    command: &ClusterCommand,
    common: &Common,
    out: &mut Out,
) -> Result<ExitCode, Failure> {
    match command {
        ClusterCommand::Up(arguments) => up(arguments, common, out),
        ClusterCommand::Down { name } => down(name, common),
        ClusterCommand::List => list(common, out),
    }
}

/// A failure of the cluster, with its hint.
pub(crate) fn failure(attempt: impl Into<String>, error: &ClusterError) -> Failure {
    Failure::new(ExitCode::Environment, attempt)
        .because(error)
        .hint_opt(error.hint.clone())
}

fn up(arguments: &ClusterUpArguments, common: &Common, out: &mut Out) -> Result<ExitCode, Failure> {
    let topology = plan::topology(&arguments.topology)?;
    let wanted = images::check(arguments)?;
    let options = plan::assets(arguments.assets.as_deref(), arguments.offline)?;
    start_logging(common)?;
    tools::ensure(arguments.no_install)?;
    let mut progress = Progress::new(common);
    let mut say = |phase: &str, message: String| {
        progress.on(&RunEvent::PhaseProgress {
            phase: phase.to_owned(),
            message,
        });
    };
    let say_cell = std::cell::RefCell::new(&mut say);
    let programs = assets::obtain(&options, &|step| {
        (say_cell.borrow_mut())("assets", step.to_string());
    })
    .map_err(|error| {
        let hint = error.hint();
        Failure::new(ExitCode::Environment, "obtain the programs of the cluster")
            .because(&error)
            .hint_opt(hint)
    })?;
    let store = plan::image_store(&options);
    let images = images::obtain(wanted, &programs.envoy, &store, &|line| {
        (say_cell.borrow_mut())("images", line.to_owned());
    })?;
    let attempt = format!("bring up the cluster `{}`", arguments.name);
    let cluster = runtime()?.block_on(async {
        let interrupt = signals::listen()?;
        let interrupted = || {
            let exit = ExitCode::of_signal(interrupt.signal().unwrap_or_default());
            Failure::new(exit, attempt.clone()).reason("interrupted")
        };
        let options = Options {
            name: arguments.name.clone(),
            topology,
            programs: (&programs).into(),
            image_store: store,
            keep: true,
        };
        let coming = LocalCluster::up(options, |step| say("cluster", step.to_owned()));
        let cluster = tokio::select! {
            cluster = coming => {
                Arc::new(cluster.map_err(|error| failure(attempt.clone(), &error))?)
            }
            // What is half up ends with the connection that the future holds.
            () = interrupt.stop() => return Err(interrupted()),
        };
        let mut loaded = images::load(&cluster, &images).await;
        // It is kept from now on, so it does not end by itself any more.
        if loaded.is_ok() && interrupt.signal().is_some() {
            loaded = Err(interrupted());
        }
        match loaded {
            Ok(()) => Ok(cluster),
            Err(mut failure) => {
                for left in Arc::clone(&cluster).down().await {
                    failure = failure.item(left);
                }
                Err(failure)
            }
        }
    })?;
    progress.finish();
    let kubeconfig = cluster.kubeconfig().display().to_string();
    let names: Vec<&str> = images.iter().map(|image| image.name.as_str()).collect();
    let text = match common.output {
        OutputForm::Text => format!("export KUBECONFIG={}", quote(&kubeconfig)),
        OutputForm::Json | OutputForm::Jsonl => serde_json::json!({
            "name": arguments.name, "kubeconfig": kubeconfig, "images": names,
        })
        .to_string(),
    };
    writeln!(out, "{text}").map_err(|error| crate::write_failed(&error))?;
    if common.output == OutputForm::Text && !common.quiet {
        if !names.is_empty() {
            output::say(&format!("images for pods: {}", names.join(", ")));
        }
        output::say(&format!(
            "the cluster stays until `meshproof cluster down {}`; `meshproof run --reuse {}` uses it",
            arguments.name, arguments.name
        ));
    }
    Ok(ExitCode::Success)
}

fn down(name: &str, common: &Common) -> Result<ExitCode, Failure> {
    start_logging(common)?;
    let attempt = format!("take down the cluster `{name}`");
    let left = runtime()?.block_on(async {
        let cluster = LocalCluster::attach(name)
            .await
            .map_err(|error| failure(attempt.clone(), &error))?;
        Ok(Arc::new(cluster).down().await)
    })?;
    if left.is_empty() {
        return Ok(ExitCode::Success);
    }
    let mut failure = Failure::new(ExitCode::LeftBehind, format!("{attempt} completely"));
    for one in left {
        failure = failure.item(one);
    }
    Err(failure.hint("`meshproof clean` removes what is left of dead clusters"))
}

/// One cluster, for programs.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct ListedForm {
    name: String,
    running: bool,
    topology: Option<String>,
    started: Option<String>,
    kubeconfig: String,
}

impl From<Listed> for ListedForm {
    fn from(listed: Listed) -> Self {
        Self {
            name: listed.name,
            running: listed.running,
            topology: listed.topology,
            started: listed
                .started
                .map(|at| at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()),
            kubeconfig: listed.kubeconfig.display().to_string(),
        }
    }
}

fn list(common: &Common, out: &mut Out) -> Result<ExitCode, Failure> {
    let listed: Vec<ListedForm> = local::list().into_iter().map(ListedForm::from).collect();
    match common.output {
        OutputForm::Json => write_json(out, &listed)?,
        OutputForm::Jsonl => {
            for one in &listed {
                write_json_line(out, one)?;
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
                let since = one.started.as_deref().unwrap_or("");
                writeln!(
                    out,
                    "{:width$}  {state}  {since}  {}",
                    one.name, one.kubeconfig
                )
                .map_err(|error| crate::write_failed(&error))?;
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
