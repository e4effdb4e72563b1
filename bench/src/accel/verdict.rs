//! What the guard's program costs for a packet, by `BPF_PROG_TEST_RUN`.
//!
//! A packet that changes what the program remembers cannot be repeated: a source is new once. Such packets are run
//! one by one, each from another source, beside one that changes nothing, for what a single run costs by itself.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use serde::Serialize;
use waggle_accel::{Guard, GuardConfig};

use crate::facts::Facts;

const PORT: u16 = 8081;
/// Sources that the program remembers at most.
const REMEMBERED: u32 = waggle_accel::GUARD_SOURCES_MAX;
const SYN: u8 = 2;
const ACK: u8 = 16;

/// What is measured.
#[derive(Debug, clap::Args)]
pub struct VerdictArguments {
    /// Runs of the program for each packet.
    #[arg(long, default_value_t = 2_000_000, value_parser = clap::value_parser!(u32).range(1_000..=100_000_000))]
    repeat: u32,
    /// Measurements of each packet, in turn; figures are medians.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: u32,
    /// Packets that are run one by one, in each round; figures are medians of all.
    #[arg(long, default_value_t = 5_000, value_parser = clap::value_parser!(u32).range(100..=10_000))]
    sources: u32,
    /// Denied networks in the trie, besides the one that is tried.
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(0..=8_000))]
    rules: u32,
    /// Keeps the result as `accel/NAME.json` and `accel/NAME.md` there.
    #[arg(long, num_args = 0..=1, default_missing_value = "verdict", value_name = "NAME")]
    save: Option<String>,
    /// Where results are.
    #[arg(long, default_value = "bench/results")]
    results_dir: PathBuf,
}

#[derive(Debug, Serialize)]
struct Document {
    schema: u32,
    repeat: u32,
    rounds: u32,
    sources: u32,
    rules: u32,
    facts: Facts,
    rows: Vec<Row>,
}

#[derive(Debug, Serialize)]
struct Row {
    packet: &'static str,
    /// Runs of the same packet for one measurement.
    repeat: u32,
    passes: bool,
    nanoseconds: u64,
}

/// Tries each kind of packet.
///
/// # Errors
/// Where the program cannot be loaded, or decides otherwise than it should.
pub fn run(arguments: &VerdictArguments) -> Result<()> {
    let mut deny = vec!["198.51.100.0/24".parse()?];
    for number in 0..arguments.rules {
        let [_, _, high, low] = number.to_be_bytes();
        deny.push(format!("10.{high}.{low}.0/24").parse()?);
    }
    let config = GuardConfig { deny, rate_per_second: 1, burst: 1, ..GuardConfig::default() };
    let guard = Guard::detached(&config, &[PORT])?;
    let mut rows = repeated(&guard, arguments)?;
    rows.extend(one_by_one(&config, arguments)?);
    let document = Document {
        schema: 2,
        repeat: arguments.repeat,
        rounds: arguments.rounds,
        sources: arguments.sources,
        rules: arguments.rules,
        facts: Facts::collect(None),
        rows,
    };
    let text = table(&document.rows);
    print!("{text}");
    match &arguments.save {
        Some(name) => save(&document, &text, name, &arguments.results_dir),
        None => Ok(()),
    }
}

/// Packets that change nothing.
fn repeated(guard: &Guard, arguments: &VerdictArguments) -> Result<Vec<Row>> {
    let packets = [
        ("another port", true, packet([192, 0, 2, 1], PORT + 1, ACK)),
        ("an established connection", true, packet([192, 0, 2, 1], PORT, ACK)),
        ("from a denied network", false, packet([198, 51, 100, 9], PORT, SYN)),
        ("impossible flags", false, packet([192, 0, 2, 1], PORT, SYN | 1)),
        ("a new connection beyond its source's limit", false, packet([192, 0, 2, 2], PORT, SYN)),
    ];
    // Uses up the limit.
    guard.try_packet(&packets[4].2, 10)?;
    let mut times = vec![Vec::new(); packets.len()];
    for _ in 0..arguments.rounds {
        for ((name, wanted, bytes), times) in packets.iter().zip(&mut times) {
            let (passes, time) = guard.try_packet(bytes, arguments.repeat)?;
            ensure!(passes == *wanted, "{name}: passes is {passes}");
            times.push(time.as_nanos() as u64);
        }
    }
    let rows = packets.iter().zip(times);
    Ok(rows.map(|((packet, passes, _), times)| row(packet, arguments.repeat, *passes, times)).collect())
}

/// Packets of sources that the program has not seen, while it has room for them and when it has none.
fn one_by_one(config: &GuardConfig, arguments: &VerdictArguments) -> Result<Vec<Row>> {
    let (mut alone, mut roomy, mut full) = (Vec::new(), Vec::new(), Vec::new());
    let mut next = 0_u32;
    let mut new = |guard: &Guard| {
        next += 1;
        // 100.64.0.0/10 has room for 4 million.
        let [_, high, middle, low] = (0x40_0000 + next).to_be_bytes();
        tried(guard, &packet([100, high, middle, low], PORT, SYN))
    };
    for _ in 0..arguments.rounds {
        // Its memory is empty.
        let guard = Guard::detached(config, &[PORT])?;
        let known = packet([192, 0, 2, 1], PORT, ACK);
        for _ in 0..arguments.sources {
            alone.push(tried(&guard, &known)?);
            roomy.push(new(&guard)?);
        }
        // Each processor keeps some room for itself, so a little more than it has.
        for _ in 0..REMEMBERED + REMEMBERED / 4 {
            new(&guard)?;
        }
        for _ in 0..arguments.sources {
            full.push(new(&guard)?);
        }
    }
    Ok(vec![
        row("an established connection", 1, true, alone),
        row("a new connection within its source's limit", 1, true, roomy),
        row("the same, where the oldest source is forgotten for it", 1, true, full),
    ])
}

/// The time of one run of a packet that passes.
fn tried(guard: &Guard, packet: &[u8]) -> Result<u64> {
    let (passes, time) = guard.try_packet(packet, 1)?;
    ensure!(passes, "a packet within its source's limit was dropped");
    Ok(time.as_nanos() as u64)
}

fn row(packet: &'static str, repeat: u32, passes: bool, mut times: Vec<u64>) -> Row {
    times.sort_unstable();
    // There are some: rounds and sources are above zero.
    Row { packet, repeat, passes, nanoseconds: times[times.len() / 2] }
}

fn table(rows: &[Row]) -> String {
    let mut text = "| packet | runs at once | verdict | ns |\n|---|---:|---|---:|\n".to_owned();
    for row in rows {
        let verdict = if row.passes { "passes" } else { "dropped" };
        text.push_str(&format!("| {} | {} | {verdict} | {} |\n", row.packet, row.repeat, row.nanoseconds));
    }
    text
}

fn save(document: &Document, table: &str, name: &str, results_dir: &Path) -> Result<()> {
    let dir = results_dir.join("accel");
    std::fs::create_dir_all(&dir).with_context(|| dir.display().to_string())?;
    let facts = &document.facts;
    let head = format!(
        "# What the guard costs for a packet\n\n\
         `waggle-bench accel-verdict`: `BPF_PROG_TEST_RUN` of {} runs, medians of {}; packets of new sources one by \
         one, medians of {}: such a run costs more by itself, as the packet that changes nothing shows; {} denied \
         networks.\n\n\
         {}; {} × {}, Linux {}; commit {}.\n\n",
        document.repeat,
        document.rounds,
        document.sources * document.rounds,
        document.rules + 1,
        facts.date,
        facts.cores,
        facts.cpu,
        facts.kernel,
        facts.git_revision
    );
    std::fs::write(dir.join(format!("{name}.md")), head + table)?;
    std::fs::write(dir.join(format!("{name}.json")), serde_json::to_string(document)? + "\n")?;
    Ok(())
}

/// A TCP segment over IPv4 with 64 bytes of data.
fn packet(source: [u8; 4], port: u16, flags: u8) -> Vec<u8> {
    let mut bytes = vec![2; 12];
    bytes.extend([8, 0, 0x45, 0, 0, 104, 0, 0, 0, 0, 64, 6, 0, 0]);
    bytes.extend(source);
    bytes.extend([10, 0, 0, 1, 0xc3, 0x50]);
    bytes.extend(port.to_be_bytes());
    bytes.extend([0, 0, 0, 1, 0, 0, 0, 1, 5 << 4, flags, 1, 0, 0, 0, 0, 0]);
    bytes.extend([7; 64]);
    bytes
}
