//! Brings a local cluster up by hand: `up ASSETS IMAGES [TOPOLOGY] [NAME]`, and takes it down at end of input.
#![expect(clippy::print_stderr, reason = "a program for trying by hand")]

use harness_cluster::{Cluster, local, topology};
use std::io::Read;
use std::time::Instant;

fn main() {
    local::reexec();
    let mut arguments = std::env::args().skip(1);
    let mut next = |default: &str| arguments.next().unwrap_or_else(|| default.to_owned());
    let (assets, images) = (next("/tmp/k8sbin"), next("/tmp/fabric/images"));
    let options = local::Options {
        topology: topology::load(&next("three-zones")).expect("topology"),
        name: next("try"),
        assets: assets.into(),
        image_store: images.into(),
        keep: false,
    };
    let runtime = tokio::runtime::Runtime::new().expect("runtime");
    runtime.block_on(async {
        let start = Instant::now();
        let up = local::LocalCluster::up(options, |step| {
            eprintln!("{:6.0?} {step}", start.elapsed());
        })
        .await;
        let cluster = match up {
            Ok(cluster) => cluster,
            Err(error) => {
                let mut text = error.to_string();
                let mut source = std::error::Error::source(&error);
                while let Some(cause) = source {
                    text += &format!("\n  caused by: {cause}");
                    source = cause.source();
                }
                eprintln!("error: {text}\nhint: {:?}", error.hint);
                return;
            }
        };
        eprintln!(
            "{:6.0?} up; KUBECONFIG={}",
            start.elapsed(),
            cluster.kubeconfig().display()
        );
        let _ = tokio::task::spawn_blocking(|| std::io::stdin().read_to_end(&mut Vec::new())).await;
        let start = Instant::now();
        eprintln!(
            "left: {:?} after {:?}",
            std::sync::Arc::new(cluster).down().await,
            start.elapsed()
        );
    });
}
