//! What a real Envoy makes of callees' certificates, by the TLS context that the control plane gives to a strict caller: each
//! flaw, and the reason that the caller is told. The callees, and the authority, are the test's own, as for
//! [`crate::clients`].

use crate::authority::{Root, Shown};
use crate::flaws::Flaw;
use crate::replica::world_with;
use crate::sidecar::{self, any, inbound, leads_to, pipe, until_ok};
use bytes::Bytes;
use envoy_types::pb::envoy::config::cluster::v3::{
    Cluster,
    cluster::{ClusterDiscoveryType, DiscoveryType},
};
use envoy_types::pb::envoy::config::core::v3::{
    DataSource, SubstitutionFormatString, TransportSocket, data_source::Specifier,
    substitution_format_string::Format,
};
use envoy_types::pb::envoy::config::listener::v3::{Filter, FilterChain, Listener, filter};
use envoy_types::pb::envoy::config::route::v3::{
    Route, RouteAction, RouteConfiguration, RouteMatch, VirtualHost, route::Action,
    route_action::ClusterSpecifier, route_match::PathSpecifier,
};
use envoy_types::pb::envoy::extensions::filters::http::router::v3::Router;
use envoy_types::pb::envoy::extensions::filters::network::http_connection_manager::v3::{
    HttpConnectionManager, HttpFilter, LocalReplyConfig, http_connection_manager::RouteSpecifier,
    http_filter,
};
use http::header::HOST;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Empty};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use mesh_api::{OutboundTls, TlsPolicy};
use std::convert::Infallible;
use std::error::Error;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::net::{UnixListener, UnixStream};
use tokio::process::Child;
use tokio_rustls::TlsAcceptor;

/// Who may answer for the service that is called.
const NAME: &str = "spiffe://mesh.local/ns/mesh-workloads/sa/checkout";
/// What a callee answers.
const WORD: &str = "hello";
/// What the caller is told when it gets no answer of the callee.
const FAILURE: &str = "%RESPONSE_FLAGS% %UPSTREAM_TRANSPORT_FAILURE_REASON%";
/// Which callee a request is for: the name of its cluster.
const CALLEE_HEADER: &str = "x-callee";

/// What is wrong, and by which words of Envoy's and BoringSSL's the reason names it.
const FLAWS: [(Flaw, &str); 11] = [
    (Flaw::UnknownRoot, NO_ISSUER),
    (Flaw::SelfSigned, NO_ISSUER),
    (Flaw::NoAuthority, NO_ISSUER),
    (Flaw::Expired, "certificate_has_expired"),
    (Flaw::NotYetValid, "certificate_is_not_yet_valid"),
    (Flaw::OtherTrustDomain, OTHER_NAME),
    (Flaw::OtherName, OTHER_NAME),
    (Flaw::HostName, OTHER_NAME),
    (Flaw::NoName, OTHER_NAME),
    (Flaw::ForClients, "unsupported_certificate_purpose"),
    (Flaw::OtherKey, "BAD_SIGNATURE"),
];
/// Who may not sign certificates is no issuer, and neither is a certificate of itself if it may not.
const NO_ISSUER: &str = "unable_to_get_local_issuer_certificate";
const OTHER_NAME: &str = "SAN_matcher";

/// What the control plane has a strict caller's cluster do with TLS of the mesh.
async fn strict() -> TransportSocket {
    let world = world_with(&TlsPolicy {
        outbound: Some(OutboundTls::Strict),
        ..TlsPolicy::default()
    });
    let (_, clusters) = inbound(world).await;
    let mut sockets = clusters
        .into_iter()
        .filter(|cluster| cluster.name.starts_with("checkout."))
        .filter_map(|cluster| cluster.transport_socket);
    sockets.next().expect("TLS to the service")
}

/// Answers requests over TLS until the test ends.
fn serve(path: &Path, shown: &Shown) {
    let acceptor = TlsAcceptor::from(Arc::new(shown.server()));
    let listener = UnixListener::bind(path).expect("a socket");
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(answer(acceptor.clone(), stream));
        }
    });
}

/// How a connection ends is for the caller to tell.
async fn answer(acceptor: TlsAcceptor, stream: UnixStream) {
    let Ok(stream) = acceptor.accept(stream).await else {
        return;
    };
    let service = service_fn(|_: Request<Incoming>| async {
        Ok::<_, Infallible>(Response::new(WORD.to_owned()))
    });
    let _ = hyper::server::conn::http1::Builder::new()
        .serve_connection(TokioIo::new(stream), service)
        .await;
}

/// The cluster of the callee with this flaw.
fn cluster_of(flaw: Option<Flaw>) -> String {
    flaw.map_or_else(|| "Flawless".to_owned(), |flaw| format!("{flaw:?}"))
}

/// An Envoy that passes requests on to a callee with each flaw, and to one with none; ends when it is dropped.
struct Caller {
    _process: Child,
    listener: PathBuf,
}

impl Caller {
    async fn start(folder: &Path) -> Self {
        let root = Root::new();
        let strict = strict().await;
        let flaws = FLAWS.iter().map(|(flaw, _)| Some(*flaw)).chain([None]);
        let clusters: Vec<Cluster> = flaws
            .map(|flaw| {
                let name = cluster_of(flaw);
                let path = folder.join(format!("{name}.sock"));
                serve(&path, &root.shown(NAME, flaw).expect("a certificate"));
                // The service's own cluster would put a callee aside that fails again and again.
                Cluster {
                    load_assignment: leads_to(&name, pipe(&path)),
                    name,
                    cluster_discovery_type: Some(ClusterDiscoveryType::Type(
                        DiscoveryType::Static.into(),
                    )),
                    transport_socket: Some(strict.clone()),
                    ..Cluster::default()
                }
            })
            .collect();
        let path = folder.join("caller.sock");
        Self {
            _process: sidecar::start(folder, &root, listener(&path), clusters),
            listener: path,
        }
    }

    /// Status and body of what comes back from the callee with this flaw, or in its place.
    async fn told(&self, flaw: Option<Flaw>) -> String {
        until_ok(async || self.ask(&cluster_of(flaw)).await).await
    }

    /// One request on a connection of its own. It fails as long as Envoy has no secrets.
    async fn ask(&self, cluster: &str) -> Result<String, Box<dyn Error>> {
        let stream = UnixStream::connect(&self.listener).await?;
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        let request = Request::get("/")
            .header(HOST, "checkout")
            .header(CALLEE_HEADER, cluster)
            .body(Empty::<Bytes>::new())?;
        let response = sender.send_request(request).await?;
        let status = response.status().as_u16();
        let body = response.into_body().collect().await?.to_bytes();
        let told = format!("{status} {}", String::from_utf8_lossy(&body));
        if told.contains("not_supplied_by_SDS") {
            return Err(told.into());
        }
        Ok(told)
    }
}

fn listener(path: &Path) -> Listener {
    let failure = DataSource {
        specifier: Some(Specifier::InlineString(FAILURE.to_owned())),
        ..DataSource::default()
    };
    let manager = HttpConnectionManager {
        stat_prefix: "caller".to_owned(),
        route_specifier: Some(RouteSpecifier::RouteConfig(to_the_callee_named())),
        http_filters: vec![HttpFilter {
            name: "envoy.filters.http.router".to_owned(),
            config_type: Some(http_filter::ConfigType::TypedConfig(
                any(&Router::default()),
            )),
            ..HttpFilter::default()
        }],
        local_reply_config: Some(LocalReplyConfig {
            body_format: Some(SubstitutionFormatString {
                format: Some(Format::TextFormatSource(failure)),
                ..SubstitutionFormatString::default()
            }),
            ..LocalReplyConfig::default()
        }),
        ..HttpConnectionManager::default()
    };
    let chain = FilterChain {
        filters: vec![Filter {
            name: "envoy.filters.network.http_connection_manager".to_owned(),
            config_type: Some(filter::ConfigType::TypedConfig(any(&manager))),
        }],
        ..FilterChain::default()
    };
    Listener {
        name: "caller".to_owned(),
        address: pipe(path),
        filter_chains: vec![chain],
        ..Listener::default()
    }
}

/// Every request goes to the cluster that its header names.
fn to_the_callee_named() -> RouteConfiguration {
    let route = Route {
        r#match: Some(RouteMatch {
            path_specifier: Some(PathSpecifier::Prefix("/".to_owned())),
            ..RouteMatch::default()
        }),
        action: Some(Action::Route(RouteAction {
            cluster_specifier: Some(ClusterSpecifier::ClusterHeader(CALLEE_HEADER.to_owned())),
            ..RouteAction::default()
        })),
        ..Route::default()
    };
    RouteConfiguration {
        name: "callees".to_owned(),
        virtual_hosts: vec![VirtualHost {
            name: "callees".to_owned(),
            domains: vec!["*".to_owned()],
            routes: vec![route],
            ..VirtualHost::default()
        }],
        ..RouteConfiguration::default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_strict_caller_refuses_each_flaw_with_the_reason_that_names_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let caller = Caller::start(folder.path()).await;
    let answered = format!("200 {WORD}");
    assert_eq!(caller.told(None).await, answered);
    let mut ends = Vec::new();
    for (flaw, reason) in FLAWS {
        let told = caller.told(Some(flaw)).await;
        // The connection to the callee failed (UF), and that by TLS.
        let is_named = told.starts_with("503 UF TLS_error:") && told.contains(reason);
        ends.push((flaw, if is_named { reason.to_owned() } else { told }));
    }
    assert_eq!(ends, FLAWS.map(|(flaw, reason)| (flaw, reason.to_owned())));
    let again = caller.told(None).await;
    assert_eq!(again, answered, "the right callee is still taken");
}
