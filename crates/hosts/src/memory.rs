//! What the C library's allocator keeps of what a process once used. Left alone it gives each of the
//! daemon's many threads a store of its own and hands little of it back: 230 MB after two thousand
//! tasks where 30 were in use. Elsewhere than with glibc nothing is done.

/// Stores that all threads share: two, for threads on two cores to get in each other's way seldom.
const ARENAS: i32 = 2;

/// Lets threads share what they use. To be called before there are any.
#[expect(unsafe_code, reason = "only libc can set it")]
pub fn share_between_threads() {
    #[cfg(target_env = "gnu")]
    // SAFETY: it sets a number in the allocator; there is no other thread yet.
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, ARENAS);
    }
}

/// Gives back what is free: to be called again and again, since it is done nowhere else.
#[expect(unsafe_code, reason = "only libc can do it")]
pub fn give_back() {
    #[cfg(target_env = "gnu")]
    // SAFETY: it takes the allocator's own locks and touches only what is free.
    unsafe {
        libc::malloc_trim(0);
    }
}
