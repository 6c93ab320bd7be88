//! Hand-made histories for every checker.

mod asked;
mod audited;
mod backs_off;
mod carried_out;
mod confined;
mod delivered;
mod faults;
mod garbled;
mod handshook;
mod histories;
mod keeps_stream;
mod modes;
mod places;
mod reconnect;
mod rejected;
mod requests;
mod restored;
mod rotation;
mod rule_hashes;
mod shared_by;
mod spreads_renewals;
mod status_is_true;
mod tls;
mod traffic;
mod turned_away;
