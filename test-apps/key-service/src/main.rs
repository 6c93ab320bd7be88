//! The reference mesh's key service.

use key_service::behaviour::Faithful;
use std::process::ExitCode;
use std::sync::Arc;

fn main() -> ExitCode {
    key_service::run::main(Arc::new(Faithful))
}
