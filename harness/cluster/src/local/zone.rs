//! `__zone`: a zone's router. The kernel forwards; this process makes the rules and holds back packets that come
//! from other zones for as long as the topology says.

use super::plan::ZONE_PREFIX;
use super::protocol::{self, LIFELINE, ZoneConfig, ZoneReady};
use super::{failed, wiring};
use crate::ClusterError;
use harness_kernel::netns::NetNs;
use harness_kernel::nfqueue::{DelayQueue, QueueRule, install};
use harness_kernel::{fd_passing, nft};
use std::io::{self, BufReader};
use std::os::unix::net::UnixStream;
use std::time::Duration;

/// The set that an element is put into, with a timeout, to cut the zone off.
const TABLE: &str = "meshproof";

/// Runs the router until the fabric ends.
pub(super) fn run() -> Result<(), ClusterError> {
    let lifeline = fd_passing::inherited(LIFELINE)
        .map(UnixStream::from)
        .map_err(failed("take over the connection to the fabric"))?;
    let mut from_fabric = BufReader::new(&lifeline);
    let config: ZoneConfig =
        protocol::receive(&mut from_fabric).map_err(failed("read the zone's configuration"))?;
    let result = start(&config);
    let ready: ZoneReady = match &result {
        Ok(_) => Ok(()),
        Err(error) => Err(error.into()),
    };
    protocol::send(&lifeline, &ready).map_err(failed("tell the fabric that the router works"))?;
    for queue in result? {
        // Packets pass undelayed when one ends; the fabric sees the process end and says so.
        queue
            .join()
            .map_err(|_| failed("delay packets")(io::Error::other("the thread panicked")))?
            .map_err(failed("delay packets"))?;
    }
    // Without delays there is nothing to do but to be there: the fabric's end ends the wait.
    let _ = io::Read::read(&mut from_fabric, &mut [0]);
    Ok(())
}

type Queue = std::thread::JoinHandle<Result<std::convert::Infallible, harness_kernel::KernelError>>;

fn start(config: &ZoneConfig) -> Result<Vec<Queue>, ClusterError> {
    nft::apply(&format!(
        "table inet {TABLE} {{
           set cut {{ type ifname; flags timeout; }}
           chain forward {{
             type filter hook forward priority 0; policy accept;
             iifname @cut drop
             oifname @cut drop
           }}
         }}"
    ))
    .map_err(|error| ClusterError {
        act: "set up the zone's router".into(),
        source: Some(Box::new(error)),
        hint: Some("install nftables (`nft`)".into()),
    })?;
    let mut queues = Vec::new();
    let mut rules = Vec::new();
    for (number, (source, delay)) in config.zone.delays.iter().enumerate() {
        let queue = DelayQueue::open(number as u16, *delay).map_err(no_delay)?;
        let thread = std::thread::Builder::new()
            .name(format!("delay-{number}"))
            .spawn(move || queue.run())
            .map_err(failed("start a thread"))?;
        queues.push(thread);
        rules.push(QueueRule {
            link: wiring::UPLINK_OF_ZONE.to_owned(),
            source: format!("{source}/{ZONE_PREFIX}"),
            queue: number as u16,
        });
    }
    if !rules.is_empty() {
        install(&rules, &config.lock).map_err(no_delay)?;
    }
    Ok(queues)
}

fn no_delay(error: harness_kernel::KernelError) -> ClusterError {
    ClusterError {
        act: "delay packets between zones".into(),
        source: Some(Box::new(error)),
        hint: Some(
            "install iptables, and allow the kernel module xt_NFQUEUE; or use a topology without latency".into(),
        ),
    }
}

/// Cuts the zone of `router` off: the kernel drops the rule by itself after `duration`, whatever becomes of us.
pub(super) fn cut(router: &NetNs, duration: Duration) -> Result<(), nft::NftError> {
    let uplink = wiring::UPLINK_OF_ZONE;
    // Flushed first in the same transaction: adding an element that is there would not change its timeout.
    nft::apply_in(
        router,
        &format!(
            "flush set inet {TABLE} cut\nadd element inet {TABLE} cut {{ \"{uplink}\" timeout {}ms }}",
            duration.as_millis().max(1)
        ),
    )
}

/// Heals the zone of `router`.
pub(super) fn heal(router: &NetNs) -> Result<(), nft::NftError> {
    nft::apply_in(router, &format!("flush set inet {TABLE} cut"))
}
