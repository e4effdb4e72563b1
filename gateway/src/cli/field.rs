//! `waggle admin field`: custom fields of tickets.

use std::path::PathBuf;

use anyhow::bail;
use clap::Subcommand;
use serde_json::{Value, json};
use waggle_core::id::TenantId;
use waggle_core::ticket::FieldDef;

use super::admin::{Admin, find_tenant};
use super::input::read_json;
use super::output::{Output, print, print_json, print_table};
use crate::store::{AuditActor, AuditEntry, DirectoryRows, StoreError};

/// Custom fields of tickets.
#[derive(Subcommand)]
pub(super) enum FieldAction {
    /// List a tenant's; as JSON, each as `set` takes it.
    List {
        /// The tenant's name or number.
        #[arg(long)]
        tenant: String,
    },
    /// Define a field, or another definition of the field with its key.
    Set {
        /// The tenant's name or number.
        #[arg(long)]
        tenant: String,
        /// A file of JSON with key, name, type, and where wanted choices, required and default; `-` is standard input.
        file: PathBuf,
    },
    /// Delete a field; values that tickets have stay with them, and are changed no more.
    Delete {
        /// The tenant's name or number.
        #[arg(long)]
        tenant: String,
        /// Its key.
        key: String,
    },
}

pub(super) async fn run(admin: &Admin, action: FieldAction) -> anyhow::Result<()> {
    let rows = admin.store.directory().await?;
    match action {
        FieldAction::List { tenant } => list(admin.output, &rows, find_tenant(&rows, &tenant)?),
        FieldAction::Set { tenant, file } => {
            let tenant = find_tenant(&rows, &tenant)?;
            let field: FieldDef = read_json(&file, "definition of a field")?;
            let field = field.checked()?;
            let known = of(&rows, tenant).find(|known| known.key == field.key);
            match known {
                None => {
                    let audit = entry(tenant, "field.created", &field);
                    admin.store.create_field(tenant, &field, audit).await?;
                }
                Some(known) if known.kind == field.kind => {
                    let audit = entry(tenant, "field.changed", &field);
                    admin.store.change_field(tenant, &field, audit).await?;
                }
                Some(known) => bail!(
                    "the field {:?} is of the type {}, which stays as it is, for tickets have values of it; add \
                     another field",
                    known.key,
                    kind(known)
                ),
            }
            match admin.output {
                Output::Json => print_json(&json!({"key": field.key, "new": known.is_none()})),
                Output::Human => print(&format!("field {:?} is saved\n", field.key)),
            }
        }
        FieldAction::Delete { tenant, key } => {
            let tenant = find_tenant(&rows, &tenant)?;
            let missing = || StoreError::Missing { kind: "field", name: key.clone() };
            let field = of(&rows, tenant).find(|known| known.key == key).ok_or_else(missing)?;
            admin.store.delete_field(tenant, &key, entry(tenant, "field.deleted", field)).await?;
            match admin.output {
                Output::Json => print_json(&json!({"key": key, "deleted": true})),
                Output::Human => print(&format!("field {key:?} is deleted\n")),
            }
        }
    }
}

fn of(rows: &DirectoryRows, tenant: TenantId) -> impl Iterator<Item = &FieldDef> {
    rows.fields.iter().filter(move |row| row.tenant == tenant).map(|row| &row.field)
}

fn entry(tenant: TenantId, action: &'static str, field: &FieldDef) -> AuditEntry {
    let entry = AuditEntry::new(tenant, AuditActor::Operator, action, format_args!("field:{}", field.key));
    entry.with("definition", serde_json::to_value(field).unwrap_or_default())
}

fn list(output: Output, rows: &DirectoryRows, tenant: TenantId) -> anyhow::Result<()> {
    match output {
        Output::Json => {
            let fields = of(rows, tenant).map(serde_json::to_value).collect::<Result<Vec<_>, _>>()?;
            print_json(&Value::from(fields))
        }
        Output::Human => {
            let line = |field: &FieldDef| {
                let required = word(serde_json::to_value(field.required));
                vec![field.key.clone(), field.name.clone(), kind(field), required, field.choices.join(" ")]
            };
            let heading = ["KEY", "NAME", "TYPE", "REQUIRED", "CHOICES"];
            print_table(&heading, &of(rows, tenant).map(line).collect::<Vec<_>>())
        }
    }
}

fn kind(field: &FieldDef) -> String {
    word(serde_json::to_value(field.kind))
}

/// As it is on the wire.
fn word(value: serde_json::Result<Value>) -> String {
    value.ok().and_then(|value| value.as_str().map(str::to_owned)).unwrap_or_default()
}
