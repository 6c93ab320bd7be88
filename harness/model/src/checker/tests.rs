//! Hand-made histories for every checker.

mod confined;
mod delivered;
mod faults;
mod garbled;
mod histories;
mod rejected;
mod requests;
mod restored;
mod status_is_true;
mod traffic;
