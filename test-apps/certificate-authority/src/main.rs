//! The reference mesh's certificate authority.

use certificate_authority::behaviour::Faithful;
use std::process::ExitCode;
use std::sync::Arc;

fn main() -> ExitCode {
    certificate_authority::run::main(Arc::new(Faithful))
}
