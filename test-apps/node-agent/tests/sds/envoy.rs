//! A real Envoy with one listener that speaks mutual TLS with what SDS gave it, and says what it hears; and a client of it.

use node_agent::certificate::Identity;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::process::{Child, Command};
use tokio_rustls::TlsConnector;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer as _, X509Certificate};

/// The forms of the protocol in Envoy's words.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Api {
    StateOfTheWorld,
    Delta,
}

/// An Envoy; ends when it is dropped.
pub(crate) struct Envoy {
    _process: Child,
    listener: PathBuf,
}

/// Who Envoy says that it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Peer {
    pub(crate) serial: String,
    pub(crate) names: Vec<String>,
}

impl Envoy {
    /// Starts one that shows this token to the agent at `socket`. Its files are in a folder of its own in `folder`.
    pub(crate) fn start(folder: &Path, socket: &Path, token: &str, api: Api) -> Self {
        let binary = std::env::var_os("MESHPROOF_ENVOY").expect(
            "MESHPROOF_ENVOY names no Envoy: `cargo xtask test` sets it; by hand, name the `envoy` of the assets",
        );
        let folder = folder.join(token);
        std::fs::create_dir(&folder).expect("made");
        let write = |name: &str, text: &str| {
            let path = folder.join(name);
            std::fs::write(&path, text).expect("written");
            path
        };
        write("token", token);
        write("token-secret.json", &token_secret(&folder).to_string());
        let listener = folder.join("listener.sock");
        let bootstrap = bootstrap(&folder, socket, &listener, api).to_string();
        let process = Command::new(binary)
            .args([
                "--use-dynamic-base-id",
                "--concurrency",
                "1",
                "--log-level",
                "warning",
                "--config-path",
            ])
            .arg(write("bootstrap.json", &bootstrap))
            .kill_on_drop(true)
            .spawn()
            .expect("starts");
        Self {
            _process: process,
            listener,
        }
    }

    /// Makes one connection with this client certificate, and says who answered.
    pub(crate) async fn greet(&self, client: &Identity) -> Result<Peer, String> {
        let text = |error: &dyn std::error::Error| error.to_string();
        let stream = UnixStream::connect(&self.listener)
            .await
            .map_err(|error| text(&error))?;
        let name = ServerName::try_from("nobody.looks").expect("a name");
        let mut stream = TlsConnector::from(Arc::new(configuration(client)))
            .connect(name, stream)
            .await
            .map_err(|error| text(&error))?;
        // With TLS 1.3 a client is told only when it reads that its certificate is not trusted.
        let mut greeting = *b"hello";
        stream
            .write_all(&greeting)
            .await
            .map_err(|error| text(&error))?;
        stream
            .read_exact(&mut greeting)
            .await
            .map_err(|error| text(&error))?;
        assert_eq!(&greeting, b"hello");
        let (_, session) = stream.get_ref();
        let chain = session.peer_certificates().expect("has shown one");
        let (_, own) = X509Certificate::from_der(&chain[0]).expect("a certificate");
        let names = own.subject_alternative_name().expect("well-formed");
        let names = names.map(|names| &names.value.general_names);
        Ok(Peer {
            serial: own.raw_serial_as_string(),
            names: names
                .into_iter()
                .flatten()
                .map(|name| match name {
                    GeneralName::URI(uri) => (*uri).to_owned(),
                    other => format!("{other:?}"),
                })
                .collect(),
        })
    }
}

fn configuration(client: &Identity) -> ClientConfig {
    let chain = client
        .chain
        .iter()
        .map(|der| CertificateDer::from(der.clone()));
    let key = PrivateKeyDer::from_pem_slice(client.key.pem().as_bytes()).expect("a key");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .expect("versions")
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(TakesAnybody(provider)))
        .with_client_auth_cert(chain.collect(), key)
        .expect("a good certificate")
}

/// The test looks at the certificate itself, also at one that is not valid any more. The peer must have its key.
#[derive(Debug)]
struct TakesAnybody(Arc<CryptoProvider>);

impl ServerCertVerifier for TakesAnybody {
    fn verify_server_cert(
        &self,
        _own: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

fn token_secret(folder: &Path) -> Value {
    json!({"resources": [{
        "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret",
        "name": "token",
        "generic_secret": {"secret": {
            "filename": folder.join("token"),
            "watched_directory": {"path": folder},
        }},
    }]})
}

fn bootstrap(folder: &Path, socket: &Path, listener: &Path, api: Api) -> Value {
    let secret = |name: &str| {
        json!({"name": name, "sds_config": {
            "resource_api_version": "V3",
            "initial_fetch_timeout": "0s",
            "api_config_source": {
                "api_type": match api { Api::StateOfTheWorld => "GRPC", Api::Delta => "DELTA_GRPC" },
                "transport_api_version": "V3",
                "set_node_on_first_message_only": true,
                "grpc_services": [{"envoy_grpc": {
                    "cluster_name": "node-agent",
                    "retry_policy": {"retry_back_off": {"base_interval": "0.03s", "max_interval": "1s"}},
                }}],
            },
        }})
    };
    json!({
        // What a client says of itself is not read.
        "node": {"id": "somebody-else", "cluster": "test"},
        "static_resources": {
            "listeners": [{
                "name": "mutual",
                "address": {"pipe": {"path": listener}},
                "filter_chains": [{
                    "filters": [{
                        "name": "envoy.filters.network.echo",
                        "typed_config": {
                            "@type": "type.googleapis.com/envoy.extensions.filters.network.echo.v3.Echo",
                        },
                    }],
                    "transport_socket": {
                        "name": "envoy.transport_sockets.tls",
                        "typed_config": {
                            "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext",
                            "require_client_certificate": true,
                            "common_tls_context": {
                                "tls_certificate_sds_secret_configs": [secret("default")],
                                "combined_validation_context": {
                                    "default_validation_context": {"match_typed_subject_alt_names": [
                                        {"san_type": "URI", "matcher": {"prefix": "spiffe://mesh.local/"}},
                                    ]},
                                    "validation_context_sds_secret_config": secret("ROOTCA"),
                                },
                            },
                        },
                    },
                }],
            }],
            "clusters": [agent_cluster(folder, socket)],
        },
    })
}

/// The agent as a cluster; the token is injected as the sidecar does it for the control plane.
fn agent_cluster(folder: &Path, socket: &Path) -> Value {
    json!({
        "name": "node-agent",
        "type": "STATIC",
        "connect_timeout": "2s",
        "load_assignment": {"cluster_name": "node-agent", "endpoints": [{"lb_endpoints": [
            {"endpoint": {"address": {"pipe": {"path": socket}}}},
        ]}]},
        "typed_extension_protocol_options": {"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
            "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
            "explicit_http_config": {"http2_protocol_options": {}},
            "http_filters": [
                {
                    "name": "envoy.filters.http.credential_injector",
                    "typed_config": {
                        "@type": "type.googleapis.com/envoy.extensions.filters.http.credential_injector.v3.CredentialInjector",
                        "overwrite": true,
                        "credential": {
                            "name": "envoy.http.injected_credentials.generic",
                            "typed_config": {
                                "@type": "type.googleapis.com/envoy.extensions.http.injected_credentials.generic.v3.Generic",
                                "credential": {"name": "token", "sds_config": {"path_config_source": {
                                    "path": folder.join("token-secret.json"),
                                }}},
                                "header": "authorization",
                                "header_value_prefix": "Bearer ",
                            },
                        },
                    },
                },
                {
                    "name": "envoy.filters.http.upstream_codec",
                    "typed_config": {
                        "@type": "type.googleapis.com/envoy.extensions.filters.http.upstream_codec.v3.UpstreamCodec",
                    },
                },
            ],
        }},
    })
}
