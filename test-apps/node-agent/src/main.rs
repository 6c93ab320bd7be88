//! The reference mesh's node agent.

use node_agent::behaviour::Faithful;
use std::process::ExitCode;
use std::sync::Arc;

fn main() -> ExitCode {
    node_agent::run::main(Arc::new(Faithful))
}
