//! `waggle admin queue`: where tickets wait.

use clap::Subcommand;
use serde_json::json;
use waggle_core::name::Name;

use super::admin::{Admin, find_tenant, name};
use super::output::{Output, print, print_json};
use super::people::find_queue;
use crate::store::{AuditActor, Named};

/// Where tickets wait.
#[derive(Subcommand)]
pub(super) enum QueueAction {
    /// Make one.
    Create {
        /// The tenant's name or number.
        #[arg(long)]
        tenant: String,
        /// Its name, unique within the tenant.
        #[arg(value_parser = name)]
        name: String,
    },
    /// List a tenant's.
    List {
        /// The tenant's name or number.
        #[arg(long)]
        tenant: String,
    },
    /// Give one another name; its number stays.
    Rename {
        /// The tenant's name or number.
        #[arg(long)]
        tenant: String,
        /// The queue's name or number.
        queue: String,
        /// Its new name, unique within the tenant.
        #[arg(value_parser = name)]
        name: String,
    },
}

pub(super) async fn run(admin: &Admin, action: QueueAction) -> anyhow::Result<()> {
    let rows = admin.store.directory().await?;
    match action {
        QueueAction::Create { tenant, name } => {
            let tenant = find_tenant(&rows, &tenant)?;
            let row = admin.store.add_queue(AuditActor::Operator, tenant, &Name::parse(&name)?).await?;
            admin.made("queue", u64::from(row.id.0), &row.name)
        }
        QueueAction::List { tenant } => {
            let tenant = find_tenant(&rows, &tenant)?;
            let queues = rows.queues.iter().filter(|row| row.tenant == tenant);
            admin.list(queues.map(|row| (u64::from(row.id.0), row.name.as_str())))
        }
        QueueAction::Rename { tenant, queue, name } => {
            let tenant = find_tenant(&rows, &tenant)?;
            let queue = find_queue(&rows, tenant, &queue)?;
            let name = Name::parse(&name)?;
            admin.store.rename(AuditActor::Operator, tenant, Named::Queue(queue), &name).await?;
            match admin.output {
                Output::Json => print_json(&json!({"id": queue, "name": name.as_str()})),
                Output::Human => print(&format!("queue {queue} is called {:?} now\n", name.as_str())),
            }
        }
    }
}
