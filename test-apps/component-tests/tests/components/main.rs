//! The images of this workspace as containers. `cargo xtask test components` runs these with an engine; without one
//! they are not run, and it says so.

mod certificate_authority;
mod control_plane;
mod probe_app;
