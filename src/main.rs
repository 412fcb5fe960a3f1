//! The program `quaestor`.

use std::process::ExitCode;

fn main() -> ExitCode {
    quaestor::cli::main()
}
