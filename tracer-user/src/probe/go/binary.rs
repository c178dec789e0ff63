//! A Go program's file: where its runtime keeps goroutines, and where to probe it.
//!
//! Reads what is in every Go binary, stripped or not, position-independent or not, linked by Go or by
//! a C linker: build information, function table, a few instructions. Bias: a file that does not hold
//! together has nothing.

use std::fs::File;
use std::ops::Range;

use object::read::ReadCache;
use object::{Object, ObjectKind, ObjectSection, ObjectSegment, SegmentFlags, elf};
use tracer_ebpf::abi::{GOROUTINE_STARTS, GoLayout, GoProbe};

use super::code;
use super::dwarf;
use super::functions::{self, Found, NAMES};
use super::pclntab::{TEXT_START, Table};
use super::version::Built;

/// Largest function table that is read: the largest known are some 60 MB.
const MOST_TABLE: u64 = 128 << 20;

/// Relocations that are looked through for one word; a large binary has 500,000.
const MOST_RELOCATIONS: u64 = 64 << 20;

/// As many instructions as are looked at: of a prologue, and of `runtime.newproc1`.
const MOST_CODE: u64 = 4096;

/// Where Go 1.26's linker puts `runtime.firstmoduledata`, and how far in it are the address of the
/// function table and that of the text.
const MODULE: &str = ".go.module";
const MODULE_TEXT: u64 = 176;

/// What is known of a program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Program {
    /// Addresses as the file has them.
    pub(super) layout: GoLayout,
    /// It may be loaded elsewhere than the file says: the address of its first byte there.
    pub(super) moved_from: Option<u64>,
    /// Offsets in the file.
    pub(super) probes: Vec<(u64, GoProbe)>,
}

impl Program {
    /// None: not Go, not amd64, or not known well enough to tell goroutines.
    pub(super) fn read(file: File) -> Option<Program> {
        let cache = ReadCache::new(file);
        let binary = object::File::parse(&cache).ok()?;
        if binary.architecture() != object::Architecture::X86_64 {
            return None;
        }
        let built = Built::of(&binary)?;
        let offsets = built.runtime().or_else(|| dwarf::offsets(&binary));
        let [goid, parent, startpc, m, p, oldp, goidcache] = offsets?;
        let image = Image { binary: &binary };
        let (text, found) = image.functions()?;
        let code = |function: &Option<Range<u64>>| {
            let function = function.as_ref()?;
            let length = function.end.checked_sub(function.start)?.min(MOST_CODE);
            let address = text.checked_add(function.start)?;
            Some((address, image.bytes(address, length)?))
        };
        let [morestack, newproc1, ..] = &found;
        let goidgen = code(newproc1).and_then(|(address, code)| {
            address.checked_add_signed(code::distance_of_goidgen(code)?)
        });
        let layout = GoLayout {
            tls: code::place_of_g(code(morestack)?.1)?,
            goidgen: goidgen.unwrap_or(0),
            goid,
            parent,
            startpc,
            m,
            p,
            oldp,
            goidcache,
            reserved: 0,
        };
        let probes = functions::probes(&found, &built);
        let probes = probes.into_iter().filter_map(|(function, probe)| {
            let (address, code) = code(&Some(function))?;
            let distance = code::after_stack_check(code)?;
            let place = address.checked_add(distance)?;
            let probe = match probe.what {
                GOROUTINE_STARTS => GoProbe {
                    stream: u16::try_from(distance).ok()?,
                    ..probe
                },
                _ => probe,
            };
            Some((image.in_file(place)?, probe))
        });
        Some(Program {
            layout,
            moved_from: image.moved_from(),
            probes: probes.collect(),
        })
    }
}

/// The file as it will be in memory.
struct Image<'a, 'data, R: object::ReadRef<'data>> {
    binary: &'a object::File<'data, R>,
}

impl<'data, R: object::ReadRef<'data>> Image<'_, 'data, R> {
    /// Where the text begins, and the functions in it.
    fn functions(&self) -> Option<(u64, Found)> {
        let section = self.binary.sections().find(|section| {
            section
                .name()
                .is_ok_and(|name| name.ends_with(".gopclntab"))
                && section.size() <= MOST_TABLE
        })?;
        let table = Table::new(section.data().ok()?)?;
        let text = match self.pointer(section.address() + TEXT_START)? {
            0 => self.module_text(section.address())?,
            text => text,
        };
        Some((text, table.find(NAMES)))
    }

    /// The text's start, as the module says that has that function table.
    fn module_text(&self, table: u64) -> Option<u64> {
        let module = self.binary.section_by_name(MODULE)?.address();
        if self.pointer(module)? != table {
            return None;
        }
        self.pointer(module.checked_add(MODULE_TEXT)?)
    }

    /// The address that stands at an address. In a program that may be loaded anywhere the linker
    /// leaves it to a relocation.
    fn pointer(&self, address: u64) -> Option<u64> {
        let word = u64::from_le_bytes(self.bytes(address, 8)?.try_into().ok()?);
        if word != 0 || self.binary.kind() != ObjectKind::Dynamic {
            return Some(word);
        }
        let relocations = self.binary.sections().filter(|section| {
            section.name().is_ok_and(|name| name.starts_with(".rela"))
                && section.size() <= MOST_RELOCATIONS
        });
        for section in relocations {
            // Elf64_Rela: the place, the kind, the value.
            for entry in section.data().ok()?.chunks_exact(24) {
                let word = |at| Some(u64::from_le_bytes(entry.get(at..at + 8)?.try_into().ok()?));
                if word(0)? == address && word(8)? == u64::from(elf::R_X86_64_RELATIVE) {
                    return word(16);
                }
            }
        }
        Some(0)
    }

    /// What the file has at an address.
    fn bytes(&self, address: u64, length: u64) -> Option<&'data [u8]> {
        self.binary
            .segments()
            .find_map(|segment| segment.data_range(address, length).ok()?)
    }

    /// Where in the file an instruction is.
    fn in_file(&self, address: u64) -> Option<u64> {
        self.binary.segments().find_map(|segment| {
            let (offset, size) = segment.file_range();
            let executable = matches!(
                segment.flags(),
                SegmentFlags::Elf { p_flags, .. } if p_flags & elf::PF_X != 0
            );
            let distance = address.checked_sub(segment.address())?;
            (executable && distance < size).then(|| offset + distance)
        })
    }

    /// See [`Program::moved_from`].
    fn moved_from(&self) -> Option<u64> {
        if self.binary.kind() != ObjectKind::Dynamic {
            return None;
        }
        let first = self
            .binary
            .segments()
            .find(|segment| segment.file_range().0 == 0)?;
        Some(first.address())
    }
}
