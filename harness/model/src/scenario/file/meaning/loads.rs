//! Steady load in scenario files.

use super::{Check, Step, TrafficKind};
use crate::protocol::Protocol;
use crate::scenario::Load;

impl Check {
    pub(super) fn load(&mut self, load: &Load) {
        self.workload("from", &load.from);
        self.called(&load.to);
        self.named_traffic(&load.name, TrafficKind::Load);
        self.running.insert(load.name.clone());
        self.rate(load.rate);
        self.headers(&load.headers);
        if load.protocol.is_bytes() && !load.headers.is_empty() {
            self.at(Step::Key("headers"), |check| {
                check.complain(
                    "bytes have no headers",
                    Some("leave `headers` out, or send requests over HTTP"),
                );
            });
        }
        if !load.connections.are_usual() && !load.protocol.can_be_kept() {
            let hint = match load.protocol {
                Protocol::Http1 | Protocol::Http2 => {
                    "clients of HTTP keep connections by themselves, and each request ends: leave `connections` out, or write `protocol: tcp` or `protocol: grpc`"
                }
                _ => {
                    "write `protocol: tcp` for a connection of bytes, or `protocol: grpc` for a stream"
                }
            };
            self.at(Step::Key("connections"), |check| {
                check.complain(
                    format!(
                        "a load over {} cannot say what it keeps",
                        load.protocol.name()
                    ),
                    Some(hint),
                );
            });
        }
    }
}
