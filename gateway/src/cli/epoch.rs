//! `waggle admin epoch`: says that a log is not the log any more that clients have cursors in.

use clap::Subcommand;
use serde_json::{Value, json};

use super::admin::{Admin, find_tenant};
use super::output::{Output, print, print_json, print_table};
use crate::store::{AuditActor, AuditEntry};

#[derive(Subcommand)]
pub(super) enum EpochAction {
    /// List all tenants' epochs.
    List,
    /// After a backup was restored, and before the gateway starts: clients that have seen more than the backup has read
    /// everything anew, in place of taking other events for those that they know.
    Renew {
        /// Of this tenant alone, by name or number; of all where not given.
        #[arg(long)]
        tenant: Option<String>,
    },
}

impl EpochAction {
    /// A gateway has epochs in memory: they change only while none runs.
    pub(super) fn needs_lock(&self) -> bool {
        matches!(self, Self::Renew { .. })
    }
}

pub(super) async fn run(admin: &Admin, action: EpochAction) -> anyhow::Result<()> {
    let rows = admin.store.directory().await?;
    let mut tenants = rows.tenants.clone();
    if let EpochAction::Renew { tenant } = action {
        if let Some(tenant) = tenant {
            let tenant = find_tenant(&rows, &tenant)?;
            tenants.retain(|row| row.id == tenant);
        }
        for row in &mut tenants {
            let object = format!("tenant:{}", row.id);
            let audit = AuditEntry::new(row.id, AuditActor::Operator, "epoch.renewed", object)
                .with("from", row.epoch.to_string());
            row.epoch = admin.store.renew_epoch(row.id, audit).await?;
        }
        if tenants.is_empty() && admin.output == Output::Human {
            return print("there are no tenants\n");
        }
    }
    match admin.output {
        Output::Json => print_json(&Value::from(
            tenants
                .iter()
                .map(|row| json!({"tenant": row.id, "name": row.name, "epoch": row.epoch}))
                .collect::<Vec<_>>(),
        )),
        Output::Human => {
            let lines: Vec<_> = tenants
                .iter()
                .map(|row| vec![row.id.to_string(), row.name.clone(), row.epoch.to_string()])
                .collect();
            print_table(&["ID", "TENANT", "EPOCH"], &lines)
        }
    }
}
