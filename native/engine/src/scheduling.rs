//! How the kernel takes turns with this process's threads.

use std::fs::read_dir;

use libc::{SCHED_BATCH, SCHED_OTHER, SYS_sched_getscheduler, SYS_sched_setscheduler, sched_param, syscall};
use napi_derive::napi;

/// Puts every ordinary thread of this process under `SCHED_BATCH`; threads that they start later inherit it. Returns
/// how many are under it now: none where the kernel does not say which threads there are, or refuses.
#[napi(catch_unwind)]
pub fn use_batch_scheduling() -> u32 {
    let Ok(threads) = read_dir("/proc/self/task") else { return 0 };
    let ids = threads.filter_map(|thread| thread.ok()?.file_name().to_str()?.parse().ok());
    ids.filter(|&id| batch(id)).count() as u32
}

/// Another policy than the ordinary one was somebody's choice, and stays.
fn batch(thread: libc::pid_t) -> bool {
    // SAFETY: takes a number, returns one.
    let policy = unsafe { syscall(SYS_sched_getscheduler, thread) };
    if policy != libc::c_long::from(SCHED_OTHER) {
        return policy == libc::c_long::from(SCHED_BATCH);
    }
    let param = sched_param { sched_priority: 0 };
    // SAFETY: the kernel reads `param` during the call and keeps nothing. The C library's own function fails under musl.
    unsafe { syscall(SYS_sched_setscheduler, thread, SCHED_BATCH, &raw const param) == 0 }
}
