//! What this machine has: threads, memory, and how much of it this process uses.

use std::path::Path;
use sysinfo::{MemoryRefreshKind, ProcessRefreshKind, ProcessesToUpdate, RefreshKind, System};

/// Memory of the machine, in bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Memory {
    pub total_bytes: u64,
    pub available_bytes: u64,
}

/// Number of threads that compute: physical parallelism the system grants this process.
pub fn num_threads() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

/// What the machine is called, where it has a name.
pub fn host_name() -> Option<String> {
    System::host_name().ok()
}

/// Zeros where the system does not tell. What is available is no more than the process's own group may still take, in a container
/// for example.
pub fn memory() -> Memory {
    let kind = RefreshKind::nothing().with_memory(MemoryRefreshKind::nothing().with_ram());
    let Ok(system) = System::new_with_specifics(kind) else { return Memory::default() };
    let room = of_process(|process| process.cgroup_limits().map(|l| l.total_memory.saturating_sub(l.rss)));
    Memory {
        total_bytes: system.total_memory(),
        available_bytes: system.available_memory().min(room.flatten().unwrap_or(u64::MAX)),
    }
}

/// Resident memory of this process now, in bytes; 0 where the system does not tell.
pub fn resident_bytes() -> u64 {
    // Asked several times in every update, and this file is read in a few microseconds.
    #[cfg(target_os = "linux")]
    if let Some(pages) = std::fs::read_to_string("/proc/self/statm").ok().and_then(|s| resident_pages(&s)) {
        // SAFETY: sysconf only reads a number of the system's.
        let page_bytes = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
        return pages * u64::try_from(page_bytes).unwrap_or(4096);
    }
    of_process(sysinfo::Process::memory).unwrap_or(0)
}

/// The second number of `/proc/self/statm`.
#[cfg(target_os = "linux")]
fn resident_pages(statm: &str) -> Option<u64> {
    statm.split_ascii_whitespace().nth(1)?.parse().ok()
}

/// What the system says of this process.
fn of_process<T>(look: impl FnOnce(&sysinfo::Process) -> T) -> Option<T> {
    let pid = sysinfo::get_current_pid().ok()?;
    let mut system = System::new().ok()?;
    system.refresh_processes_specifics(
        ProcessesToUpdate::Some(&[pid]),
        false,
        ProcessRefreshKind::nothing().with_memory(),
    );
    system.process(pid).map(look)
}

/// The most resident memory this process ever had, in bytes.
pub fn peak_resident_bytes() -> u64 {
    #[cfg(unix)]
    {
        let mut usage = std::mem::MaybeUninit::<libc::rusage>::zeroed();
        // SAFETY: getrusage fills the struct it is given and keeps no pointer to it.
        let usage = unsafe {
            libc::getrusage(libc::RUSAGE_SELF, usage.as_mut_ptr());
            usage.assume_init()
        };
        // Linux counts in kilobytes, macOS in bytes.
        let unit = if cfg!(target_os = "macos") { 1 } else { 1024 };
        u64::try_from(usage.ru_maxrss).unwrap_or(0) * unit
    }
    #[cfg(not(unix))]
    resident_bytes()
}

/// Lets [`peak_since_forgotten`] begin anew, where the system can.
pub fn forget_peak() {
    #[cfg(target_os = "linux")]
    let _not_allowed = std::fs::write("/proc/self/clear_refs", "5");
}

/// The most resident memory of this process since [`forget_peak`], in bytes; `None` where the system does not tell.
pub fn peak_since_forgotten() -> Option<u64> {
    #[cfg(target_os = "linux")]
    {
        let status = std::fs::read_to_string("/proc/self/status").ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
        let kilobytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
        Some(kilobytes * 1024)
    }
    #[cfg(not(target_os = "linux"))]
    None
}

/// Gives memory that was freed back to the system at once instead of after a while, where the program's allocator keeps it.
pub fn give_back_freed() {
    // SAFETY: it may be called at any time, also when it is not the allocator in use.
    unsafe { libmimalloc_sys::mi_collect(true) };
}

/// Free space on the disk that holds `path` (or its nearest existing parent), in bytes; `None` if unknown.
pub fn free_disk_bytes(path: &Path) -> Option<u64> {
    #[cfg(unix)]
    {
        use std::os::unix::ffi::OsStrExt;
        let existing = path.ancestors().find(|p| p.exists())?;
        let c_path = std::ffi::CString::new(existing.as_os_str().as_bytes()).ok()?;
        let mut stat = std::mem::MaybeUninit::<libc::statvfs>::zeroed();
        // SAFETY: the path is a valid C string and statvfs only writes the struct it is given.
        let stat = unsafe {
            if libc::statvfs(c_path.as_ptr(), stat.as_mut_ptr()) != 0 {
                return None;
            }
            stat.assume_init()
        };
        #[allow(clippy::unnecessary_cast)] // the field widths differ between systems
        Some(stat.f_bavail as u64 * stat.f_frsize as u64)
    }
    #[cfg(not(unix))]
    {
        let _ = path;
        None
    }
}

/// Tells both thread pools how many threads to take. Call it first in `main`, before any thread exists:
/// without these variables candle re-reads /proc/cpuinfo at each matrix product.
pub fn pin_thread_pools() {
    for name in ["RAYON_NUM_THREADS", "CANDLE_NUM_THREADS"] {
        if std::env::var_os(name).is_none() {
            // SAFETY: called at the start of main, while this is the only thread.
            unsafe { std::env::set_var(name, num_threads().to_string()) };
        }
    }
}

/// Makes the calling thread one of the pool's workers for good, so that sharing out a small loop costs it no wake-up and no
/// waiting. For the one thread that computes; what comes later changes nothing.
pub fn join_thread_pool() {
    // Somebody must be left for the loops of other threads.
    if num_threads() > 1 {
        let _already_made = rayon::ThreadPoolBuilder::new().use_current_thread().build_global();
    }
}
