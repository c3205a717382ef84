//! Ctrl+C stops a job cleanly; pressed a second time, it ends the process at once.

use crate::base::Control;
use std::sync::OnceLock;

static CONTROL: OnceLock<Control> = OnceLock::new();

/// The control that Ctrl+C stops.
pub fn control() -> Control {
    let control = CONTROL.get_or_init(Control::new).clone();
    listen();
    control
}

#[cfg(unix)]
fn listen() {
    extern "C" fn stop(_signal: libc::c_int) {
        // Only atomics: nothing else is allowed in a signal handler.
        if let Some(control) = CONTROL.get() {
            control.stop();
        }
    }
    for signal in [libc::SIGINT, libc::SIGTERM] {
        // SAFETY: a zeroed sigaction is valid, the handler touches atomics only, and SA_RESETHAND gives the
        // second signal its usual effect.
        unsafe {
            let mut action: libc::sigaction = std::mem::zeroed();
            action.sa_sigaction = stop as *const () as libc::sighandler_t;
            action.sa_flags = libc::SA_RESETHAND | libc::SA_RESTART;
            libc::sigaction(signal, &action, std::ptr::null_mut());
        }
    }
}

/// Elsewhere Ctrl+C ends the process; a run goes on from its last checkpoint.
#[cfg(not(unix))]
fn listen() {}
