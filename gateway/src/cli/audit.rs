//! `waggle admin audit`: what was done that matters for security.

use anyhow::Context;
use clap::Subcommand;
use serde_json::{Value, json};
use waggle_core::id::TenantId;
use waggle_core::limits::{PAGE_ROWS_DEFAULT, PAGE_ROWS_MAX};

use super::output::{Output, print, print_json, print_table, visible};
use crate::store::{AuditFilter, AuditHead, AuditRow, Hex, Store, verify_audit};

#[derive(Subcommand)]
pub(super) enum AuditAction {
    /// List a tenant's audit log, newest first.
    List {
        /// The tenant's name or number.
        #[arg(long)]
        tenant: String,
        /// By whom: `agent:3`, `operator`, `nobody`, `system`.
        #[arg(long)]
        actor: Option<String>,
        /// Of which action; one that ends in a dot is all that begin with it: `login.`.
        #[arg(long)]
        action: Option<String>,
        /// Done to what: `agent:3`, `token:7`.
        #[arg(long)]
        object: Option<String>,
        /// Rows with numbers below this.
        #[arg(long, value_name = "ROW")]
        before: Option<u64>,
        /// How many at most.
        #[arg(long, default_value_t = PAGE_ROWS_DEFAULT, value_parser = clap::value_parser!(u32).range(1..=i64::from(PAGE_ROWS_MAX)))]
        limit: u32,
    },
    /// Prove that no row of a tenant's audit log was changed or taken out; prints the log's head, to be kept elsewhere.
    Verify {
        /// The tenant's name or number.
        #[arg(long)]
        tenant: String,
        /// A head that was kept: proves also that what was there then is there now.
        #[arg(long, value_name = "ROW:HASH", value_parser = head)]
        head: Option<AuditHead>,
    },
}

impl AuditAction {
    pub(super) fn tenant(&self) -> &str {
        match self {
            Self::List { tenant, .. } | Self::Verify { tenant, .. } => tenant,
        }
    }
}

pub(super) async fn run(
    store: &dyn Store,
    output: Output,
    tenant: TenantId,
    action: AuditAction,
) -> anyhow::Result<()> {
    match action {
        AuditAction::List { actor, action, object, before, limit, .. } => {
            let filter = AuditFilter { actor, action, object, from: None, until: None };
            list(output, &store.audit_rows(tenant, &filter, before, limit).await?)
        }
        AuditAction::Verify { head, .. } => {
            let head = verify_audit(store, tenant, head).await.context("the audit log does not hold")?;
            match output {
                Output::Json => print_json(&json!({"rows": head.id, "head": head.to_string()})),
                Output::Human => {
                    print(&format!("{} rows hold; keep their head elsewhere:\n{head}\n", head.id))
                }
            }
        }
    }
}

fn list(output: Output, rows: &[AuditRow]) -> anyhow::Result<()> {
    match output {
        Output::Json => print_json(&rows.iter().map(value).collect()),
        Output::Human => {
            let line = |row: &AuditRow| {
                let texts = [&row.actor, &row.action, &row.object, &row.detail].map(|text| visible(text));
                [row.id.to_string(), row.at.0.to_string()].into_iter().chain(texts).collect()
            };
            let heading = ["ROW", "AT (MS)", "ACTOR", "ACTION", "OBJECT", "DETAIL"];
            print_table(&heading, &rows.iter().map(line).collect::<Vec<_>>())
        }
    }
}

fn value(row: &AuditRow) -> Value {
    json!({
        "id": row.id, "at": row.at, "actor": row.actor, "action": row.action, "object": row.object,
        "detail": serde_json::from_str(&row.detail).unwrap_or(Value::Null), "hash": Hex(&row.hash).to_string(),
    })
}

fn head(text: &str) -> Result<AuditHead, String> {
    let parsed = text.split_once(':').and_then(|(id, hash)| {
        let mut bytes = [0; 32];
        let digits = hash.as_bytes().chunks_exact(2);
        if hash.len() != 64 || !hash.is_ascii() {
            return None;
        }
        for (byte, pair) in bytes.iter_mut().zip(digits) {
            *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
        }
        Some(AuditHead { id: id.parse().ok()?, hash: bytes })
    });
    parsed.ok_or_else(|| {
        "expected a head as `verify` prints it: a number, a colon and 64 hexadecimal digits".to_owned()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_are_read_as_they_are_printed() {
        let printed = AuditHead { id: 17, hash: [0xab; 32] };
        assert_eq!(head(&printed.to_string()), Ok(printed));
        for text in ["", "17", "17:ab", &format!("x:{}", "ab".repeat(32)), &format!("1:{}", "zz".repeat(32))]
        {
            assert!(head(text).is_err(), "{text}");
        }
    }
}
