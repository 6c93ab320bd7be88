//! The few fields of an ELF file that say which other files it needs.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

/// Program header kinds and dynamic tags, from the ELF specification (`elf.h`).
const PT_LOAD: u32 = 1;
const PT_DYNAMIC: u32 = 2;
const PT_INTERP: u32 = 3;
const DT_NEEDED: u64 = 1;
const DT_STRTAB: u64 = 5;
const DT_RPATH: u64 = 15;
const DT_RUNPATH: u64 = 29;

/// No table of a sane file is larger; a broken one must not take all memory.
const LARGEST_TABLE: u64 = 64 << 20;

/// What a dynamic linker needs to know of a file.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Elf {
    /// The instruction set, as in the header.
    pub(crate) machine: u16,
    /// The dynamic linker, for programs.
    pub(crate) interpreter: Option<String>,
    /// Libraries it is linked with, by name.
    pub(crate) needed: Vec<String>,
    /// Folders it wants searched first; may hold `$ORIGIN`.
    pub(crate) search: Vec<String>,
}

/// Reads a 64-bit little-endian ELF file.
pub(crate) fn read(path: &Path) -> io::Result<Elf> {
    let file = File::open(path)?;
    let header = bytes(&file, 0, 64)?;
    if header[..4] != *b"\x7fELF" || header[4] != 2 || header[5] != 1 {
        return Err(invalid("it is not a 64-bit little-endian ELF file"));
    }
    let mut elf = Elf {
        machine: u16_at(&header, 18),
        ..Elf::default()
    };
    let table = u64_at(&header, 32);
    let entry_size = u64::from(u16_at(&header, 54));
    let count = u64::from(u16_at(&header, 56));
    if entry_size < 56 {
        return Err(invalid("its program headers are too small"));
    }
    let mut loads = Vec::new();
    let mut dynamic = None;
    for number in 0..count {
        let segment = bytes(&file, table + number * entry_size, 56)?;
        let (offset, address, size) = (
            u64_at(&segment, 8),
            u64_at(&segment, 16),
            u64_at(&segment, 32),
        );
        match u32_at(&segment, 0) {
            PT_LOAD => loads.push((address, offset, size)),
            PT_DYNAMIC => dynamic = Some((offset, size)),
            PT_INTERP => elf.interpreter = Some(text(&bytes(&file, offset, size)?, 0)?),
            _ => {}
        }
    }
    let Some((offset, size)) = dynamic else {
        return Ok(elf);
    };
    let tags: Vec<(u64, u64)> = bytes(&file, offset, size)?
        .chunks_exact(16)
        .map(|entry| (u64_at(entry, 0), u64_at(entry, 8)))
        .take_while(|(tag, _)| *tag != 0)
        .collect();
    let Some((_, strings)) = tags.iter().find(|(tag, _)| *tag == DT_STRTAB) else {
        return Ok(elf);
    };
    // The table is given by its address in memory; the segment that is loaded there says where it is in the file.
    let strings = loads
        .iter()
        .find(|(address, _, size)| (*address..address + size).contains(strings))
        .map(|(address, offset, size)| (strings - address + offset, address + size - strings))
        .ok_or_else(|| invalid("its string table is in no segment"))?;
    let strings = bytes(&file, strings.0, strings.1.min(LARGEST_TABLE))?;
    for (tag, value) in tags {
        match tag {
            DT_NEEDED => elf.needed.push(text(&strings, value)?),
            DT_RPATH | DT_RUNPATH => {
                elf.search
                    .extend(text(&strings, value)?.split(':').map(str::to_owned));
            }
            _ => {}
        }
    }
    Ok(elf)
}

fn bytes(file: &File, offset: u64, size: u64) -> io::Result<Vec<u8>> {
    if size > LARGEST_TABLE {
        return Err(invalid("a table in it is too large"));
    }
    let size = usize::try_from(size).map_err(|_| invalid("a table in it is too large"))?;
    let mut buffer = vec![0; size];
    file.read_exact_at(&mut buffer, offset)?;
    Ok(buffer)
}

fn text(table: &[u8], offset: u64) -> io::Result<String> {
    let start = usize::try_from(offset)
        .ok()
        .and_then(|offset| table.get(offset..));
    let start = start.ok_or_else(|| invalid("a name in it is outside its table"))?;
    let end = start
        .iter()
        .position(|byte| *byte == 0)
        .unwrap_or(start.len());
    String::from_utf8(start[..end].to_vec()).map_err(|_| invalid("a name in it is not UTF-8"))
}

fn field<const N: usize>(bytes: &[u8], offset: usize) -> [u8; N] {
    let mut field = [0; N];
    field.copy_from_slice(&bytes[offset..offset + N]);
    field
}

fn u16_at(bytes: &[u8], offset: usize) -> u16 {
    u16::from_le_bytes(field(bytes, offset))
}

fn u32_at(bytes: &[u8], offset: usize) -> u32 {
    u32::from_le_bytes(field(bytes, offset))
}

fn u64_at(bytes: &[u8], offset: usize) -> u64 {
    u64::from_le_bytes(field(bytes, offset))
}

fn invalid(reason: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, reason)
}
