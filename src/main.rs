//! The program: the window without arguments, the command line with a subcommand.

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    tunesmith::base::hardware::pin_thread_pools();
    match tunesmith::cli::parse() {
        Some(command) => tunesmith::cli::run(command),
        None => window(),
    }
}

#[cfg(feature = "gui")]
fn window() -> ExitCode {
    tunesmith::cli::exit(tunesmith::app::run())
}

#[cfg(not(feature = "gui"))]
fn window() -> ExitCode {
    tunesmith::cli::exit(Err(tunesmith::base::Failure::new(
        "This build has no window",
        "it was built without the feature \"gui\"",
        "Run \"tunesmith quickstart\" for the whole job without a window, or \"tunesmith --help\".",
    )))
}
