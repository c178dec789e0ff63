//! What a few instructions of a Go program say (amd64): where a function may be probed, where a thread
//! keeps its `g`, where goroutines get their numbers from.
//!
//! Fixed byte patterns of Go's own assembler and of the linkers that rewrite them, each as it was seen
//! in binaries of Go 1.21 to 1.26. Bias: what looks otherwise is not known.

/// `push %rbp`: the kernel emulates it, which costs a sixteenth of stepping over an instruction.
const PUSH_RBP: u8 = 0x55;

/// Distance from a function's start to its `push %rbp`. Before it stands the check for room on the
/// stack, after which the function may start over; arguments are in their registers still.
pub(super) fn after_stack_check(code: &[u8]) -> Option<u64> {
    let check: &[u8] = match code {
        // cmp 0x10(%r14),%rsp
        [0x49, 0x3b, 0x66, 0x10, ..] => &code[..4],
        // lea -n(%rsp),%r12; cmp 0x10(%r14),%r12
        [0x4c, 0x8d, 0x64, 0x24, _, 0x4d, 0x3b, 0x66, 0x10, ..] => &code[..9],
        [
            0x4c,
            0x8d,
            0xa4,
            0x24,
            _,
            _,
            _,
            _,
            0x4d,
            0x3b,
            0x66,
            0x10,
            ..,
        ] => &code[..12],
        _ => &[],
    };
    let jump = match &code[check.len()..] {
        // jbe
        [0x76, _, ..] if !check.is_empty() => 2,
        [0x0f, 0x86, ..] if !check.is_empty() => 6,
        _ if check.is_empty() => 0,
        _ => return None,
    };
    let at = check.len() + jump;
    (*code.get(at)? == PUSH_RBP).then_some(at as u64)
}

/// From the first instructions of `runtime.morestack`, which load `g`: where it is from the thread's
/// `fsbase`.
pub(super) fn place_of_g(code: &[u8]) -> Option<i64> {
    let place: [u8; 4] = match code {
        // mov %fs:place,%rdi; before Go 1.22 to %rbx
        [0x64, 0x48, 0x8b, 0x3c | 0x1c, 0x25, a, b, c, d, ..] => [*a, *b, *c, *d],
        // mov $place,%rcx; mov %fs:(%rcx),%rdi; likewise
        [
            0x48,
            0xc7,
            0xc1,
            a,
            b,
            c,
            d,
            0x64,
            0x48,
            0x8b,
            0x39 | 0x19,
            ..,
        ] => [*a, *b, *c, *d],
        _ => return None,
    };
    Some(i32::from_le_bytes(place).into())
}

/// In `runtime.newproc1`, which takes a batch of numbers from `runtime.sched.goidgen`: distance of that
/// counter from the function's start.
pub(super) fn distance_of_goidgen(code: &[u8]) -> Option<i64> {
    let mut found = None;
    for at in 0..code.len() {
        // mov $16,%n; lea counter(%rip),%p; lock xadd %n,(%p)
        let [
            0x10,
            0,
            0,
            0,
            0x48 | 0x4c,
            0x8d,
            modrm,
            a,
            b,
            c,
            d,
            0xf0,
            rex,
            0x0f,
            0xc1,
            ..,
        ] = &code[at..]
        else {
            continue;
        };
        if modrm & 0xc7 != 0x05 || rex & 0xf8 != 0x48 {
            continue;
        }
        let after = i64::try_from(at + 11).ok()?;
        let distance = after + i64::from(i32::from_le_bytes([*a, *b, *c, *d]));
        // Two would be one too many to know which.
        if found.replace(distance).is_some() {
            return None;
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_probe_goes_behind_the_stack_check() {
        let small = [0x49, 0x3b, 0x66, 0x10, 0x76, 0x38, 0x55, 0x48];
        assert_eq!(after_stack_check(&small), Some(6));
        // net/http.(*persistConn).roundTrip of Go 1.26.
        let large = [
            0x4c, 0x8d, 0xa4, 0x24, 0x58, 0xfe, 0xff, 0xff, 0x4d, 0x3b, 0x66, 0x10, 0x0f, 0x86,
            0x68, 0x0e, 0x00, 0x00, 0x55, 0x48, 0x89, 0xe5,
        ];
        assert_eq!(after_stack_check(&large), Some(18));
        assert_eq!(after_stack_check(&[0x55, 0x48]), Some(0), "a small frame");
        assert_eq!(after_stack_check(&large[..18]), None);
        assert_eq!(after_stack_check(&[0x48, 0x89, 0xe5, 0x55]), None);
        assert_eq!(after_stack_check(&[]), None);
    }

    #[test]
    fn g_lies_where_morestack_loads_it_from() {
        let plain = [0x64, 0x48, 0x8b, 0x3c, 0x25, 0xf8, 0xff, 0xff, 0xff];
        assert_eq!(place_of_g(&plain), Some(-8));
        let with_libc = [0x64, 0x48, 0x8b, 0x3c, 0x25, 0xa8, 0xff, 0xff, 0xff];
        assert_eq!(place_of_g(&with_libc), Some(-88));
        let independent = [
            0x48, 0xc7, 0xc1, 0xf8, 0xff, 0xff, 0xff, 0x64, 0x48, 0x8b, 0x39,
        ];
        assert_eq!(place_of_g(&independent), Some(-8));
        assert_eq!(place_of_g(&independent[..10]), None);
        // Go 1.21.13.
        let plain = [0x64, 0x48, 0x8b, 0x1c, 0x25, 0xf8, 0xff, 0xff, 0xff];
        assert_eq!(place_of_g(&plain), Some(-8));
        let independent = [
            0x48, 0xc7, 0xc1, 0xf8, 0xff, 0xff, 0xff, 0x64, 0x48, 0x8b, 0x19,
        ];
        assert_eq!(place_of_g(&independent), Some(-8));
    }

    #[test]
    fn numbers_come_from_the_counter_that_batches_are_taken_from() {
        // Go 1.26, from 0x45920a on; runtime.sched at 0xa0f840.
        let code = [
            0x41, 0xba, 0x10, 0x00, 0x00, 0x00, 0x4c, 0x8d, 0x1d, 0x29, 0x66, 0x5b, 0x00, 0xf0,
            0x4d, 0x0f, 0xc1, 0x13,
        ];
        assert_eq!(distance_of_goidgen(&code), Some(0xa0f840 - 0x45920a));
        assert_eq!(distance_of_goidgen(&[code, code].concat()), None);
        assert_eq!(distance_of_goidgen(&code[..12]), None);
    }
}
