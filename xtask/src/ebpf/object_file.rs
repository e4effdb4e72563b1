//! What is in a built object: its programs, their sizes, and its maps.

use std::fmt;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use object::{Object as _, ObjectSection as _, ObjectSymbol as _, SymbolKind};

/// Bytes of one BPF instruction.
const INSTRUCTION_BYTES: u64 = 8;

/// The section with the maps' definitions, each of this many words.
const MAPS_SECTION: &str = "maps";
const MAP_WORDS: usize = 5;

/// The section with maps whose definition is in the type information alone, as the kernel wants it for storage
/// of sockets. Of these only the name is read; the types are among the sources that the record has.
const TYPED_MAPS_SECTION: &str = ".maps";
const TYPED: u32 = u32::MAX;

/// One built object.
#[derive(Debug)]
pub(crate) struct Object {
    pub(crate) path: PathBuf,
    pub(crate) bytes: u64,
    /// By name.
    pub(crate) programs: Vec<Program>,
    /// Instructions in functions that the programs share.
    pub(crate) shared_instructions: u64,
    /// By name.
    pub(crate) maps: Vec<Map>,
}

/// One program of an object.
#[derive(Debug)]
pub(crate) struct Program {
    pub(crate) name: String,
    /// The ELF section, which names the kind of hook.
    pub(crate) hook: String,
    pub(crate) instructions: u64,
}

/// One map of an object, as the kernel is asked to make it.
#[derive(Debug)]
pub(crate) struct Map {
    pub(crate) name: String,
    kind: u32,
    key_bytes: u32,
    value_bytes: u32,
    entries: u32,
    flags: u32,
}

impl Object {
    /// Reads the object in `elf`, which is at `path`.
    pub(crate) fn read(path: PathBuf, elf: &[u8]) -> Result<Object> {
        let file =
            object::File::parse(elf).with_context(|| format!("{} is not an object", path.display()))?;
        let mut object = Object {
            bytes: elf.len() as u64,
            programs: Vec::new(),
            shared_instructions: 0,
            maps: Vec::new(),
            path,
        };
        for symbol in file.symbols() {
            let Some(section) = symbol.section_index() else {
                continue;
            };
            let section = file.section_by_index(section)?;
            let name = symbol.name()?.to_owned();
            let instructions = symbol.size() / INSTRUCTION_BYTES;
            match (symbol.kind(), section.name()?) {
                (SymbolKind::Text, ".text") => object.shared_instructions += instructions,
                (SymbolKind::Text, hook) => {
                    object.programs.push(Program { name, hook: hook.to_owned(), instructions });
                }
                (SymbolKind::Data, MAPS_SECTION) => {
                    let definition = section.data()?.get(symbol.address() as usize..).unwrap_or_default();
                    object.maps.push(Map::read(name, definition)?);
                }
                (SymbolKind::Data, TYPED_MAPS_SECTION) => object.maps.push(Map::typed(name)),
                _ => {}
            }
        }
        object.programs.sort_by(|a, b| a.name.cmp(&b.name));
        object.maps.sort_by(|a, b| a.name.cmp(&b.name));
        let path = object.path.display();
        ensure!(!object.programs.is_empty(), "{path} holds no program");
        Ok(object)
    }

    /// The file's name.
    pub(crate) fn name(&self) -> String {
        self.path.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }
}

impl Map {
    fn typed(name: String) -> Self {
        Self { name, kind: TYPED, key_bytes: 0, value_bytes: 0, entries: 0, flags: 0 }
    }

    /// Reads the first words of a `bpf_map_def`; two more say nothing of the layout.
    fn read(name: String, definition: &[u8]) -> Result<Map> {
        let mut words =
            definition.chunks_exact(4).filter_map(|word| Some(u32::from_ne_bytes(word.try_into().ok()?)));
        let mut next = || words.next().with_context(|| format!("{name} has fewer than {MAP_WORDS} words"));
        let (kind, key_bytes, value_bytes, entries, flags) = (next()?, next()?, next()?, next()?, next()?);
        Ok(Map { name, kind, key_bytes, value_bytes, entries, flags })
    }

    /// The kind by its name in the kernel's `bpf_map_type`; what our programs do not use by its number.
    fn kind(&self) -> String {
        let name = match self.kind {
            1 => "hash",
            2 => "array",
            4 => "perf_event_array",
            5 => "percpu_hash",
            6 => "percpu_array",
            9 => "lru_hash",
            10 => "lru_percpu_hash",
            11 => "lpm_trie",
            15 => "sockmap",
            18 => "sockhash",
            27 => "ringbuf",
            other => return format!("kind_{other}"),
        };
        name.to_owned()
    }
}

impl fmt::Display for Map {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, key_bytes, value_bytes, entries, flags, .. } = self;
        if self.kind == TYPED {
            return write!(f, "map {name} typed");
        }
        let kind = self.kind();
        write!(f, "map {name} {kind} key {key_bytes} value {value_bytes} entries {entries} flags {flags}")
    }
}

impl fmt::Display for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}: {} bytes", self.path.display(), self.bytes)?;
        for program in &self.programs {
            writeln!(
                f,
                "  program {:<20} {:<10} {:>6} instructions",
                program.name, program.hook, program.instructions
            )?;
        }
        writeln!(f, "  shared functions {:>29} instructions", self.shared_instructions)?;
        let maps: Vec<&str> = self.maps.iter().map(|map| map.name.as_str()).collect();
        write!(f, "  maps {}", maps.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_map_reads_as_it_was_defined() {
        let words: [u32; 7] = [11, 24, 4, 8_192, 1, 0, 0];
        let definition: Vec<u8> = words.iter().flat_map(|word| word.to_ne_bytes()).collect();
        let map = Map::read("RULES".to_owned(), &definition).unwrap();
        assert_eq!(map.to_string(), "map RULES lpm_trie key 24 value 4 entries 8192 flags 1");
        assert!(Map::read("RULES".to_owned(), &definition[..16]).is_err());
        assert_eq!(Map::typed("WAYS".to_owned()).to_string(), "map WAYS typed");
    }
}
