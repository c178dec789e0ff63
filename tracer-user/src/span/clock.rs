//! From the kernel's boot-time clock to unix time.

/// What to add to boot-time ns to get unix ns, as of now (clock_gettime(2)). Reads real time between
/// two readings of boot time, so that a preemption between them cannot shift it unseen.
pub fn boot_to_unix() -> i64 {
    (0..3)
        .map(|_| {
            let before = read(libc::CLOCK_BOOTTIME);
            let real = read(libc::CLOCK_REALTIME);
            let after = read(libc::CLOCK_BOOTTIME);
            (after - before, real - before - (after - before) / 2)
        })
        .min()
        .map_or(0, |(_, offset)| offset)
}

/// Boot-time ns now.
pub fn boot_now() -> u64 {
    u64::try_from(read(libc::CLOCK_BOOTTIME)).unwrap_or(0)
}

fn read(clock: libc::clockid_t) -> i64 {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: `time` is valid for writes; both clocks exist on every Linux since 2.6.39.
    unsafe { libc::clock_gettime(clock, &mut time) };
    time.tv_sec * 1_000_000_000 + time.tv_nsec
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;

    #[test]
    fn boot_time_plus_the_offset_is_unix_time() {
        let unix = boot_now().saturating_add_signed(boot_to_unix());
        let system = SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap()
            .as_nanos() as u64;
        assert!(system.abs_diff(unix) < 1_000_000_000, "{unix} vs {system}");
    }
}
