//! The probe's image.

use component_tests::session::{self, Session, with_engine};
use futures::TryStreamExt as _;
use harness_images::archive::Archive;
use probe_api::request::PeerView;
use probe_api::state::{SidecarReading, SidecarState};
use probe_api::{APPLICATION_PORT, CONTROL_PORT, paths};
use std::collections::BTreeMap;
use testcontainers::core::wait::HttpWaitStrategy;
use testcontainers::core::{CmdWaitFor, ExecCommand, IntoContainerPort as _, WaitFor};
use testcontainers::runners::AsyncRunner as _;
use testcontainers::{ContainerAsync, ContainerRequest, GenericImage, ImageExt as _};

/// The probe, and what deploys it as the mesh definition does: without rights of root, and here without a place to
/// write to.
async fn probe(session: &Session) -> ContainerRequest<GenericImage> {
    let serves = HttpWaitStrategy::new(paths::HEALTHZ)
        .with_client(session.http())
        .with_port(CONTROL_PORT.tcp())
        .with_expected_status_code(200_u16);
    let image = session
        .image_of_ours("probe-app")
        .await
        .with_exposed_port(CONTROL_PORT.tcp())
        .with_exposed_port(APPLICATION_PORT.tcp())
        .with_wait_for(WaitFor::http(serves));
    session
        .container(image, "probe-app")
        .with_cap_drop("ALL")
        .with_security_opt("no-new-privileges")
        .with_readonly_rootfs(true)
        .with_env_var("POD_NAME", "checkout-0")
        .with_env_var("APPLICATION", "checkout")
        .with_env_var("ZONE", "zone-a")
}

async fn url(probe: &ContainerAsync<GenericImage>, port: u16, path: &str) -> String {
    let url = session::url(probe, port, path).await;
    url.expect("a published port")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_probe_says_who_it_is_on_both_ports_and_refuses_what_makes_no_sense() {
    with_engine(async |session| {
        let probe = probe(session).await.start().await.expect("start the probe");
        let http = session.http();
        let control = async |path: &str| {
            let answer = http.get(url(&probe, CONTROL_PORT, path).await).send().await;
            answer.expect("an answer")
        };

        let state: SidecarState = control(paths::STATE).await.json().await.expect("a state");
        assert_eq!(state.identity.pod, "checkout-0");
        assert_eq!(state.identity.application, "checkout");
        assert_eq!(state.identity.zone, "zone-a");
        assert_eq!(
            state.sidecar,
            SidecarReading::None,
            "nobody told it of a sidecar"
        );
        assert_eq!(control(paths::READYZ).await.status().as_u16(), 200);

        let refused = control(&format!("{}?timeout_ms=1", paths::STATE)).await;
        assert_eq!(refused.status().as_u16(), 400);
        assert_eq!(
            refused.text().await.expect("a reason"),
            "differs_from and timeout_ms belong together\n"
        );

        let application = url(&probe, APPLICATION_PORT, "/any/path").await;
        let answer = http.get(application).send().await.expect("an answer");
        let seen: PeerView = answer.json().await.expect("who answered");
        assert_eq!(seen.identity, state.identity);
        assert_eq!(seen.path, "/any/path");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_probe_ends_by_itself_when_it_is_asked_to() {
    /// Seconds until the engine would kill it.
    const PATIENCE: i32 = 10;
    with_engine(async |session| {
        let probe = probe(session).await.start().await.expect("start the probe");
        probe
            .stop_with_timeout(Some(PATIENCE))
            .await
            .expect("stop the probe");
        let code = probe.exit_code().await.expect("how it ended");
        assert_eq!(code, Some(0), "killed ones end with 137");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_image_of_the_probe_runs_as_the_user_that_it_says_or_any_other() {
    with_engine(async |session| {
        let image = session.image_of_ours("probe-app").await;
        drop(image);
        let told = session
            .docker
            .inspect_image(&session.reference("probe-app"))
            .await;
        let config = told.expect("the image").config.expect("a configuration");
        assert_eq!(
            config.user.unwrap_or_default(),
            "",
            "root, with whatever rights are left to it"
        );
        let as_told = probe(session).await.start().await.expect("start the probe");
        assert_eq!(user_of(session, &as_told).await, "0");
        drop(as_told);
        let as_nobody = probe(session).await.with_user("65534:65534").start().await;
        let as_nobody = as_nobody.expect("start the probe as nobody");
        assert_eq!(user_of(session, &as_nobody).await, "65534");
    })
    .await;
}

/// The user of a container's only process, by number.
async fn user_of(session: &Session, container: &ContainerAsync<GenericImage>) -> String {
    let options = testcontainers::bollard::query_parameters::TopOptionsBuilder::new()
        .ps_args("-eo uid,pid")
        .build();
    let top = session
        .docker
        .top_processes(container.id(), Some(options))
        .await;
    let processes = top.expect("its processes").processes.unwrap_or_default();
    let [process] = processes.as_slice() else {
        panic!("one process is expected: {processes:?}");
    };
    process[0].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_image_of_the_probe_has_its_program_and_empty_folders_and_no_shell() {
    with_engine(async |session| {
        let probe = probe(session).await.start().await.expect("start the probe");
        // Its program runs (and finds its ports taken), so it would be known if a shell did.
        assert_eq!(ended(&probe, &["/probe-app"]).await, Ok(1));
        for shell in ["/bin/sh", "sh", "/busybox/sh", "bash"] {
            let outcome = ended(&probe, &[shell, "-c", "exit 1"]).await;
            let is_absent = match &outcome {
                Ok(code) => [126, 127].contains(code),
                Err(error) => error.contains("not found") || error.contains("no such file"),
            };
            assert!(is_absent, "{shell}: {outcome:?}");
        }
        let told = session
            .docker
            .inspect_image(&session.reference("probe-app"))
            .await;
        let config = told.expect("the image").config.expect("a configuration");
        assert_eq!(config.entrypoint, Some(vec!["/probe-app".to_owned()]));
        assert_eq!(config.cmd.unwrap_or_default(), Vec::<String>::new());

        let folder = |mode| (mode, 0, 0);
        let mut expected: BTreeMap<String, (u32, u64, u64)> =
            ["dev/", "etc/", "proc/", "run/", "sys/", "var/"]
                .map(|path| (path.to_owned(), folder(0o755)))
                .into();
        expected.insert("tmp/".to_owned(), folder(0o1777));
        expected.insert("probe-app".to_owned(), (0o755, 0, 0));
        assert_eq!(contents(session, "probe-app").await, expected);
    })
    .await;
}

/// Runs a command in a container and returns its exit code.
async fn ended(container: &ContainerAsync<GenericImage>, command: &[&str]) -> Result<i64, String> {
    let command = ExecCommand::new(command.iter().copied());
    let command = command.with_cmd_ready_condition(CmdWaitFor::exit());
    let ended = async { container.exec(command).await?.exit_code().await };
    let code = ended.await.map_err(|error| format!("{error:?}"))?;
    code.ok_or_else(|| "it has no exit code".to_owned())
}

/// What the engine has in an image: path → permission bits, user, group.
async fn contents(session: &Session, name: &str) -> BTreeMap<String, (u32, u64, u64)> {
    let saved = session.docker.export_image(&session.reference(name));
    let saved: Vec<_> = saved.try_collect().await.expect("save the image");
    let file = tempfile::NamedTempFile::new().expect("a temporary file");
    std::fs::write(file.path(), saved.concat()).expect("write the image");
    let archive = Archive::open(file.path()).expect("an image");
    let content = archive.content().expect("its blobs");
    let mut contents = BTreeMap::new();
    // The first one is the configuration.
    for layer in &content.blobs[1..] {
        let layer = archive.open_blob(layer).expect("a layer");
        let mut layer = tar::Archive::new(layer);
        for entry in layer.entries().expect("the entries of a layer") {
            let entry = entry.expect("an entry");
            let header = entry.header();
            let facts = (
                header.mode().expect("its mode"),
                header.uid().expect("its user"),
                header.gid().expect("its group"),
            );
            contents.insert(entry.path().expect("its path").display().to_string(), facts);
        }
    }
    contents
}
