//! Many identities at once, with the programs of the mesh and a real API server: how many certificates the authority
//! issues with a core, against `rcgen` alone, and what an identity costs a node agent.
//!
//! `cargo xtask bench identities` starts it in namespaces of its own, with `KUBECONFIG` for the administrator of an API
//! server that has nothing yet, and reads the JSON object that it prints. Everything that it starts ends with it.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "its output is the figures, and how far it is"
)]

mod alone;
mod mesh;
mod sidecars;

use anyhow::{Context as _, ensure};
use component_tests::programs::{Programs, allow_open_files};
use futures::{StreamExt as _, TryStreamExt as _};
use identity_api::authority::IssueRequest;
use identity_api::authority::service::certificate_authority_client::CertificateAuthorityClient;
use mesh::{Identity, Mesh};
use serde_json::{Value, json};
use std::path::PathBuf;
use std::time::{Duration, Instant};
use tonic::Request;
use tonic::transport::Channel;

/// Requests under way at once; the authority and the API server work on as many at a time as there are cores.
const AT_ONCE: usize = 64;
/// Longer than any bench takes: nothing is renewed meanwhile.
const LIFETIME: Duration = Duration::from_secs(12 * 60 * 60);

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [programs, folder, logs, count] = arguments.as_slice() else {
        anyhow::bail!(
            "usage: identity-bench FOLDER-OF-PROGRAMS FOLDER-FOR-KEYS FOLDER-FOR-LOGS COUNT"
        );
    };
    let count: usize = count
        .parse()
        .with_context(|| format!("`{count}` is no count"))?;
    ensure!(count > 0, "a count of 0 measures nothing");
    allow_open_files(count)?;
    let programs = Programs::new([programs, folder, logs].map(PathBuf::from))?;
    let figures = measure(&programs, count).await?;
    println!("{figures}");
    Ok(())
}

async fn measure(programs: &Programs, count: usize) -> anyhow::Result<Value> {
    let alone = alone::measure(count.min(5000))?;
    eprintln!(
        "rcgen alone: {:.0} certificates a core and second",
        alone.per_core_second()
    );
    let mesh = Mesh::make(programs).await?;
    let authorities = mesh.start_authority(programs).await?;
    let identities = mesh.identities(count).await?;
    eprintln!("{count} pods and their tokens are made");

    let before = authorities.processor_time()?;
    let started = Instant::now();
    issue_all(
        authorities.client(programs).await?,
        &mesh.agent_token,
        &identities,
    )
    .await?;
    let issuing = started.elapsed();
    let [authority, key_service] = authorities.processor_time_since(before)?;
    let cpu = authority + key_service;
    eprintln!(
        "{count} certificates were issued in {:.1} s",
        issuing.as_secs_f64()
    );

    let agent = mesh.start_agent(programs, LIFETIME).await?;
    let empty = agent.resident_bytes()?;
    let agent_before = agent.processor_time()?;
    let started = Instant::now();
    let sidecars = sidecars::open_all(&programs.socket(), &identities).await?;
    let serving = started.elapsed();
    ensure!(
        sidecars.distinct_certificates() == count,
        "{} different certificates for {count} pods",
        sidecars.distinct_certificates()
    );
    let full = agent.resident_bytes()?;
    let agent_cpu = agent.processor_time()?.saturating_sub(agent_before);
    drop(sidecars);
    Ok(json!({
        "identities": count,
        "rcgenPerCoreSecond": alone.per_core_second(),
        "issuedPerCoreSecond": count as f64 / cpu.as_secs_f64(),
        "issuedPerSecond": count as f64 / issuing.as_secs_f64(),
        "authorityCpuMillis": authority.as_secs_f64() * 1e3,
        "keyServiceCpuMillis": key_service.as_secs_f64() * 1e3,
        "agentServedPerSecond": count as f64 / serving.as_secs_f64(),
        "agentCpuMillis": agent_cpu.as_secs_f64() * 1e3,
        "agentEmptyBytes": empty,
        "agentFullBytes": full,
        "agentBytesPerIdentity": full.saturating_sub(empty) as f64 / count as f64,
    }))
}

/// Asks the authority itself, as the agent of the node would, for one certificate for each pod.
async fn issue_all(
    client: CertificateAuthorityClient<Channel>,
    token: &str,
    identities: &[Identity],
) -> anyhow::Result<()> {
    let header = format!("Bearer {token}")
        .parse()
        .context("write the agent's token")?;
    let header: &tonic::metadata::MetadataValue<tonic::metadata::Ascii> = &header;
    // Making keys is the agent's part, not what is measured here.
    let csr = &mesh::certificate_request()?;
    futures::stream::iter(identities)
        .map(|identity| {
            let mut client = client.clone();
            async move {
                let mut request = Request::new(IssueRequest {
                    csr: csr.clone(),
                    pod: identity.pod.clone(),
                    lifetime_seconds: 3600,
                });
                request
                    .metadata_mut()
                    .insert("authorization", header.clone());
                let reply = client.issue(request).await;
                let reply = reply.with_context(|| format!("ask for {}", identity.pod.name))?;
                ensure!(!reply.into_inner().chain.is_empty(), "an empty chain");
                Ok(())
            }
        })
        .buffer_unordered(AT_ONCE)
        .try_collect()
        .await
}
