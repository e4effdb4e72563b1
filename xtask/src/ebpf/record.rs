//! The committed record of what the objects are, and how what was built differs from it.
//!
//! Instruction counts are compared exactly where the toolchain is the recorded one, and with a margin
//! elsewhere. What gateway and programs share must not change without another ABI version: by it the loader
//! tells objects apart. What is only added needs none, for nobody looks for it in an older object: a constant,
//! a type, a whole object.

use std::fmt;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};

use super::object_file::Object;
use super::sources::Sources;

/// The record, below the repository's root.
const FILE: &str = "gateway-ebpf/objects.txt";

const HEADING: &str = "\
# What the eBPF objects are. Written by `cargo xtask ebpf --update`, compared by `cargo xtask test`.
# A line below `maps` or `sources` changes with ABI_VERSION in gateway-ebpf/src/abi.rs only.
";

/// How to write the record anew.
const UPDATE: &str = "`cargo xtask ebpf --update` records it, to be looked through and committed";

/// How far instruction counts of another toolchain may be from the recorded ones, in percent.
const MARGIN_PERCENT: u64 = 25;

/// Instructions by which they may differ, however small the program is.
const MARGIN_LEAST: u64 = 16;

/// Everything that is recorded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Record {
    toolchain: String,
    abi: u32,
    programs: Vec<ProgramSize>,
    maps: Vec<MapLine>,
    /// See [`Sources::items`].
    sources: Vec<String>,
}

/// The size of one program, or of the functions that an object's programs share.
#[derive(Clone, Debug, PartialEq, Eq)]
struct ProgramSize {
    object: String,
    program: String,
    hook: String,
    instructions: u64,
}

/// A map's definition.
#[derive(Clone, Debug, PartialEq, Eq)]
struct MapLine {
    object: String,
    definition: String,
}

/// Compares what was built with the record of the repository at `root`; gives notes on what differs and may.
///
/// # Errors
/// Where something differs that must not, with what to do.
pub(crate) fn compare(root: &Path, built: &Record) -> Result<Vec<String>> {
    let recorded = read(root)?.with_context(|| format!("{FILE} does not exist; {UPDATE}"))?;
    recorded.allows(built)
}

/// Records what was built.
///
/// # Errors
/// Where the ABI changed and its version did not.
pub(crate) fn update(root: &Path, built: &Record) -> Result<()> {
    if let Some(recorded) = read(root)? {
        recorded.check_abi(built)?;
    }
    fs::write(root.join(FILE), built.to_string()).with_context(|| format!("cannot write {FILE}"))?;
    println!("{FILE} is up to date");
    Ok(())
}

fn read(root: &Path) -> Result<Option<Record>> {
    let path = root.join(FILE);
    if !path.exists() {
        return Ok(None);
    }
    let text = fs::read_to_string(path).with_context(|| format!("cannot read {FILE}"))?;
    Record::parse(&text).map(Some)
}

impl Record {
    /// What `objects` and `sources` are.
    pub(crate) fn of(toolchain: String, objects: &[Object], sources: Sources) -> Record {
        let mut record =
            Record { toolchain, abi: sources.version, sources: sources.items, ..Record::default() };
        for object in objects {
            let mut size = |program: &str, hook: &str, instructions| {
                let (program, hook) = (program.to_owned(), hook.to_owned());
                record.programs.push(ProgramSize { object: object.name(), program, hook, instructions });
            };
            for program in &object.programs {
                size(&program.name, &program.hook, program.instructions);
            }
            size("shared", ".text", object.shared_instructions);
            let maps = object.maps.iter();
            let line = |map: &super::object_file::Map| MapLine {
                object: object.name(),
                definition: map.to_string(),
            };
            record.maps.extend(maps.map(line));
        }
        record
    }

    fn parse(text: &str) -> Result<Record> {
        let mut record = Record::default();
        let mut section = "";
        for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
            let unreadable = || format!("{FILE} holds a line that nobody wrote so: {line}; {UPDATE}");
            let (first, rest) = line.split_once(' ').unwrap_or((line, ""));
            match (first, section) {
                ("toolchain", "") => rest.clone_into(&mut record.toolchain),
                ("abi", "") => record.abi = rest.parse().with_context(unreadable)?,
                ("instructions" | "maps" | "sources", _) if rest.is_empty() => section = first,
                (_, "instructions") => {
                    record.programs.push(ProgramSize::parse(line).with_context(unreadable)?);
                }
                (object, "maps") => {
                    record.maps.push(MapLine { object: object.to_owned(), definition: rest.to_owned() });
                }
                (_, "sources") => record.sources.push(line.to_owned()),
                _ => bail!(unreadable()),
            }
        }
        Ok(record)
    }

    /// Whether `built` may stand beside this record.
    fn allows(&self, built: &Record) -> Result<Vec<String>> {
        self.check_abi(built)?;
        if self == built {
            return Ok(Vec::new());
        }
        let mut notes = Vec::new();
        let is_same_toolchain = self.toolchain == built.toolchain;
        if !is_same_toolchain {
            notes.push(format!(
                "instruction counts are of {}; here is {}, so they may differ by {MARGIN_PERCENT} %",
                self.toolchain, built.toolchain
            ));
        }
        let mut wrong = Vec::new();
        for program in &built.programs {
            let Some(old) = self.programs.iter().find(|old| old.is_of_same(program)) else { continue };
            let (is, was) = (program.instructions, old.instructions);
            let margin = if is_same_toolchain { 0 } else { (was * MARGIN_PERCENT / 100).max(MARGIN_LEAST) };
            if is.abs_diff(was) > margin {
                wrong.push(format!("{} has {is} instructions, {was} are recorded", program.program));
            }
        }
        if !wrong.is_empty() {
            bail!("{}: {}; {UPDATE}", FILE, wrong.join("; "));
        }
        let others = |record: &Record| Record { toolchain: String::new(), ..record.without_counts() };
        if others(self) != others(built) {
            let added = self.added(built).join("\n  ");
            bail!("{FILE} is not up to date; {UPDATE}\n  {added}");
        }
        Ok(notes)
    }

    fn without_counts(&self) -> Record {
        let mut record = self.clone();
        record.programs.iter_mut().for_each(|program| program.instructions = 0);
        record
    }

    /// Fails where what is shared changed under the same version.
    fn check_abi(&self, built: &Record) -> Result<()> {
        let changes = self.abi_changes(built);
        if changes.is_empty() || built.abi > self.abi {
            return Ok(());
        }
        bail!(
            "what gateway and eBPF programs share has changed, but ABI_VERSION in gateway-ebpf/src/abi.rs is \
             {}, and {} is recorded in {FILE}. Raise it, so that the loader tells old objects from new \
             ones; then {UPDATE}.\n  {}",
            built.abi,
            self.abi,
            changes.join("\n  ")
        )
    }

    /// What is gone or different, and what came into an object that was there before.
    fn abi_changes(&self, built: &Record) -> Vec<String> {
        let (before, after) = (self.shared_lines(), built.shared_lines());
        let gone = before.iter().filter(|line| !after.contains(line));
        let mut changes: Vec<String> = gone.map(|line| format!("- {line}")).collect();
        let is_old = |object: &str| self.programs.iter().any(|program| program.object == object);
        let came = after.iter().filter(|line| !before.contains(line));
        let in_old = came.filter(|line| line.split(' ').next().is_some_and(is_old));
        changes.extend(in_old.map(|line| format!("+ {line}")));
        changes
    }

    /// What is new.
    fn added(&self, built: &Record) -> Vec<String> {
        let before = self.shared_lines();
        built.shared_lines().into_iter().filter(|line| !before.contains(line)).collect()
    }

    /// Programs, maps and sources, a line each; those of objects begin with the object.
    fn shared_lines(&self) -> Vec<String> {
        let programs = self.programs.iter().map(|p| format!("{} program {} {}", p.object, p.program, p.hook));
        let maps = self.maps.iter().map(MapLine::to_string);
        programs.chain(maps).chain(self.sources.iter().cloned()).collect()
    }
}

impl ProgramSize {
    fn parse(line: &str) -> Option<ProgramSize> {
        let mut words = line.split(' ').map(str::to_owned);
        let (object, program, hook) = (words.next()?, words.next()?, words.next()?);
        Some(ProgramSize { object, program, hook, instructions: words.next()?.parse().ok()? })
    }

    fn is_of_same(&self, other: &ProgramSize) -> bool {
        (&self.object, &self.program) == (&other.object, &other.program)
    }
}

impl fmt::Display for ProgramSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {} {}", self.object, self.program, self.hook, self.instructions)
    }
}

impl fmt::Display for MapLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.object, self.definition)
    }
}

impl fmt::Display for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{HEADING}\ntoolchain {}\nabi {}\n\ninstructions\n", self.toolchain, self.abi)?;
        self.programs.iter().try_for_each(|program| writeln!(f, "{program}"))?;
        write!(f, "\nmaps\n")?;
        self.maps.iter().try_for_each(|map| writeln!(f, "{map}"))?;
        write!(f, "\nsources\n")?;
        self.sources.iter().try_for_each(|item| writeln!(f, "{item}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ebpf::sources;

    fn record() -> Record {
        let size = |program: &str, hook: &str, instructions| ProgramSize {
            object: "guard".to_owned(),
            program: program.to_owned(),
            hook: hook.to_owned(),
            instructions,
        };
        let definition = "map A array key 4 value 8 entries 1 flags 0".to_owned();
        Record {
            toolchain: "rustc 1, LLVM 2".to_owned(),
            abi: 3,
            programs: vec![size("drop", "xdp", 100), size("shared", ".text", 0)],
            maps: vec![MapLine { object: "guard".to_owned(), definition }],
            sources: vec!["abi.rs: pub const X: u32 = 1;".to_owned()],
        }
    }

    fn changed(change: impl FnOnce(&mut Record)) -> Record {
        let mut record = record();
        change(&mut record);
        record
    }

    #[test]
    fn what_is_written_reads_back() {
        assert_eq!(Record::parse(&record().to_string()).unwrap(), record());
        assert!(Record::parse("what is this").is_err());
        assert!(Record::parse("instructions\nguard drop xdp many").is_err());
    }

    #[test]
    fn a_changed_layout_needs_another_version() {
        let changes: [fn(&mut Record); 5] = [
            |r| r.sources[0] = "abi.rs: pub const X: u32 = 2;".to_owned(),
            |r| r.sources.clear(),
            |r| r.maps[0].definition = r.maps[0].definition.replace("value 8", "value 4"),
            |r| r.maps.push(MapLine { object: "guard".to_owned(), definition: "map B".to_owned() }),
            |r| r.programs[0].program = "renamed".to_owned(),
        ];
        for change in changes {
            let error = record().check_abi(&changed(change)).unwrap_err().to_string();
            assert!(error.contains("Raise it"), "{error}");
            let raised = changed(|r| {
                change(r);
                r.abi += 1;
            });
            assert!(record().check_abi(&raised).is_ok());
            let lowered = changed(|r| {
                change(r);
                r.abi -= 1;
            });
            assert!(record().check_abi(&lowered).is_err());
            assert!(record().allows(&raised).is_err(), "the record is old");
        }
    }

    #[test]
    fn what_is_only_added_needs_none_but_must_be_recorded() {
        let added = changed(|r| {
            let object = "redirect".to_owned();
            r.maps.push(MapLine { object: object.clone(), definition: "map B".to_owned() });
            r.sources.push("abi.rs: pub const Y: u32 = 1;".to_owned());
            r.programs.push(ProgramSize { object, ..r.programs[0].clone() });
        });
        assert!(record().check_abi(&added).is_ok());
        let error = record().allows(&added).unwrap_err().to_string();
        assert!(error.contains("redirect map B") && error.contains("pub const Y"), "{error}");
    }

    #[test]
    fn counts_are_exact_for_the_same_toolchain_and_near_for_another() {
        let counted = |instructions: u64, toolchain: &str| {
            changed(|r| {
                r.programs[0].instructions = instructions;
                toolchain.clone_into(&mut r.toolchain);
            })
        };
        let same = record().toolchain;
        assert_eq!(record().allows(&record()).unwrap(), Vec::<String>::new());
        assert!(record().allows(&counted(101, &same)).is_err());
        for (instructions, is_allowed) in [(100, true), (125, true), (75, true), (126, false), (74, false)] {
            let notes = record().allows(&counted(instructions, "rustc 9"));
            assert_eq!(notes.is_ok_and(|notes| notes.len() == 1), is_allowed, "{instructions}");
        }
    }

    /// Needs no eBPF toolchain, so it holds where objects cannot be built.
    #[test]
    fn the_recorded_sources_are_the_sources() {
        let root = crate::root();
        let recorded = read(&root).unwrap().expect("the record is committed");
        let Sources { version, items } = sources::read(&root).unwrap();
        let built = Record { abi: version, sources: items, ..recorded.clone() };
        recorded.allows(&built).unwrap();
    }
}
