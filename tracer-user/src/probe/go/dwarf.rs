//! Where Go's runtime keeps what tells its goroutines, as a program's debug information says: for
//! versions that are not known by a table.
//!
//! Go's linker writes a unit per package, structures beneath it, and every name in place. Leaves out
//! whatever else debug information may be; where it does not hold together it says nothing.

use std::borrow::Cow;
use std::io::Read;

use flate2::read::ZlibDecoder;
use gimli::{
    DW_AT_data_member_location, DW_AT_name, DW_TAG_member, DW_TAG_structure_type, DebugAbbrev,
    DebugInfo, DebuggingInformationEntry, EndianSlice, EntriesCursor, LittleEndian,
};
use object::{CompressionFormat, Object, ObjectSection};

use super::version::Offsets;

/// Most of a section, inflated, that is read, in memory and only at attach: a server of 190 packages
/// has 2 MB of it, one of some thousands 50.
const MOST_DEBUG_INFO: u64 = 128 << 20;

/// What is looked for, in the order of [`Offsets`].
const MEMBERS: [(&str, &str); 7] = [
    ("runtime.g", "goid"),
    ("runtime.g", "parentGoid"),
    ("runtime.g", "startpc"),
    ("runtime.g", "m"),
    ("runtime.m", "p"),
    ("runtime.m", "oldp"),
    ("runtime.p", "goidcache"),
];

type Slice<'a> = EndianSlice<'a, LittleEndian>;

/// None: there is no debug information, or it lacks one of them.
pub(super) fn offsets<'data>(
    binary: &object::File<'data, impl object::ReadRef<'data>>,
) -> Option<Offsets> {
    let info = section(binary, ".debug_info")?;
    let abbreviations = section(binary, ".debug_abbrev")?;
    of_sections(&info, &abbreviations)
}

/// A section's bytes, which Go's linker packs.
fn section<'data>(
    binary: &object::File<'data, impl object::ReadRef<'data>>,
    name: &str,
) -> Option<Cow<'data, [u8]>> {
    let section = binary.section_by_name(name)?.compressed_data().ok()?;
    if section.uncompressed_size > MOST_DEBUG_INFO {
        return None;
    }
    match section.format {
        CompressionFormat::None => Some(section.data.into()),
        CompressionFormat::Zlib => {
            let mut bytes = Vec::new();
            let inflated = ZlibDecoder::new(section.data).take(section.uncompressed_size);
            { inflated }.read_to_end(&mut bytes).ok()?;
            Some(bytes.into())
        }
        _ => None,
    }
}

fn of_sections(info: &[u8], abbreviations: &[u8]) -> Option<Offsets> {
    let info = DebugInfo::new(info, LittleEndian);
    let abbreviations = DebugAbbrev::new(abbreviations, LittleEndian);
    let mut found = [None; MEMBERS.len()];
    let mut units = info.units();
    while let Some(unit) = units.next().ok()? {
        let abbreviations = unit.abbreviations(&abbreviations).ok()?;
        let mut entries = unit.entries(&abbreviations);
        // There are several of that name: what was written in assembler has its own.
        if entries.next_dfs().ok()?.and_then(name) == Some("runtime") {
            members(entries, &mut found)?;
        }
    }
    let found: Option<Vec<u32>> = found.into_iter().collect();
    found?.try_into().ok()
}

/// Finds [`MEMBERS`] in a unit. None: it does not hold together.
fn members(
    mut entries: EntriesCursor<'_, Slice<'_>>,
    found: &mut [Option<u32>; MEMBERS.len()],
) -> Option<()> {
    // The structure whose members come, and how deep they are.
    let mut within = (String::new(), 0);
    while let Some(entry) = entries.next_dfs().ok()? {
        let name = name(entry).unwrap_or_default();
        if entry.tag() == DW_TAG_structure_type {
            within = (name.to_owned(), entry.depth() + 1);
        } else if entry.tag() == DW_TAG_member && entry.depth() == within.1 {
            let member = (within.0.as_str(), name);
            if let Some(at) = MEMBERS.iter().position(|wanted| *wanted == member) {
                let offset = entry.attr(DW_AT_data_member_location)?.udata_value()?;
                found[at] = Some(u32::try_from(offset).ok()?);
            }
        }
    }
    Some(())
}

fn name<'a>(entry: &DebuggingInformationEntry<Slice<'a>>) -> Option<&'a str> {
    match entry.attr_value(DW_AT_name)? {
        gimli::AttributeValue::String(name) => str::from_utf8(name.slice()).ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Unit with a name; structure with a name; member with a name and a place; base type with a name.
    const ABBREVIATIONS: &[u8] = b"\x01\x11\x01\x03\x08\0\0\x02\x13\x01\x03\x08\0\0\
        \x03\x0d\0\x03\x08\x38\x0f\0\0\x04\x24\0\x03\x08\0\0\0";

    /// A unit of DWARF 4 of those entries.
    fn unit(entries: &[u8]) -> Vec<u8> {
        let rest = [b"\x04\0\0\0\0\0\x08", entries].concat();
        [&(rest.len() as u32).to_le_bytes()[..], &rest].concat()
    }

    /// As the linker of Go 1.26 writes it, less what is of no interest.
    fn runtime(m: &[u8]) -> Vec<u8> {
        let g = b"\x02runtime.g\0\x03_panic\0\x20\x03m\0\x30\x03goid\0\x98\x01\
            \x03parentGoid\0\x98\x02\x03startpc\0\xb0\x02\0";
        let p = b"\x02runtime.p\0\x03goidcache\0\x80\x03\0";
        unit(&[b"\x01runtime\0\x04int\0", &g[..], m, p, b"\0"].concat())
    }

    const M: &[u8] = b"\x02runtime.m\0\x03g0\0\0\x03p\0\xd0\x01\x03oldp\0\xe0\x01\0";

    #[test]
    fn members_are_found_in_the_runtimes_unit() {
        let other = unit(b"\x01net/http\0\x02runtime.g\0\x03goid\0\x01\0\0");
        let assembler = unit(b"\x01runtime\0\0");
        let info = [other.clone(), assembler, runtime(M), other].concat();
        let expected = [152, 280, 304, 48, 208, 224, 384];
        assert_eq!(of_sections(&info, ABBREVIATIONS), Some(expected));
    }

    #[test]
    fn all_or_nothing() {
        let without = runtime(b"\x02runtime.m\0\x03p\0\xd0\x01\0");
        assert_eq!(of_sections(&without, ABBREVIATIONS), None);
        let whole = runtime(M);
        for length in 0..whole.len() {
            assert_eq!(
                of_sections(&whole[..length], ABBREVIATIONS),
                None,
                "{length}"
            );
        }
        assert_eq!(of_sections(&whole, &ABBREVIATIONS[..20]), None);
    }
}
