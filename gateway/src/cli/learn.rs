//! `waggle admin learn`: models of the assistant.

use clap::Subcommand;
use serde_json::Value;

use super::admin::{Admin, find_tenant};
use super::output::{Output, print_json, print_table};
use crate::data_dir::DataDir;
use crate::learn::{self, Checked, CheckedSnapshot};

/// What to do with models.
#[derive(Subcommand)]
pub(super) enum LearnAction {
    /// Fold the log, print the model's digest, and compare the file that a gateway starts with. It changes nothing, and
    /// may run beside a gateway.
    Check {
        /// Of this tenant alone.
        #[arg(long)]
        tenant: Option<String>,
    },
}

pub(super) async fn run(admin: &Admin, dir: &DataDir, action: LearnAction) -> anyhow::Result<()> {
    let LearnAction::Check { tenant } = action;
    let rows = admin.store.directory().await?;
    let only = tenant.map(|name| find_tenant(&rows, &name)).transpose()?;
    let mut checked = Vec::new();
    for row in rows.tenants.iter().filter(|row| only.is_none_or(|only| only == row.id)) {
        checked.push(learn::check(admin.store.as_ref(), &dir.learn(), row.id, row.epoch).await?);
    }
    match admin.output {
        Output::Json => {
            let all = checked.iter().map(serde_json::to_value).collect::<Result<Vec<_>, _>>()?;
            print_json(&Value::from(all))?;
        }
        Output::Human => {
            let lines: Vec<_> = checked.iter().map(line).collect();
            print_table(&["TENANT", "OFFSET", "DIGEST", "FILE"], &lines)?;
        }
    }
    let different = checked.iter().filter(|it| matches!(it.snapshot, CheckedSnapshot::Different { .. }));
    match different.count() {
        0 => Ok(()),
        count => anyhow::bail!(
            "{count} files are not the folds of their logs; take them away and start the gateway: it folds the logs anew"
        ),
    }
}

fn line(checked: &Checked) -> Vec<String> {
    let file = match &checked.snapshot {
        CheckedSnapshot::None => "none".to_owned(),
        CheckedSnapshot::Same { offset } => format!("same, at {offset}"),
        CheckedSnapshot::Different { offset, .. } => format!("DIFFERENT, at {offset}"),
        CheckedSnapshot::Superseded { offset } => format!("superseded, at {offset}"),
        CheckedSnapshot::Unusable { why } => format!("not used: {why}"),
    };
    vec![checked.tenant.to_string(), checked.offset.to_string(), checked.digest.clone(), file]
}
