//! Thin streams over a wire that loses packets: what each way of setting TCP brings, cell by cell.

use std::fmt::Write as _;
use std::net::TcpListener;
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde::Serialize;
use waggle_accel::{Accel, AccelConfig, Leg, apply_profile, path_quality};

use super::cost::{self, Cost};
use super::streams::{self, Stream};
use crate::facts::Facts;
use crate::lab::{Lab, Loss, SERVER, Wire};
use crate::stop;

/// Mean length of a loss in a cell with bursts.
const OUTAGE: Duration = Duration::from_millis(30);

/// What is measured.
#[derive(Debug, clap::Args)]
pub struct LossArguments {
    /// Shares of packets with data that are lost, in percent; with a `b`, in outages of 30 ms on average.
    #[arg(long, value_delimiter = ',', default_value = "0,1,3,6,3b,6b")]
    loss: Vec<LossShare>,
    /// Milliseconds between messages of a stream.
    #[arg(long, value_delimiter = ',', default_value = "2,20,350")]
    gap_ms: Vec<u64>,
    /// Round-trip times of the wire, in milliseconds.
    #[arg(long, value_delimiter = ',', default_value = "0,20,80")]
    rtt_ms: Vec<u64>,
    /// Messages of each arm in each cell.
    #[arg(long, default_value_t = 3_000, value_parser = clap::value_parser!(u64).range(100..=1_000_000))]
    messages: u64,
    /// The same in cells with a loss of 1 % and less: a p99.9 of 30,000 stands on 30 of them.
    #[arg(long, default_value_t = 30_000, value_parser = clap::value_parser!(u64).range(100..=1_000_000))]
    tail_messages: u64,
    /// Rounds in which each arm is measured alone without loss, for its cost; 0 is none.
    #[arg(long, default_value_t = 7, value_parser = clap::value_parser!(u32).range(0..=100))]
    cost_rounds: u32,
    /// Of losses and phases.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Keeps the result as `accel/NAME.json` and `accel/NAME.md` there.
    #[arg(long, num_args = 0..=1, default_missing_value = "loss", value_name = "NAME")]
    save: Option<String>,
    /// Where results are.
    #[arg(long, default_value = "bench/results")]
    results_dir: PathBuf,
}

/// A share as on the command line: `3`, or `3b` in bursts.
#[derive(Debug, Clone, Copy, PartialEq)]
struct LossShare {
    percent: f64,
    in_bursts: bool,
}

impl FromStr for LossShare {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bare = text.strip_suffix('b');
        let percent: Option<f64> = bare.unwrap_or(text).parse().ok();
        match percent.filter(|percent| (0.0..=50.0).contains(percent)) {
            Some(percent) => Ok(Self { percent, in_bursts: bare.is_some() }),
            None => Err("expected a percentage up to 50, such as 3, or 3b for outages".to_owned()),
        }
    }
}

/// How a connection's TCP is set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Arm {
    /// Not at all: Nagle's algorithm is on.
    Naive,
    /// `TCP_NODELAY` at the sender.
    Nodelay,
    /// The leg's profile by `setsockopt`: the control.
    Setsockopt(Leg),
    /// The leg's profile by the `sock_ops` program.
    Ebpf(Leg),
}

pub(super) const ARMS: [(&str, Arm); 6] = [
    ("naive", Arm::Naive),
    ("nodelay", Arm::Nodelay),
    ("mesh-setsockopt", Arm::Setsockopt(Leg::Mesh)),
    ("mesh-ebpf", Arm::Ebpf(Leg::Mesh)),
    ("agent-setsockopt", Arm::Setsockopt(Leg::Agent)),
    ("agent-ebpf", Arm::Ebpf(Leg::Agent)),
];

#[derive(Debug, Serialize)]
struct Document {
    schema: u32,
    name: String,
    messages: u64,
    tail_messages: u64,
    seed: u64,
    facts: Facts,
    cost_rounds: u32,
    costs: Vec<Cost>,
    cells: Vec<Cell>,
}

#[derive(Debug, Serialize)]
struct Cell {
    loss_percent: f64,
    outage_ms: u64,
    gap_ms: u64,
    rtt_ms: u64,
    streams: usize,
    arms: Vec<ArmResult>,
}

/// Times in milliseconds.
#[derive(Debug, Serialize)]
struct ArmResult {
    arm: &'static str,
    sent: u64,
    received: u64,
    p50: f64,
    p90: f64,
    p99: f64,
    p999: f64,
    max: f64,
    /// Packets with data that came to the wire, and that it lost.
    wire_packets: u64,
    wire_lost: u64,
    /// As the sending kernel counts them.
    segments: u64,
    retransmits: u64,
    /// Retransmissions that the peer said it had no need of.
    spurious: u64,
}

/// Runs every cell, all arms at once in each, connection by connection.
///
/// # Errors
/// Where the laboratory cannot be made or eBPF cannot be had.
pub fn run(arguments: &LossArguments) -> Result<()> {
    stop::listen()?;
    // Before any socket: those of the program's cgroup are what it sees.
    let accel = Accel::start(AccelConfig::default())?;
    if let Some(why) = accel.legs().unmeasured {
        bail!("the eBPF arms cannot run: {why}");
    }
    let wire = Wire::towards_client(Duration::ZERO, Loss::NONE, arguments.seed);
    let lab = Lab::new(wire)?;
    let listeners = lab.server.within(|| listen(&accel))?;
    let mut document = Document {
        schema: 2,
        name: arguments.save.clone().unwrap_or_else(|| "loss".to_owned()),
        messages: arguments.messages,
        tail_messages: arguments.tail_messages,
        seed: arguments.seed,
        facts: Facts::collect(None),
        cost_rounds: arguments.cost_rounds,
        costs: cost::measure(&lab, &listeners, arguments.cost_rounds, arguments.seed)?,
        cells: Vec::new(),
    };
    println!("{}\n{HEAD}", cost::table(&document.costs));
    for rtt_ms in &arguments.rtt_ms {
        for gap_ms in &arguments.gap_ms {
            for loss in &arguments.loss {
                let cell = cell(arguments, &lab, &listeners, *loss, *gap_ms, *rtt_ms)?;
                print!("{}", rows(&cell));
                document.cells.push(cell);
            }
        }
    }
    if arguments.save.is_some() {
        save(&document, &arguments.results_dir)?;
    }
    Ok(())
}

fn listen(accel: &Accel) -> Result<Vec<TcpListener>> {
    let listeners = ARMS.iter().map(|(_, arm)| {
        let listener = TcpListener::bind((SERVER, 0))?;
        if let Arm::Ebpf(leg) = arm {
            accel.set_port(*leg, listener.local_addr()?.port())?;
        }
        Ok(listener)
    });
    listeners.collect()
}

fn cell(
    arguments: &LossArguments,
    lab: &Lab,
    listeners: &[TcpListener],
    loss: LossShare,
    gap_ms: u64,
    rtt_ms: u64,
) -> Result<Cell> {
    let outage = if loss.in_bursts { OUTAGE } else { Duration::ZERO };
    let share = Loss { share: loss.percent / 100.0, outage };
    lab.set_wire(Wire::towards_client(Duration::from_millis(rtt_ms), share, arguments.seed));
    let (messages, count) = size_of_cell(arguments, loss, gap_ms);
    let mut all = Vec::new();
    for (at, (listener, (_, arm))) in listeners.iter().zip(ARMS).enumerate() {
        let streams = streams::connect(lab, listener, at, count)?;
        streams.iter().try_for_each(|stream| set_up(stream, arm))?;
        all.extend(streams);
    }
    lab.take_flows();
    let each = messages.div_ceil(count as u64);
    let (received, _) =
        streams::exchange(&all, ARMS.len(), each, Duration::from_millis(gap_ms), arguments.seed)?;
    let flows = lab.take_flows();
    let results =
        received.iter().zip(ARMS).zip(listeners).enumerate().map(|(at, ((got, (name, _)), listener))| {
            let ms = |quantile: f64| got.latencies.value_at_quantile(quantile) as f64 / 1e6;
            let flow = flows.get(&listener.local_addr()?.port()).copied().unwrap_or_default();
            let own = all.iter().filter(|stream| stream.arm == at);
            let paths: Vec<_> = own.filter_map(|stream| path_quality(stream.server.as_fd())).collect();
            Ok(ArmResult {
                arm: name,
                sent: got.sent,
                received: got.latencies.len(),
                p50: ms(0.5),
                p90: ms(0.9),
                p99: ms(0.99),
                p999: ms(0.999),
                max: ms(1.0),
                wire_packets: flow.packets,
                wire_lost: flow.lost,
                segments: paths.iter().map(|path| u64::from(path.segments)).sum(),
                retransmits: paths.iter().map(|path| u64::from(path.retransmits)).sum(),
                spurious: paths.iter().map(|path| u64::from(path.spurious)).sum(),
            })
        });
    let arms = results.collect::<Result<_>>()?;
    let outage_ms = outage.as_millis() as u64;
    Ok(Cell { loss_percent: loss.percent, outage_ms, gap_ms, rtt_ms, streams: count, arms })
}

/// Messages of an arm, and streams that they are spread over: so that a cell takes some seconds whatever the gap,
/// and half a minute where there are many.
fn size_of_cell(arguments: &LossArguments, loss: LossShare, gap_ms: u64) -> (u64, usize) {
    if loss.percent > 0.0 && loss.percent <= 1.0 {
        (arguments.tail_messages, (gap_ms * 5 / 2).clamp(5, 360) as usize)
    } else {
        (arguments.messages, (gap_ms / 5 + 3).min(60) as usize)
    }
}

pub(super) fn set_up(stream: &Stream, arm: Arm) -> Result<()> {
    match arm {
        Arm::Naive | Arm::Ebpf(_) => {}
        Arm::Nodelay => stream.server.set_nodelay(true)?,
        Arm::Setsockopt(leg) => {
            apply_profile(stream.server.as_fd(), &leg.profile());
            // Both ends of the mesh are ours; a client's is not.
            if leg == Leg::Mesh {
                apply_profile(stream.client.as_fd(), &leg.profile());
            }
        }
    }
    Ok(())
}

const HEAD: &str = "\
| RTT ms | gap ms | loss % | arm | p50 ms | p90 ms | p99 ms | p99.9 ms | max ms | missing | lost on the wire | \
sent again | for nothing |\n|---|---|---|---|---|---|---|---|---|---|---|---|---|";

fn rows(cell: &Cell) -> String {
    let mut text = String::new();
    let loss = format!("{}{}", cell.loss_percent, if cell.outage_ms > 0 { " in outages" } else { "" });
    for arm in &cell.arms {
        // Writing to a String does not fail.
        let _ = writeln!(
            text,
            "| {} | {} | {loss} | {} | {:.2} | {:.2} | {:.2} | {:.2} | {:.1} | {} | {} of {} | {} of {} | {} |",
            cell.rtt_ms,
            cell.gap_ms,
            arm.arm,
            arm.p50,
            arm.p90,
            arm.p99,
            arm.p999,
            arm.max,
            arm.sent - arm.received,
            arm.wire_lost,
            arm.wire_packets,
            arm.retransmits,
            arm.segments,
            arm.spurious
        );
    }
    text
}

fn save(document: &Document, results_dir: &std::path::Path) -> Result<()> {
    let dir = results_dir.join("accel");
    std::fs::create_dir_all(&dir).with_context(|| dir.display().to_string())?;
    let facts = &document.facts;
    let mut text = format!(
        "# Thin streams on a wire that loses packets\n\n\
         `waggle-bench accel-loss`, {} messages of {} bytes for each arm and cell, {} with a loss of 1 % and less, all \
         arms of a cell at once. Packets with data towards the client are lost; acknowledgements are not. `mesh`: both ends have the \
         profile; `agent`: the server's end only.\n\n\
         {}; {} × {}, {} MiB, Linux {}; commit {}{}.\n\n\
         ## What it costs without loss\n\n\
         Each arm alone, in turn, medians of {} rounds: processor time for a message of the sending thread (with what its \
         kernel does for it up to the wire), and of all, which is both hosts and the wire in user space; with the change \
         against `nodelay` of the same round.\n\n{}\n\
         ## With loss\n\n{HEAD}\n",
        document.messages,
        streams::MESSAGE_BYTES,
        document.tail_messages,
        facts.date,
        facts.cores,
        facts.cpu,
        facts.memory_mib,
        facts.kernel,
        facts.git_revision,
        if facts.git_dirty { " with changes" } else { "" },
        document.cost_rounds,
        cost::table(&document.costs),
    );
    document.cells.iter().for_each(|cell| text.push_str(&rows(cell)));
    std::fs::write(dir.join(format!("{}.md", document.name)), text)?;
    let json = serde_json::to_string(document)? + "\n";
    std::fs::write(dir.join(format!("{}.json", document.name)), json)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_of_loss_are_percent_with_or_without_bursts() {
        assert_eq!("3".parse(), Ok(LossShare { percent: 3.0, in_bursts: false }));
        assert_eq!("0.5b".parse(), Ok(LossShare { percent: 0.5, in_bursts: true }));
        for text in ["", "b", "-1", "51", "NaN", "3bb"] {
            assert!(text.parse::<LossShare>().is_err(), "{text}");
        }
    }
}
