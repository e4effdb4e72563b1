//! `waggle admin view`: saved views.

use clap::Subcommand;
use serde_json::json;
use waggle_core::id::SavedViewId;

use super::admin::{Admin, find_tenant};
use super::output::{Output, print, print_json, print_table, visible};
use crate::store::{AuditActor, AuditEntry, SavedViewRow, StoreError};

/// Queries that agents have saved.
#[derive(Subcommand)]
pub(super) enum ViewAction {
    /// List a tenant's, private ones included.
    List {
        /// The tenant's name or number.
        #[arg(long)]
        tenant: String,
    },
    /// Delete one, whoever owns it.
    Delete {
        /// The tenant's name or number.
        #[arg(long)]
        tenant: String,
        /// Its number, as `list` shows it.
        view: SavedViewId,
    },
}

pub(super) async fn run(admin: &Admin, action: ViewAction) -> anyhow::Result<()> {
    let rows = admin.store.directory().await?;
    match action {
        ViewAction::List { tenant } => {
            list(admin.output, &admin.store.saved_views(find_tenant(&rows, &tenant)?).await?)
        }
        ViewAction::Delete { tenant, view } => {
            let tenant = find_tenant(&rows, &tenant)?;
            let found = admin.store.saved_view(tenant, view).await?;
            let row = found.ok_or_else(|| StoreError::Missing { kind: "view", name: view.to_string() })?;
            let audit =
                AuditEntry::new(tenant, AuditActor::Operator, "view.deleted", format_args!("view:{view}"))
                    .with("name", row.name.as_str())
                    .with("query", row.query.as_str())
                    .with("audience", row.audience.to_string())
                    .with("owner", row.owner.0);
            admin.store.delete_saved_view(tenant, view, Some(audit)).await?;
            match admin.output {
                Output::Json => print_json(&json!({"id": view, "deleted": true})),
                Output::Human => print(&format!("view {view} {:?} is deleted\n", row.name)),
            }
        }
    }
}

fn list(output: Output, rows: &[SavedViewRow]) -> anyhow::Result<()> {
    match output {
        Output::Json => print_json(
            &rows
                .iter()
                .map(|row| {
                    json!({
                        "id": row.id, "name": row.name, "owner": row.owner, "audience": row.audience.to_string(),
                        "query": row.query, "sort": row.sort,
                    })
                })
                .collect(),
        ),
        Output::Human => {
            let line = |row: &SavedViewRow| {
                let (id, owner) = (row.id.to_string(), row.owner.to_string());
                vec![id, row.name.clone(), owner, row.audience.to_string(), row.sort.clone(), visible(&row.query)]
            };
            let heading = ["ID", "NAME", "OWNER", "AUDIENCE", "SORT", "QUERY"];
            print_table(&heading, &rows.iter().map(line).collect::<Vec<_>>())
        }
    }
}
