//! `waggle accel`: asks the running gateway, or tells it, over its control socket.

use std::io::Write as _;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::Subcommand;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::accel_check::{self, CheckArgs};
use super::accel_detach::{self, DetachArgs};
use super::output::{Output, print};
use super::{DataDirArg, OutputArg};
use crate::accel::{
    AccelReport, GuardAction, GuardChange, GuardStatus, Leg, LegSettings, LegsReport, Network, StatusFormat,
    print_report,
};
use crate::data_dir::DataDir;
use crate::http::ask_control;

/// `waggle accel`.
#[derive(Subcommand)]
pub(super) enum AccelCommand {
    /// Ask the running gateway what is accelerated, and why the rest is not.
    Status {
        #[command(flatten)]
        data: DataDirArg,
        #[command(flatten)]
        output: OutputArg,
    },
    /// Try what this host can do, and say what to change for more. Needs no running gateway, and leaves
    /// nothing behind.
    #[command(after_help = "Exit code 0 where everything stands on its best rung, else 9.")]
    Check(CheckArgs),
    /// Take programs, maps and cgroups of gateways that have ended out of the kernel. Needs no running gateway.
    #[command(after_help = "Exit code 0 where nothing is left, else 3.")]
    Detach(DetachArgs),
    /// Ask how the legs' paths are: round trips, retransmissions, timeouts.
    Legs {
        /// Ask again every so many seconds, until interrupted.
        #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=3600))]
        watch: Option<u64>,
        #[command(flatten)]
        data: DataDirArg,
        #[command(flatten)]
        output: OutputArg,
    },
    /// Change the TCP settings that connections get from now on; those that there are keep theirs.
    #[command(subcommand)]
    Profile(ProfileCommand),
    /// Who may connect: the XDP program on the interfaces that the configuration names.
    #[command(subcommand)]
    Guard(GuardCommand),
}

/// `waggle accel guard`.
#[derive(Subcommand)]
pub(super) enum GuardCommand {
    /// Show where it is, what it has seen, and its rules.
    Status {
        #[command(flatten)]
        data: DataDirArg,
        #[command(flatten)]
        output: OutputArg,
    },
    /// Take nothing from a network. Unless confirmed in time, the rules before come back.
    #[command(after_help = "Example: waggle accel guard deny 198.51.100.0/24 --for 3600")]
    Deny(ChangeArguments),
    /// Do nothing to a network, whatever else is said of it.
    Allow(ChangeArguments),
    /// Forget what was said of a network.
    Remove(ChangeArguments),
    /// Keep all changes.
    Confirm {
        #[command(flatten)]
        data: DataDirArg,
        #[command(flatten)]
        output: OutputArg,
    },
}

#[derive(clap::Args)]
pub(super) struct ChangeArguments {
    /// An address, or a network such as 198.51.100.0/24.
    network: Network,
    /// Seconds after which the rule ends by itself.
    #[arg(long = "for", value_name = "SECONDS")]
    for_s: Option<u32>,
    /// Seconds after which the rules before come back, unless `waggle accel guard confirm` is said; 0 keeps
    /// them at once.
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    confirm_within: u32,
    #[command(flatten)]
    data: DataDirArg,
    #[command(flatten)]
    output: OutputArg,
}

/// `waggle accel profile`.
#[derive(Subcommand)]
pub(super) enum ProfileCommand {
    /// List what each leg asks for, and what of it is in effect.
    List {
        #[command(flatten)]
        data: DataDirArg,
        #[command(flatten)]
        output: OutputArg,
    },
    /// Change a leg until the gateway ends; to keep it, write it into the configuration.
    #[command(after_help = "Example: waggle accel profile set agent rto_min_us=40000 --network 10.0.0.0/8")]
    Set {
        /// agent, mesh or local.
        #[arg(value_parser = parse_leg)]
        leg: Leg,
        /// A setting and its value; 0 leaves the kernel's own.
        #[arg(value_name = "SETTING=VALUE", value_parser = parse_value)]
        values: Vec<(String, u32)>,
        /// Clients in this network are of the leg, whatever the port; may be given again. Replaces the
        /// networks that the leg has.
        #[arg(long, value_name = "ADDRESS/LENGTH")]
        network: Vec<Network>,
        #[command(flatten)]
        data: DataDirArg,
        #[command(flatten)]
        output: OutputArg,
    },
    /// Go back to what is configured.
    Reset {
        /// agent, mesh or local; all of them where none is named.
        #[arg(value_parser = parse_leg)]
        leg: Option<Leg>,
        #[command(flatten)]
        data: DataDirArg,
        #[command(flatten)]
        output: OutputArg,
    },
}

pub(super) fn run(command: AccelCommand) -> anyhow::Result<()> {
    match command {
        AccelCommand::Status { data, output }
        | AccelCommand::Profile(ProfileCommand::List { data, output }) => {
            show::<AccelReport>(&ask(&data.data_dir, "/accel", None)?, output.output)
        }
        AccelCommand::Check(arguments) => accel_check::run(arguments),
        AccelCommand::Detach(arguments) => accel_detach::run(arguments),
        AccelCommand::Legs { watch, data, output } => loop {
            show::<LegsReport>(&ask(&data.data_dir, "/accel/legs", None)?, output.output)?;
            let Some(seconds) = watch else { return Ok(()) };
            std::thread::sleep(Duration::from_secs(seconds));
            writeln!(std::io::stdout())?;
        },
        AccelCommand::Guard(command) => run_guard(command),
        AccelCommand::Profile(ProfileCommand::Set { leg, values, network, data, output }) => {
            if values.is_empty() && network.is_empty() {
                bail!("nothing to set; expected SETTING=VALUE or --network, such as rto_min_us=40000");
            }
            let mut settings = LegSettings::default();
            values.iter().for_each(|(name, value)| settings.of_mut(leg).set(name, *value));
            if !network.is_empty() {
                settings.of_mut(leg).set_networks(network);
            }
            let status = ask(&data.data_dir, "/accel/profile", Some(&json!(settings)))?;
            show::<AccelReport>(&status, output.output)
        }
        AccelCommand::Profile(ProfileCommand::Reset { leg, data, output }) => {
            let reset = json!({"leg": leg.map(Leg::name)});
            let status = ask(&data.data_dir, "/accel/profile/reset", Some(&reset))?;
            show::<AccelReport>(&status, output.output)
        }
    }
}

fn run_guard(command: GuardCommand) -> anyhow::Result<()> {
    let (action, arguments) = match command {
        GuardCommand::Status { data, output } => {
            return show::<GuardStatus>(&ask(&data.data_dir, "/accel/guard", None)?, output.output);
        }
        GuardCommand::Confirm { data, output } => {
            let status = ask(&data.data_dir, "/accel/guard/confirm", Some(&json!({})))?;
            return show::<GuardStatus>(&status, output.output);
        }
        GuardCommand::Deny(arguments) => (GuardAction::Deny, arguments),
        GuardCommand::Allow(arguments) => (GuardAction::Allow, arguments),
        GuardCommand::Remove(arguments) => (GuardAction::Remove, arguments),
    };
    let ChangeArguments { network, for_s, confirm_within, data, output } = arguments;
    let confirm_within_s = (confirm_within > 0).then_some(confirm_within);
    let change = GuardChange { action, network, for_s, confirm_within_s };
    let status = ask(&data.data_dir, "/accel/guard/change", Some(&json!(change)))?;
    show::<GuardStatus>(&status, output.output)
}

fn ask(data_dir: &Path, path: &str, body: Option<&Value>) -> anyhow::Result<Value> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let socket = DataDir::at(data_dir).control_socket();
    Ok(runtime.block_on(ask_control(&socket, path, body))?)
}

fn show<T: DeserializeOwned + Serialize + std::fmt::Display>(
    value: &Value,
    output: Output,
) -> anyhow::Result<()> {
    let report = T::deserialize(value).context("the gateway's answer is of another version")?;
    print_accel(&report, output)
}

/// Prints a report of the accelerator.
pub(super) fn print_accel(
    report: &(impl Serialize + std::fmt::Display),
    output: Output,
) -> anyhow::Result<()> {
    let format = match output {
        Output::Json => StatusFormat::Json,
        Output::Human => StatusFormat::Text,
    };
    let mut text = Vec::new();
    print_report(report, format, &mut text)?;
    print(&String::from_utf8_lossy(&text))
}

fn parse_leg(word: &str) -> Result<Leg, String> {
    Leg::from_name(word).ok_or_else(|| "expected agent, mesh or local".to_owned())
}

fn parse_value(text: &str) -> Result<(String, u32), String> {
    let parsed = text.split_once('=').and_then(|(name, value)| Some((name, value.parse().ok()?)));
    let (name, value) = parsed.ok_or("expected a setting and a number, such as rto_min_us=40000")?;
    Ok((name.to_owned(), value))
}
