//! The reference mesh's key service.

use std::process::ExitCode;

fn main() -> ExitCode {
    key_service::run::main()
}
