//! What the reference control plane does when one policy changes again and again: how long until the last of its sidecars
//! has acknowledged a change, with few and with many of them, in both forms of xDS, and what memory each of them costs it.
//!
//! In what is measured: the real program as a process of its own, with the rights that the mesh definition gives it; the
//! API server and its store, which take a change and tell of it; TLS, tokens and their review; translating, encoding,
//! sending; the status, which it writes meanwhile. Not in it: Envoy, the relay beside it, and a network. Clients are simple
//! ones of gRPC, over loopback, on the same machine, so what they take of the processor is in the times. Each has a
//! connection of its own, as a sidecar has. It is taken to have acknowledged when it has handed the answer to that
//! connection.
//!
//! `cargo xtask bench control-plane` starts it in namespaces of its own, with `KUBECONFIG` for the administrator of an API
//! server that has nothing yet, and reads the JSON object that it prints. Everything that it starts ends with it.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "its output is the figures, and how far it is"
)]

mod mesh;
mod sidecars;
mod stream;

use anyhow::{Context as _, ensure};
use component_tests::programs::{Programs, allow_open_files};
use mesh::Mesh;
use serde_json::{Value, json};
use sidecars::Sidecars;
use std::path::PathBuf;
use std::time::{Duration, Instant};
use stream::Form;

/// Requests under way at once, to the API server and while sidecars connect.
const AT_ONCE: usize = 64;
/// As many sidecars as a small mesh has, and the changes of a round with them.
const FEW: (usize, usize) = (15, 100);
/// As many as a large one has: what a replica costs with them is what is asked.
const MANY: (usize, usize) = (1000, 40);

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [programs, folder, logs, rounds] = arguments.as_slice() else {
        anyhow::bail!(
            "usage: control-plane-bench FOLDER-OF-PROGRAMS FOLDER-FOR-KEYS FOLDER-FOR-LOGS ROUNDS"
        );
    };
    let rounds: usize = rounds
        .parse()
        .with_context(|| format!("`{rounds}` is no number of rounds"))?;
    ensure!(rounds > 0, "no round measures nothing");
    let open_files = allow_open_files(MANY.0)?;
    let programs = Programs::new([programs, folder, logs].map(PathBuf::from))?;
    let measured = measure(&programs, rounds).await?;
    println!("{}", json!({"openFiles": open_files, "rounds": measured}));
    Ok(())
}

/// Each round is both forms with as many sidecars, the other one first in every second round: what the machine does beside
/// it is in both alike.
async fn measure(programs: &Programs, rounds: usize) -> anyhow::Result<Vec<Value>> {
    let mut mesh = Mesh::make(programs).await?;
    let mut measured = Vec::new();
    for (clients, changes) in [FEW, MANY] {
        mesh.grow(clients).await?;
        eprintln!("{clients} pods and their tokens are made");
        for round in 0..rounds {
            let [first, second] = Form::ALL;
            let forms = if round % 2 == 0 {
                [first, second]
            } else {
                [second, first]
            };
            for form in forms {
                measured.push(one(&mut mesh, programs, form, changes).await?);
            }
        }
    }
    Ok(measured)
}

/// A control plane that has served nobody yet, all sidecars, and changes one after another.
async fn one(
    mesh: &mut Mesh,
    programs: &Programs,
    form: Form,
    changes: usize,
) -> anyhow::Result<Value> {
    let clients = mesh.identities.len();
    let control_plane = mesh.start_control_plane(programs).await?;
    let empty = control_plane.resident_bytes()?;
    let started = Instant::now();
    let mut sidecars = Sidecars::open_all(form, &mesh.root, &mesh.identities).await?;
    sidecars.all_hold(mesh.change).await?;
    let connecting = started.elapsed();
    let full = control_plane.resident_bytes()?;
    // The first change has memory taken that later ones find.
    mesh.change().await?;
    sidecars.all_hold(mesh.change).await?;
    let (mut written, mut acknowledged) = (Vec::new(), Vec::new());
    let before = control_plane.processor_time()?;
    let started = Instant::now();
    for _ in 0..changes {
        let issued = Instant::now();
        mesh.change().await?;
        written.push(millis(issued.elapsed()));
        let last = sidecars.all_hold(mesh.change).await?;
        acknowledged.push(millis(last.saturating_duration_since(issued)));
    }
    let all = started.elapsed();
    let used = control_plane.processor_time()?.saturating_sub(before);
    drop(sidecars);
    control_plane.end().await?;
    eprintln!(
        "{clients} sidecars, {}: {changes} changes in {:.1} s",
        form.word(),
        all.as_secs_f64()
    );
    Ok(json!({
        "form": form.word(),
        "clients": clients,
        "connectMillis": millis(connecting),
        "emptyBytes": empty,
        "fullBytes": full,
        "changesMillis": millis(all),
        "writtenMillis": written,
        "acknowledgedMillis": acknowledged,
        "controlPlaneCpuMillis": millis(used),
    }))
}

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}
