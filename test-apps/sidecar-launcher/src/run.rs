//! Puts everything together.

use crate::activity::Activity;
use crate::admin::Admin;
use crate::behaviour::Behaviour;
use crate::connections::Connections;
use crate::log::Rejections;
use crate::relay::Relay;
use crate::settings::{Settings, SettingsError};
use crate::supervisor::{Heard, Starts, supervise};
use crate::{bootstrap, serve};
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tracing_subscriber::EnvFilter;

/// The launcher could not do its work.
#[derive(Debug, thiserror::Error)]
enum LaunchError {
    #[error("read the settings")]
    Settings(#[source] SettingsError),
    #[error("write {}", path.display())]
    Write {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("listen on port {port}")]
    Listen {
        port: u16,
        #[source]
        source: std::io::Error,
    },
    #[error("watch for signals")]
    Signals(#[source] std::io::Error),
    #[error("run the sidecar {}", path.display())]
    Run {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
}

/// Starts logging (`LOG`, default `info`), runs until SIGTERM or SIGINT and returns the exit code.
#[tokio::main(flavor = "current_thread")]
pub async fn launch(behaviour: Arc<dyn Behaviour>) -> ExitCode {
    let filter = EnvFilter::try_from_env("LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(false)
        .with_writer(std::io::stderr)
        .init();
    match run(behaviour).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let mut chain = error.to_string();
            let mut cause = std::error::Error::source(&error);
            while let Some(source) = cause {
                chain = format!("{chain}: {source}");
                cause = source.source();
            }
            tracing::error!("failed to {chain}");
            ExitCode::FAILURE
        }
    }
}

async fn run(behaviour: Arc<dyn Behaviour>) -> Result<(), LaunchError> {
    let settings =
        Settings::from_variables(|name| std::env::var(name).ok()).map_err(LaunchError::Settings)?;
    let bootstrap_file = write_configuration(&settings)?;

    let activity = Activity::default();
    let relay = Relay::new(&settings.xds_address, activity.clone());
    let starts = Arc::new(Starts::default());
    let rejections = Rejections::new(activity.clone());
    let connections = Arc::new(Connections::default());
    let admin = Admin::new(settings.admin_port);
    let relay_listener = listen(Ipv4Addr::LOCALHOST, settings.relay_port).await?;
    let xds_listener = listen(Ipv4Addr::LOCALHOST, settings.launcher_port).await?;
    let ready_listener = listen(Ipv4Addr::UNSPECIFIED, settings.ready_port).await?;
    tokio::spawn(Arc::clone(&relay).serve(relay_listener));
    let interface = serve::xds(
        Arc::clone(&relay),
        Arc::clone(&starts),
        Arc::clone(&rejections),
        Arc::clone(&connections),
        activity,
    );
    tokio::spawn(axum::serve(xds_listener, interface).into_future());
    tokio::spawn(
        axum::serve(ready_listener, serve::ready(admin, Arc::clone(&behaviour))).into_future(),
    );

    let (end, ended) = watch::channel(false);
    let mut terminate = signal(SignalKind::terminate()).map_err(LaunchError::Signals)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(LaunchError::Signals)?;
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        // The receiver lives as long as the sidecar is supervised.
        let _ = end.send(true);
    });
    let heard = Heard {
        rejections,
        connections,
        control_plane: relay.open(),
    };
    supervise(
        &settings,
        &bootstrap_file,
        behaviour.as_ref(),
        &starts,
        &heard,
        ended,
    )
    .await
    .map_err(|source| LaunchError::Run {
        path: settings.envoy.clone(),
        source,
    })
}

fn write_configuration(settings: &Settings) -> Result<PathBuf, LaunchError> {
    let folder = &settings.folder;
    std::fs::create_dir_all(folder).map_err(|source| LaunchError::Write {
        path: folder.clone(),
        source,
    })?;
    let bootstrap = ("bootstrap.json", bootstrap::bootstrap(settings, folder));
    for (name, content) in bootstrap::token_secrets(settings)
        .into_iter()
        .chain([bootstrap])
    {
        let path = folder.join(name);
        std::fs::write(&path, content.to_string())
            .map_err(|source| LaunchError::Write { path, source })?;
    }
    Ok(folder.join("bootstrap.json"))
}

async fn listen(address: Ipv4Addr, port: u16) -> Result<TcpListener, LaunchError> {
    TcpListener::bind((address, port))
        .await
        .map_err(|source| LaunchError::Listen { port, source })
}
