//! What is told of goroutines: numbers, what they hand over, where their program keeps them.

/// Go numbers its goroutines in batches: each P takes so many numbers at once, and gives them out in
/// order (`runtime._GoidCacheBatch`). Numbers begin with 1, a batch one behind a multiple of its size.
pub const GOROUTINE_BATCH: u64 = 16;

/// Numbers of goroutines that were not given out at some instant: from the one that a P gives next to
/// the end of that batch, and those of all batches that were not taken yet. So whoever has one of them
/// was started later. In 64 bits: the next number (40 bits; a program that starts a million goroutines
/// a second needs days for as many), and how far behind it the first batch begins that was not taken.
#[repr(transparent)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fresh(pub u64);

impl Fresh {
    /// Bits of the next number.
    const NEXT: u32 = 40;
    /// How far the untaken batches are is not known, or further.
    const FAR: u64 = (1 << (64 - Fresh::NEXT)) - 1;

    /// `next`: the next number; `taken`: the last one of the batches taken so far, 0 = not known.
    #[inline(always)]
    pub const fn new(next: u64, taken: u64) -> Fresh {
        let untaken = (taken + 1).wrapping_sub(next);
        let distance = if untaken < Fresh::FAR {
            untaken
        } else {
            Fresh::FAR
        };
        Fresh(next & ((1 << Fresh::NEXT) - 1) | distance << Fresh::NEXT)
    }

    /// Whether goroutine `goid` was started later.
    pub const fn has(self, goid: u64) -> bool {
        let next = self.0 & ((1 << Fresh::NEXT) - 1);
        let distance = self.0 >> Fresh::NEXT;
        if next == 0 || goid < next {
            return false;
        }
        (goid - 1) / GOROUTINE_BATCH == (next - 1) / GOROUTINE_BATCH
            || (distance != Fresh::FAR && goid >= next + distance)
    }
}

/// It hands over [`Goroutine::token`], for which another one will go on.
pub const GOROUTINE_GIVES: u8 = 1;
/// It goes on for the one that gave [`Goroutine::token`].
pub const GOROUTINE_TAKES: u8 = 2;
/// It begins to handle a request: which, shows when it answers.
pub const GOROUTINE_BEGINS: u8 = 3;
/// It begins to handle [`Goroutine::stream`] of the connection that the goroutine reads that started it.
pub const GOROUTINE_SERVES: u8 = 4;

/// It was just started, by its parent.
pub const GOROUTINE_STARTS: u8 = 5;

/// A goroutine came by a probe in its program.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Goroutine {
    /// [`super::Kind::Goroutine`].
    pub kind: u8,
    /// One of `GOROUTINE_*`.
    pub what: u8,
    /// Keeps the next field aligned.
    pub reserved: u16,
    /// The process.
    pub pid: u32,
    /// Its number.
    pub goid: u64,
    /// The goroutine that started it.
    pub parent: u64,
    /// A [`Fresh`].
    pub fresh: u64,
    /// Address of what is handed over.
    pub token: u64,
    /// HTTP/2 stream; 0 = none.
    pub stream: u32,
    /// Keeps the size a multiple of 8.
    pub reserved2: u32,
}

/// Where a Go program keeps what tells its goroutines. Offsets in bytes; by Go's version, since they
/// are not part of any interface.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GoLayout {
    /// Where a thread's running `g` is, from its `fsbase`.
    pub tls: i64,
    /// Address of the counter that batches are taken from (`runtime.sched.goidgen`) in the process; 0 =
    /// not known.
    pub goidgen: u64,
    /// `g.goid`.
    pub goid: u32,
    /// `g.parentGoid`.
    pub parent: u32,
    /// `g.startpc`: the function it runs.
    pub startpc: u32,
    /// `g.m`.
    pub m: u32,
    /// `m.p`.
    pub p: u32,
    /// `m.oldp`: its P while it is in a system call.
    pub oldp: u32,
    /// `p.goidcache`; `p.goidcacheend` follows it.
    pub goidcache: u32,
    /// Keeps the size a multiple of 8.
    pub reserved: u32,
}

/// A probe in a Go program, as the 64 bits that it is attached with say: byte 0 is one of `GOROUTINE_*`,
/// bytes 1 and 2 are [`Register`]s, bytes 4 and following the distance of [`Goroutine::stream`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GoProbe {
    /// One of `GOROUTINE_*`.
    pub what: u8,
    /// Holds the token, or with [`GOROUTINE_SERVES`] the stream.
    pub token: Register,
    /// The probe counts only where this one is not 0.
    pub unless: Register,
    /// The token is what lies at the address in its register; a stream is reached through it.
    pub follow: bool,
    /// Where the number of the stream is behind the token; [`NO_STREAM`]: there is none. With
    /// [`GOROUTINE_STARTS`], how far the probe is behind the begin of its function.
    pub stream: u16,
}

/// Of [`GoProbe::stream`].
pub const NO_STREAM: u16 = u16::MAX;

/// A register that holds one of the first arguments of a Go function (ABIInternal).
#[repr(u8)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Register {
    /// None.
    None = 0,
    /// RAX.
    A = 1,
    /// RBX.
    B = 2,
    /// RCX.
    C = 3,
    /// RDI.
    D = 4,
    /// R8.
    E = 5,
}

impl GoProbe {
    /// The 64 bits that a probe is attached with.
    pub const fn cookie(self) -> u64 {
        self.what as u64
            | (self.token as u64) << 8
            | (self.unless as u64) << 16
            | (self.follow as u64) << 24
            | (self.stream as u64) << 32
    }
}
