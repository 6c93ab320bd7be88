//! A test's time with the engine: what it loads and starts there, and that all of it is gone at the end.

use crate::archive;
use crate::owner::Owner;
use futures::{FutureExt as _, StreamExt as _};
use harness_assets::{Asset, AssetOptions};
use harness_images::pack::{FileSpec, ImageSpec, pack};
use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};
use std::time::Duration;
use testcontainers::bollard::Docker;
use testcontainers::bollard::errors::Error;
use testcontainers::bollard::models::NetworkCreateRequest;
use testcontainers::bollard::query_parameters::{
    ImportImageOptions, ListContainersOptionsBuilder, ListImagesOptionsBuilder,
    ListNetworksOptionsBuilder, RemoveContainerOptionsBuilder, RemoveImageOptions,
};
use testcontainers::core::IntoContainerPort as _;
use testcontainers::core::client::docker_client_instance;
use testcontainers::{
    ContainerAsync, ContainerRequest, GenericImage, ImageExt as _, TestcontainersError,
};
use tokio_util::io::ReaderStream;

/// The label of every container and network; its value is the owner.
pub const LABEL: &str = "io.meshproof.component-test";

/// Images are `REPOSITORY/NAME:OWNER`.
const REPOSITORY: &str = "meshproof-component-test";

/// How long a container may take for one answer.
const ANSWER: Duration = Duration::from_secs(10);

/// The engine, and what one test has there.
pub struct Session {
    /// For what `testcontainers` has no words for.
    pub docker: Docker,
    owner: Owner,
    /// Archives on their way into the engine.
    folder: tempfile::TempDir,
}

/// Runs a test with the engine, and takes away what the test made there, however it ends: containers end with their
/// guards, which a panic drops, and what had none, or was left by a test that was killed, is found by its label.
///
/// # Panics
///
/// When no engine answers, when the test panics, or when something cannot be taken away.
pub async fn with_engine(test: impl AsyncFnOnce(&Session)) {
    let session = Session::open().await;
    session.sweep(Owner::is_dead).await;
    let outcome = AssertUnwindSafe(test(&session)).catch_unwind().await;
    session.sweep(|owner| *owner == session.owner).await;
    if let Err(panic) = outcome {
        std::panic::resume_unwind(panic);
    }
    let left = session.belongings(|owner| *owner == session.owner).await;
    assert!(left.is_empty(), "left in the engine: {left:?}");
}

/// Where a port of a container is reached from here, with a path.
///
/// # Errors
///
/// When the port is not published, or the container is not there.
pub async fn url(
    container: &ContainerAsync<GenericImage>,
    port: u16,
    path: &str,
) -> Result<String, TestcontainersError> {
    let host = container.get_host().await?;
    let port = container.get_host_port_ipv4(port.tcp()).await?;
    Ok(format!("http://{host}:{port}{path}"))
}

/// What a container answers to a request at a port: status and text.
///
/// # Errors
///
/// When it does not answer.
pub async fn answer(
    http: &reqwest::Client,
    container: &ContainerAsync<GenericImage>,
    port: u16,
    path: &str,
) -> Result<(u16, String), String> {
    let ask = async {
        let url = url(container, port, path).await?;
        let answer = http.get(url).send().await?;
        let status = answer.status().as_u16();
        Ok::<_, Box<dyn std::error::Error>>((status, answer.text().await?))
    };
    ask.await.map_err(|error| error.to_string())
}

/// Something with an owner in the engine.
#[derive(Debug)]
enum Belonging {
    Container(String),
    Network(String),
    Image(String),
}

impl Session {
    async fn open() -> Self {
        // The HTTP clients take whichever provider is installed; one that is there already is the same one.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let docker = docker_client_instance().await.expect("a client");
        docker.ping().await.unwrap_or_else(|error| {
            panic!(
                "no container engine answers ({error}); `cargo xtask test components` starts one where there is none"
            )
        });
        Self {
            docker,
            owner: Owner::another(),
            folder: tempfile::tempdir().expect("a temporary folder"),
        }
    }

    /// A client for what containers serve. Proxies of the user are not for them.
    ///
    /// # Panics
    ///
    /// When none can be made.
    #[must_use]
    pub fn http(&self) -> reqwest::Client {
        let builder = reqwest::Client::builder().no_proxy().timeout(ANSWER);
        builder.build().expect("an HTTP client")
    }

    /// A name in the engine, or for DNS, that nobody else has.
    #[must_use]
    pub fn name(&self, name: &str) -> String {
        format!("{name}-{}", self.owner)
    }

    /// Makes a network and returns its name.
    ///
    /// # Panics
    ///
    /// When the engine does not make it.
    pub async fn network(&self) -> String {
        let name = self.name("component-test");
        let labels = HashMap::from([(LABEL.to_owned(), self.owner.to_string())]);
        let request = NetworkCreateRequest {
            name: name.clone(),
            labels: Some(labels),
            ..NetworkCreateRequest::default()
        };
        self.docker
            .create_network(request)
            .await
            .expect("a network");
        name
    }

    /// Loads an image of ours.
    ///
    /// # Panics
    ///
    /// When its archive is not there or the engine does not take it.
    pub async fn image_of_ours(&self, name: &str) -> GenericImage {
        let archive = archive_of(name);
        assert!(
            archive.is_file(),
            "{} is not there; `cargo xtask images` makes it",
            archive.display()
        );
        let copy = self.folder.path().join(format!("{name}.tar"));
        archive::copy_as(&archive, &self.reference(name), &copy).expect("copy the archive");
        self.load(name, &copy).await
    }

    /// Packs a program of another project, which needs nothing but itself, and loads it.
    ///
    /// # Panics
    ///
    /// When the program is not there or the engine does not take it.
    pub async fn image_of(&self, asset: Asset) -> GenericImage {
        let name = asset.file_name();
        let target = Path::new("/").join(name);
        let spec = ImageSpec {
            reference: self.reference(name),
            entrypoint: vec![target.display().to_string()],
            files: vec![FileSpec {
                target,
                source: program(asset),
                mode: 0o755,
            }],
            folders: vec![(PathBuf::from("/tmp"), 0o1777)],
            cmd: Vec::new(),
            env: Vec::new(),
        };
        let archive = self.folder.path().join(format!("{name}.tar"));
        pack(&spec, &archive).expect("pack a program");
        self.load(name, &archive).await
    }

    /// A container of an image, named and labelled as ours.
    pub fn container(&self, image: GenericImage, name: &str) -> ContainerRequest<GenericImage> {
        image
            .with_container_name(self.name(name))
            .with_label(LABEL, self.owner.to_string())
    }

    /// The name of an image in the engine.
    #[must_use]
    pub fn reference(&self, name: &str) -> String {
        format!("{REPOSITORY}/{name}:{}", self.owner)
    }

    async fn load(&self, name: &str, archive: &Path) -> GenericImage {
        let file = tokio::fs::File::open(archive).await.expect("the archive");
        let stream = ReaderStream::with_capacity(file, 1 << 20);
        let told = self
            .docker
            .import_image_stream(ImportImageOptions::default(), stream, None);
        let told: Vec<_> = told.collect().await;
        // `testcontainers` pulls what is not there: that must not come to pass.
        if let Err(error) = self.docker.inspect_image(&self.reference(name)).await {
            panic!("the engine did not load {name}: {error}; it said: {told:?}");
        }
        tokio::fs::remove_file(archive)
            .await
            .expect("remove the archive");
        GenericImage::new(format!("{REPOSITORY}/{name}"), self.owner.to_string())
    }

    async fn sweep(&self, is_wanted: impl Fn(&Owner) -> bool) {
        for belonging in self.belongings(is_wanted).await {
            let removed = match &belonging {
                Belonging::Container(id) => {
                    let options = RemoveContainerOptionsBuilder::new()
                        .force(true)
                        .v(true)
                        .build();
                    self.docker.remove_container(id, Some(options)).await
                }
                Belonging::Network(id) => self.docker.remove_network(id).await,
                Belonging::Image(reference) => self
                    .docker
                    .remove_image(reference, None::<RemoveImageOptions>, None)
                    .await
                    .map(drop),
            };
            match removed {
                // Another test may be removing the same.
                Err(Error::DockerResponseServerError {
                    status_code: 404 | 409,
                    ..
                })
                | Ok(()) => {}
                Err(error) => panic!("remove {belonging:?}: {error}"),
            }
        }
    }

    /// What there is of certain owners, in the order in which it can be removed.
    async fn belongings(&self, is_wanted: impl Fn(&Owner) -> bool) -> Vec<Belonging> {
        let is_wanted = |owner: &str| Owner::parse(owner).is_some_and(|owner| is_wanted(&owner));
        let labelled = |labels: Option<&HashMap<String, String>>| {
            let owner = labels.and_then(|labels| labels.get(LABEL));
            owner.is_some_and(|owner| is_wanted(owner))
        };
        let by_label = HashMap::from([("label", vec![LABEL])]);
        let containers = ListContainersOptionsBuilder::new()
            .all(true)
            .filters(&by_label)
            .build();
        let containers = self.docker.list_containers(Some(containers)).await;
        let networks = ListNetworksOptionsBuilder::new().filters(&by_label).build();
        let networks = self.docker.list_networks(Some(networks)).await;
        let by_name = HashMap::from([("reference", vec![format!("{REPOSITORY}/*")])]);
        let images = ListImagesOptionsBuilder::new().filters(&by_name).build();
        let images = self.docker.list_images(Some(images)).await;
        let containers = containers.expect("the list of containers").into_iter();
        let networks = networks.expect("the list of networks").into_iter();
        let images = images.expect("the list of images").into_iter();
        let containers = containers
            .filter(|container| labelled(container.labels.as_ref()))
            .filter_map(|container| container.id.map(Belonging::Container));
        let networks = networks
            .filter(|network| labelled(network.labels.as_ref()))
            .filter_map(|network| network.id.map(Belonging::Network));
        let images = images
            .flat_map(|image| image.repo_tags)
            .filter(|reference| {
                let ours = reference
                    .strip_prefix(REPOSITORY)
                    .and_then(|rest| rest.split_once(':'));
                ours.is_some_and(|(_, owner)| is_wanted(owner))
            })
            .map(Belonging::Image);
        containers.chain(networks).chain(images).collect()
    }
}

/// Where the archive of an image of ours is: in the folder that `MESHPROOF_IMAGES` names, else where they are built.
#[must_use]
pub fn archive_of(name: &str) -> PathBuf {
    let folder = std::env::var_os("MESHPROOF_IMAGES").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/images"),
        PathBuf::from,
    );
    folder.join(format!("{name}.tar"))
}

/// Tests make no programs: that takes minutes and belongs to `cargo xtask`.
fn program(asset: Asset) -> PathBuf {
    let options = AssetOptions {
        offline: true,
        ..AssetOptions::from_environment(None).expect("a folder for programs")
    };
    harness_assets::obtain_each(&options, &[asset], &|_| {})
        .ok()
        .and_then(|mut found| found.remove(&asset))
        .unwrap_or_else(|| panic!("there is no {asset}; `cargo xtask images` makes it"))
}
