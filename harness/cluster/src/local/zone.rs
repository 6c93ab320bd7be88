//! `__zone`: a zone's router. The kernel forwards; this process makes the rules and holds back packets that come
//! from other zones for as long as the topology says.

use super::plan::ZONE_PREFIX;
use super::protocol::{self, LIFELINE, ZoneConfig, ZoneReady};
use super::{failed, wiring};
use crate::ClusterError;
use crate::latency::{self, Late, Queues};
use harness_kernel::netns::NetNs;
use harness_kernel::tap::Tap;
use harness_kernel::{fd_passing, nft};
use std::io::{self, BufReader};
use std::net::Ipv4Addr;
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
    result?.serve()?;
    // Without delays there is nothing to do but to be there: the fabric's end ends the wait.
    let _ = io::Read::read(&mut from_fabric, &mut [0]);
    Ok(())
}

fn start(config: &ZoneConfig) -> Result<Queues, ClusterError> {
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
        left: Vec::new(),
    })?;
    let late: Vec<Late> = config
        .zone
        .delays
        .iter()
        .map(|(source, delay)| Late {
            sources: vec![format!("{source}/{ZONE_PREFIX}")],
            delay: *delay,
        })
        .collect();
    latency::start(wiring::UPLINK_OF_ZONE, &late, &config.lock)
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

/// Looks at what leaves the zone of `router` from one address, and at what comes in for it.
pub(super) fn watch(router: &NetNs, source: Ipv4Addr) -> Result<Tap, ClusterError> {
    router
        .run_in(|| Tap::open(wiring::UPLINK_OF_ZONE, source))
        .and_then(|tap| tap)
        .map_err(failed("look at packets between data centers"))
}

/// Heals the zone of `router`.
pub(super) fn heal(router: &NetNs) -> Result<(), nft::NftError> {
    nft::apply_in(router, &format!("flush set inet {TABLE} cut"))
}
