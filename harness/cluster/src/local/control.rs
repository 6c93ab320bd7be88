//! The control socket of a fabric: how a harness, the one that started it or a later one, asks it for something.

use super::machines::Machines;
use super::plan::Plan;
use super::protocol::{self, Reply, Request};
use super::wiring::Network;
use super::{failed, measure, zone};
use crate::{ClusterError, WireSeen, wire};
use harness_kernel::netns::NetNs;
use harness_kernel::nft;
use harness_kernel::tap::Tap;
use std::collections::BTreeMap;
use std::io;
use std::net::Ipv4Addr;
use std::path::Path;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};

/// Serves requests until one says that everything must end.
pub(super) async fn serve(
    listener: UnixListener,
    network: &Network,
    machines: &Machines,
    plan: &Plan,
) {
    let mut taps = Taps::new();
    loop {
        match listener.accept().await {
            // One at a time: rules of one router are changed by one hand.
            Ok((client, _)) => match answer(client, network, machines, plan, &mut taps).await {
                Ok(Outcome::Stay) => {}
                Ok(Outcome::End) => return,
                Err(error) => tracing::warn!(%error, "control connection"),
            },
            Err(error) => tracing::warn!(%error, "accept on the control socket"),
        }
    }
}

enum Outcome {
    Stay,
    End,
}

/// Who is looked at: data center and source address.
type Taps = BTreeMap<(String, Ipv4Addr), Tap>;

async fn answer(
    client: UnixStream,
    network: &Network,
    machines: &Machines,
    plan: &Plan,
    taps: &mut Taps,
) -> io::Result<Outcome> {
    let mut client = BufReader::new(client);
    let mut line = String::new();
    client.read_line(&mut line).await?;
    let request: Request = serde_json::from_str(&line)?;
    tracing::info!(?request, "asked");
    let outcome = match request {
        Request::Down => Outcome::End,
        _ => Outcome::Stay,
    };
    // `nft` takes some ten milliseconds, in a namespace of its own on a thread of its own.
    let reply: Reply =
        tokio::task::block_in_place(|| carry_out(&request, network, machines, plan, taps))
            .map_err(|error| (&error).into());
    client.write_all(&protocol::line(&reply)?).await?;
    Ok(outcome)
}

fn carry_out(
    request: &Request,
    network: &Network,
    machines: &Machines,
    plan: &Plan,
    taps: &mut Taps,
) -> Result<String, ClusterError> {
    match request {
        Request::Cut {
            data_center,
            millis,
        } => {
            let router = router(network, data_center)?;
            zone::cut(router, Duration::from_millis(*millis))
                .map_err(failed(format!("cut off data center `{data_center}`")))?;
            Ok(String::new())
        }
        Request::Heal { data_center } => {
            let router = router(network, data_center)?;
            zone::heal(router).map_err(failed(format!("heal data center `{data_center}`")))?;
            Ok(String::new())
        }
        Request::TakeAway { part, millis } => {
            machines.take_away(part, Duration::from_millis(*millis))
        }
        Request::GiveBack { part } => machines.give_back(part).map(|()| String::new()),
        Request::WatchWire {
            data_center,
            source,
        } => {
            let tap = zone::watch(router(network, data_center)?, *source)?;
            taps.insert((data_center.clone(), *source), tap);
            Ok(String::new())
        }
        Request::WireSeen {
            data_center,
            source,
        } => {
            let act = format!("tell what left data center `{data_center}` from {source}");
            let tap = taps
                .remove(&(data_center.clone(), *source))
                .ok_or_else(|| ClusterError::because(act.clone(), "nobody has looked"))?;
            let seen = tap.seen().map_err(failed(act.clone()))?;
            serde_json::to_string(&WireSeen {
                connections: wire::connections(*source, &seen.packets),
                unseen: seen.dropped,
            })
            .map_err(failed(act))
        }
        Request::Dump => {
            let mut text = String::new();
            for (name, namespace) in network.zones.iter().chain(&network.nodes) {
                let rules = nft::list_in(namespace).unwrap_or_else(|error| error.to_string());
                text += &format!("# {name}\n{rules}\n");
            }
            Ok(text)
        }
        Request::RoundTrips => serde_json::to_string(&measure::between_zones(plan, network))
            .map_err(failed("tell what was measured")),
        Request::Down => Ok(String::new()),
    }
}

fn router<'a>(network: &'a Network, data_center: &str) -> Result<&'a NetNs, ClusterError> {
    network.zones.get(data_center).ok_or_else(|| {
        let known: Vec<_> = network.zones.keys().map(String::as_str).collect();
        ClusterError {
            act: format!("find data center `{data_center}`"),
            source: None,
            hint: Some(format!("there are: {}", known.join(", "))),
            left: Vec::new(),
        }
    })
}

/// Asks the fabric behind `socket`.
pub(super) async fn ask(socket: &Path, request: &Request) -> Result<String, ClusterError> {
    let exchange = async {
        let mut stream = BufReader::new(UnixStream::connect(socket).await?);
        stream.write_all(&protocol::line(request)?).await?;
        let mut line = String::new();
        stream.read_line(&mut line).await?;
        Ok::<Reply, io::Error>(serde_json::from_str(&line)?)
    };
    exchange
        .await
        .map_err(failed("ask the cluster's fabric"))?
        .map_err(ClusterError::from)
}
