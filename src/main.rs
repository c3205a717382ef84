//! The program: the window without arguments, the command line with a subcommand.

use std::process::ExitCode;
use tunesmith::base::allocations::Counted;

#[global_allocator]
static ALLOCATOR: Counted<mimalloc::MiMalloc> = Counted(mimalloc::MiMalloc);

/// Milliseconds for which freed memory stays with the process. An update frees what the next one asks for again: given back
/// to the system at once and faulted in anew, a gigabyte of activations costs a quarter of the time.
const PURGE_DELAY_MILLIS: std::ffi::c_long = 10_000;
/// `mi_option_purge_delay` of mimalloc.h, which the bindings do not name.
const PURGE_DELAY: libmimalloc_sys::mi_option_t = 15;

fn main() -> ExitCode {
    // SAFETY: a plain store, made before there is a second thread.
    unsafe { libmimalloc_sys::mi_option_set(PURGE_DELAY, PURGE_DELAY_MILLIS) };
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
