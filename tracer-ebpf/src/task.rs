//! Who is calling, and where the buffers of its system call are.
//!
//! A socket hook fires inside a system call of the process, whose user registers still hold the
//! arguments. They say where the bytes are only if the call that runs is a socket I/O call: io_uring
//! and the kernel's own threads move bytes while the registers hold something else. What can't be
//! told is [`Buffers::UNSEEN`]; nothing is read on a guess.
//!
//! Leaves out: 64-bit programs that use the 32-bit entry (`int 0x80`).

use aya_ebpf::helpers::generated::{bpf_get_current_task_btf, bpf_task_pt_regs};

use crate::kernel::{field, forgotten, offset, read, read_user, setting};
use crate::maps;

/// A process, and a thread by the host's id of it, which tells it from others and is shown to nobody.
#[repr(transparent)]
#[derive(Clone, Copy)]
pub struct Who(pub u64);

impl Who {
    /// The thread.
    #[inline(always)]
    pub fn tid(self) -> u32 {
        self.0 as u32
    }

    /// The process.
    #[inline(always)]
    pub fn tgid(self) -> u32 {
        (self.0 >> 32) as u32
    }
}

/// The task that runs this hook. Got once: each call of a helper costs more than what is done here
/// with its result.
#[derive(Clone, Copy)]
pub struct Task(*const u8);

impl Task {
    /// The current one.
    #[inline(always)]
    pub fn current() -> Task {
        // SAFETY: takes nothing.
        Task(unsafe { bpf_get_current_task_btf() }.cast_const().cast())
    }

    /// One that a tracepoint names.
    #[inline(always)]
    pub fn of(argument: *const u8) -> Task {
        Task(argument)
    }

    /// Its process, by the id that the agent knows it by; 0 where the agent's pid namespace has none.
    #[inline(always)]
    pub fn tgid(self) -> u32 {
        if setting!(pid_namespace) != 0 {
            return tgid_in_namespace(&(self.0 as u64));
        }
        // SAFETY: the helper's or a tracepoint's pointer, whose type the verifier knows.
        unsafe { field(self.0, offset!(task_tgid)) }
    }

    /// Its process and thread.
    #[inline(always)]
    pub fn who(self) -> Who {
        // SAFETY: as above.
        let tid: u32 = unsafe { field(self.0, offset!(task_pid)) };
        Who(u64::from(self.tgid()) << 32 | u64::from(tid))
    }

    /// Whether the process is traced.
    #[inline(always)]
    pub fn is_traced(self) -> bool {
        is_traced(self.tgid())
    }

    /// Its `struct task_struct`.
    #[inline(always)]
    pub fn as_ptr(self) -> *const u8 {
        self.0
    }

    /// Its user registers.
    #[inline(always)]
    pub fn registers(self) -> *const u8 {
        // SAFETY: as above.
        unsafe { bpf_task_pt_regs(self.0.cast_mut().cast()) as *const u8 }
    }
}

/// What the process of a task, by its address, is called in the agent's pid namespace: that of its own, or
/// one around it. Global, so that the verifier checks it once.
#[inline(never)]
#[unsafe(no_mangle)]
extern "C" fn tgid_in_namespace(task: *const u64) -> u32 {
    // SAFETY: the caller passes a reference; the verifier wants to see null excluded.
    let Some(&task) = (unsafe { task.as_ref() }) else {
        return 0;
    };
    let signal: usize = read(task as *const u8, offset!(task_signal));
    let of_group = offset!(signal_pids) + PIDTYPE_TGID * size_of::<usize>();
    let pid = read::<usize>(signal as *const u8, of_group) as *const u8;
    let deepest: u32 = read(pid, offset!(pid_level));
    // At level 0 is the host's.
    let mut level = 1;
    while level <= MOST_PID_NAMESPACES && level <= deepest {
        let at = offset!(pid_numbers) + level as usize * UPID;
        let namespace: usize = read(pid, at + offset!(upid_ns));
        if read::<u32>(namespace as *const u8, offset!(pid_ns_inum)) == setting!(pid_namespace) {
            return read(pid, at);
        }
        level += 1;
    }
    0
}

/// `PIDTYPE_TGID` of `enum pid_type`: the id of a thread group.
const PIDTYPE_TGID: usize = 1;
/// Size of a `struct upid`: an int and a pointer.
const UPID: usize = 16;
/// `MAX_PID_NS_LEVEL`: the kernel nests no deeper.
const MOST_PID_NAMESPACES: u32 = 32;

/// Whether a process is traced.
#[inline(always)]
pub fn is_traced(tgid: u32) -> bool {
    if setting!(all) != 0 {
        return tgid != setting!(agent_pid) && tgid != 0;
    }
    maps::is_marked(tgid)
}

/// Where a system call's bytes are in the memory of its process.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Buffers {
    /// The buffer, the iovec array, or the mmsghdr array.
    pub address: u64,
    /// Bytes asked for, iovecs, or messages.
    pub count: u64,
    /// One of [`Buffers::UNSEEN`], [`Buffers::ONE`], [`Buffers::VECTOR`], [`Buffers::MESSAGES`].
    pub shape: u32,
    /// Not 0: the caller is a 32-bit program, its pointers and lengths in memory are 4 bytes.
    pub compat: u32,
}

impl Buffers {
    /// Not known, or not in the process' memory (sendfile, splice, io_uring).
    pub const UNSEEN: u32 = 0;
    /// One buffer of `count` bytes.
    pub const ONE: u32 = 1;
    /// `count` iovecs.
    pub const VECTOR: u32 = 2;
    /// `count` messages of `recvmmsg` or `sendmmsg`, one of which is meant.
    pub const MESSAGES: u32 = 3;

    /// Nothing known.
    pub const NONE: Buffers = Buffers {
        address: 0,
        count: 0,
        shape: Buffers::UNSEEN,
        compat: 0,
    };

    #[inline(always)]
    fn new(shape: u32, compat: bool, address: u64, count: u64) -> Buffers {
        Buffers {
            address,
            count,
            shape,
            compat: u32::from(compat),
        }
    }

    /// The same, without the verifier knowing which call they are of: else it would check all that
    /// follows once for each. See [`forgotten`].
    #[inline(always)]
    pub fn forgotten(self, unknown: u64) -> Buffers {
        Buffers {
            address: forgotten(self.address, unknown),
            count: forgotten(self.count, unknown),
            shape: forgotten(self.shape.into(), unknown) as u32,
            compat: forgotten(self.compat.into(), unknown) as u32,
        }
    }

    /// Those of the system call that the current task is in.
    #[inline(always)]
    pub fn of_current_call(task: Task) -> Buffers {
        let regs = task.registers();
        // SAFETY: `regs` is a `struct pt_regs`, the offsets are from its BTF.
        unsafe {
            // The kernel's entry code puts -ENOSYS here and overwrites it when the call returns:
            // after it, and in kernel threads, the registers are no arguments of a running call.
            if field::<u64>(regs, offset!(regs_ax)) as i64 != ENOSYS {
                return Buffers::NONE;
            }
            Buffers::of_registers(regs)
        }
    }

    /// Those that the arguments of a system call name.
    ///
    /// # Safety
    ///
    /// `regs` is the `struct pt_regs` of a task as the verifier knows it.
    #[inline(always)]
    pub unsafe fn of_registers(regs: *const u8) -> Buffers {
        // SAFETY: the caller's promise.
        unsafe {
            let number = field::<u64>(regs, offset!(regs_orig_ax)) as u32;
            if field::<u16>(regs, offset!(regs_cs)) == USER32_CS {
                return Buffers::of_compat(regs, number);
            }
            let si = field::<u64>(regs, offset!(regs_si));
            let dx = field::<u64>(regs, offset!(regs_dx));
            match number {
                nr::READ | nr::WRITE | nr::SENDTO | nr::RECVFROM => {
                    Buffers::new(Buffers::ONE, false, si, dx)
                }
                nr::READV | nr::WRITEV => Buffers::new(Buffers::VECTOR, false, si, dx),
                nr::SENDMSG | nr::RECVMSG => Buffers::of_message(si, false),
                nr::SENDMMSG | nr::RECVMMSG => Buffers::new(Buffers::MESSAGES, false, si, dx),
                _ => Buffers::NONE,
            }
        }
    }

    /// The same of a 32-bit caller.
    ///
    /// # Safety
    ///
    /// As [`Buffers::of_registers`].
    #[inline(always)]
    unsafe fn of_compat(regs: *const u8, number: u32) -> Buffers {
        // SAFETY: the caller's promise.
        unsafe {
            let cx = u64::from(field::<u64>(regs, offset!(regs_cx)) as u32);
            let dx = u64::from(field::<u64>(regs, offset!(regs_dx)) as u32);
            match number {
                nr32::READ | nr32::WRITE | nr32::SENDTO | nr32::RECVFROM => {
                    Buffers::new(Buffers::ONE, true, cx, dx)
                }
                nr32::READV | nr32::WRITEV => Buffers::new(Buffers::VECTOR, true, cx, dx),
                nr32::SENDMSG | nr32::RECVMSG => Buffers::of_message(cx, true),
                nr32::SENDMMSG | nr32::RECVMMSG | nr32::RECVMMSG_TIME64 => {
                    Buffers::new(Buffers::MESSAGES, true, cx, dx)
                }
                nr32::SOCKETCALL => {
                    let call = field::<u64>(regs, offset!(regs_bx)) as u32;
                    // fd, buffer or message(s), length or count
                    let Some([_, address, count]) = read_user::<[u32; 3]>(cx) else {
                        return Buffers::NONE;
                    };
                    let (address, count) = (u64::from(address), u64::from(count));
                    match call {
                        socketcall::SEND
                        | socketcall::RECV
                        | socketcall::SENDTO
                        | socketcall::RECVFROM => Buffers::new(Buffers::ONE, true, address, count),
                        socketcall::SENDMSG | socketcall::RECVMSG => {
                            Buffers::of_message(address, true)
                        }
                        socketcall::SENDMMSG | socketcall::RECVMMSG => {
                            Buffers::new(Buffers::MESSAGES, true, address, count)
                        }
                        _ => Buffers::NONE,
                    }
                }
                _ => Buffers::NONE,
            }
        }
    }

    /// The iovecs of a `struct msghdr` in user memory.
    #[inline(always)]
    fn of_message(address: u64, compat: bool) -> Buffers {
        if compat {
            // name, namelen, iov, iovlen: 4 bytes each.
            match read_user::<[u32; 2]>(address + 8) {
                Some([iov, len]) => {
                    Buffers::new(Buffers::VECTOR, true, u64::from(iov), u64::from(len))
                }
                None => Buffers::NONE,
            }
        } else {
            // name, namelen and padding, iov, iovlen.
            match read_user::<[u64; 2]>(address + 16) {
                Some([iov, len]) => Buffers::new(Buffers::VECTOR, false, iov, len),
                None => Buffers::NONE,
            }
        }
    }

    /// How many bytes message `index` of [`Buffers::MESSAGES`] moved: the call wrote it there.
    #[inline(always)]
    pub fn message_length(&self, index: u32) -> u32 {
        read_user(self.address + u64::from(index) * 64 + 56).unwrap_or(0)
    }

    /// Message `index` of [`Buffers::MESSAGES`].
    #[inline(always)]
    pub fn message(&self, index: u32) -> Buffers {
        // A `struct mmsghdr` is a msghdr and a length, padded.
        let compat = self.compat != 0;
        let stride = if compat { 32 } else { 64 };
        Buffers::of_message(self.address + u64::from(index) * stride, compat)
    }
}

/// Flags of `recv` (include/linux/socket.h).
pub mod flags {
    use crate::kernel::{field, offset};

    /// The bytes are thrown away, the buffer holds something else.
    pub const TRUNC: u32 = 0x20;
    const OOB: u32 = 0x1;
    const PEEK: u32 = 0x2;
    const ERRQUEUE: u32 = 0x2000;
    /// A peek leaves the bytes where they are, and neither urgent data nor the error queue is part of
    /// the stream.
    pub const NOT_OF_THE_STREAM: u32 = PEEK | OOB | ERRQUEUE;

    /// Those that the arguments of a 64-bit call name.
    ///
    /// # Safety
    ///
    /// As [`super::Buffers::of_registers`].
    #[inline(always)]
    pub unsafe fn of_registers(regs: *const u8) -> u32 {
        // SAFETY: the caller's promise.
        unsafe {
            match field::<u64>(regs, offset!(regs_orig_ax)) as u32 {
                super::nr::RECVFROM | super::nr::RECVMMSG => {
                    field::<u64>(regs, offset!(regs_r10)) as u32
                }
                super::nr::RECVMSG => field::<u64>(regs, offset!(regs_dx)) as u32,
                _ => 0,
            }
        }
    }
}

/// `-ENOSYS`.
const ENOSYS: i64 = -38;
/// `__USER32_CS`: the code segment of 32-bit programs on x86-64.
const USER32_CS: u16 = 0x23;

/// System call numbers of x86-64.
pub mod nr {
    pub const READ: u32 = 0;
    pub const WRITE: u32 = 1;
    pub const READV: u32 = 19;
    pub const WRITEV: u32 = 20;
    pub const SENDTO: u32 = 44;
    pub const RECVFROM: u32 = 45;
    pub const SENDMSG: u32 = 46;
    pub const RECVMSG: u32 = 47;
    pub const SPLICE: u32 = 275;
    pub const RECVMMSG: u32 = 299;
    pub const SENDMMSG: u32 = 307;
}

/// System call numbers of i386.
mod nr32 {
    pub const READ: u32 = 3;
    pub const WRITE: u32 = 4;
    pub const SOCKETCALL: u32 = 102;
    pub const READV: u32 = 145;
    pub const WRITEV: u32 = 146;
    pub const RECVMMSG: u32 = 337;
    pub const SENDMMSG: u32 = 345;
    pub const SENDTO: u32 = 369;
    pub const SENDMSG: u32 = 370;
    pub const RECVFROM: u32 = 371;
    pub const RECVMSG: u32 = 372;
    pub const RECVMMSG_TIME64: u32 = 417;
}

/// First argument of i386's `socketcall`.
mod socketcall {
    pub const SEND: u32 = 9;
    pub const RECV: u32 = 10;
    pub const SENDTO: u32 = 11;
    pub const RECVFROM: u32 = 12;
    pub const SENDMSG: u32 = 16;
    pub const RECVMSG: u32 = 17;
    pub const RECVMMSG: u32 = 19;
    pub const SENDMMSG: u32 = 20;
}
