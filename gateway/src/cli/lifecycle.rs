//! `waggle admin lifecycle`: statuses and the moves between them.

use std::path::PathBuf;

use anyhow::{Context, bail};
use clap::Subcommand;
use serde_json::{Value, json};
use waggle_core::id::{QueueId, TenantId};
use waggle_core::ticket::{Lifecycle, Lifecycles};

use super::input::read_json;
use super::output::{Output, print, print_json, print_table};
use crate::directory::Directory;
use crate::lifecycle::{InUse, LifecycleAdmin, StatusMap};
use crate::store::{AuditActor, QueueRow, Store};

#[derive(Subcommand)]
pub(super) enum LifecycleAction {
    /// List a tenant's.
    List {
        /// The tenant's name or number.
        #[arg(long)]
        tenant: String,
    },
    /// Show one: as JSON, which `check` and `set` take again.
    Show {
        /// The tenant's name or number.
        #[arg(long)]
        tenant: String,
        /// Its name.
        name: String,
    },
    /// Say everything that is wrong with a lifecycle; nothing is saved.
    Check {
        /// The tenant's name or number.
        #[arg(long)]
        tenant: String,
        /// Its name.
        name: String,
        /// A file of JSON: statuses, edges, defaults; `-` is standard input.
        file: PathBuf,
        /// What tickets get whose status is removed: `OLD=NEW`, as often as needed.
        #[arg(long, value_name = "OLD=NEW", value_parser = pair)]
        map: Vec<(String, String)>,
    },
    /// Save a lifecycle, new or in place of the one that has its name. Every status that is removed needs a `--map`.
    Set {
        /// The tenant's name or number.
        #[arg(long)]
        tenant: String,
        /// Its name.
        name: String,
        /// A file of JSON: statuses, edges, defaults; `-` is standard input.
        file: PathBuf,
        /// What tickets get whose status is removed: `OLD=NEW`, as often as needed.
        #[arg(long, value_name = "OLD=NEW", value_parser = pair)]
        map: Vec<(String, String)>,
    },
    /// Give a queue another lifecycle; its tickets follow when a gateway runs.
    Give {
        /// The tenant's name or number.
        #[arg(long)]
        tenant: String,
        /// The queue's name or number.
        #[arg(long)]
        queue: String,
        /// The lifecycle's name.
        name: String,
        /// What tickets get: `OLD=NEW`, for each status of the old lifecycle that `from` of the new one does not name.
        #[arg(long, value_name = "OLD=NEW", value_parser = pair)]
        map: Vec<(String, String)>,
    },
}

impl LifecycleAction {
    pub(super) fn tenant(&self) -> &str {
        match self {
            Self::List { tenant }
            | Self::Show { tenant, .. }
            | Self::Check { tenant, .. }
            | Self::Set { tenant, .. }
            | Self::Give { tenant, .. } => tenant,
        }
    }
}

pub(super) async fn run(
    store: &dyn Store,
    output: Output,
    tenant: TenantId,
    action: LifecycleAction,
) -> anyhow::Result<()> {
    let directory = Directory::open(store).await?;
    let admin = LifecycleAdmin {
        store,
        directory: &directory,
        tenant,
        actor: AuditActor::Operator,
        // A gateway that runs here knows what tickets have, and is not asked.
        in_use: InUse::Assumed,
    };
    match action {
        LifecycleAction::List { .. } => {
            list(output, &directory.lifecycles(tenant), &directory.queues(tenant))
        }
        LifecycleAction::Show { name, .. } => {
            let lifecycles = directory.lifecycles(tenant);
            let Some(found) = lifecycles.named(&name) else { bail!("there is no lifecycle {name:?}") };
            print(&format!("{}\n", serde_json::to_string_pretty(found.spec())?))
        }
        LifecycleAction::Check { name, file, map, .. } => {
            let faults =
                admin.check(&name, &read_json(&file, "lifecycle")?, &map.into_iter().collect()).await?;
            let told: Vec<String> = faults.iter().map(ToString::to_string).collect();
            match output {
                Output::Json => print_json(&json!({"ok": told.is_empty(), "faults": told}))?,
                Output::Human if told.is_empty() => print("nothing is wrong with it\n")?,
                Output::Human => print(&format!("{}\n", told.join("\n")))?,
            }
            if told.is_empty() { Ok(()) } else { bail!("the lifecycle has {} faults", told.len()) }
        }
        LifecycleAction::Set { name, file, map, .. } => {
            let map: StatusMap = map.into_iter().collect();
            let is_new = admin.save(&name, &read_json(&file, "lifecycle")?, &map).await?;
            match output {
                Output::Json => print_json(&json!({"name": name, "new": is_new})),
                Output::Human => print(&format!("lifecycle {name:?} is saved\n")),
            }
        }
        LifecycleAction::Give { queue, name, map, .. } => {
            let queue = find_queue(&directory.queues(tenant), &queue)?;
            admin.give(queue, &name, &map.into_iter().collect()).await?;
            match output {
                Output::Json => print_json(&json!({"queue": queue, "lifecycle": name})),
                Output::Human => print(&format!("queue {queue} has the lifecycle {name:?}\n")),
            }
        }
    }
}

fn list(output: Output, lifecycles: &Lifecycles, queues: &[QueueRow]) -> anyhow::Result<()> {
    let statuses = |lifecycle: &Lifecycle| -> Vec<String> {
        lifecycle.statuses().iter().map(|status| lifecycles.name(*status).to_owned()).collect()
    };
    let having = |lifecycle: &Lifecycle| -> Vec<String> {
        let having = queues.iter().filter(|queue| queue.lifecycle == lifecycle.id());
        having.map(|queue| queue.name.clone()).collect()
    };
    match output {
        Output::Json => print_json(&Value::from(
            lifecycles
                .all()
                .iter()
                .map(|of| json!({"name": of.name(), "statuses": statuses(of), "queues": having(of)}))
                .collect::<Vec<_>>(),
        )),
        Output::Human => {
            let line =
                |of: &Lifecycle| vec![of.name().to_owned(), statuses(of).join(" "), having(of).join(" ")];
            print_table(
                &["NAME", "STATUSES", "QUEUES"],
                &lifecycles.all().iter().map(line).collect::<Vec<_>>(),
            )
        }
    }
}

fn find_queue(queues: &[QueueRow], wanted: &str) -> anyhow::Result<QueueId> {
    let by_name = queues.iter().find(|row| row.name == wanted);
    let found = by_name.or_else(|| queues.iter().find(|row| row.id.to_string() == wanted));
    found.map(|row| row.id).with_context(|| format!("there is no queue {wanted}"))
}

/// `OLD=NEW` on the command line.
fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((old, new)) if !old.is_empty() && !new.is_empty() => Ok((old.to_owned(), new.to_owned())),
        _ => Err("expected OLD=NEW: a removed status and the one that its tickets get".to_owned()),
    }
}
