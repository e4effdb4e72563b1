//! `waggle admin token`: what agents and programs show to be let in.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, bail};
use clap::Subcommand;
use serde_json::json;
use waggle_core::id::TenantId;
use waggle_core::time::Timestamp;

use super::admin::{Admin, find_agent, find_tenant, name};
use super::output::{Output, print, print_json, print_table};
use crate::directory::Token;
use crate::store::{AuditActor, AuditEntry, DirectoryRows, NewToken, Scope, Scopes, TokenRow, UnknownScope};

#[derive(Subcommand)]
pub(super) enum TokenAction {
    /// Make a token and show it, once.
    Create {
        /// The tenant's name or number.
        #[arg(long)]
        tenant: String,
        /// The agent as whom it acts: name or number.
        #[arg(long)]
        agent: String,
        /// What it allows, with commas: `read` to read what the agent may, `agent` to work on tickets, `admin` for
        /// that and the tenant's administration.
        #[arg(long, default_value = "agent", value_parser = scopes)]
        scope: Scopes,
        /// What it is for.
        #[arg(long, value_parser = name)]
        name: Option<String>,
        /// Days until it expires; never where not given.
        #[arg(long, value_name = "DAYS", value_parser = clap::value_parser!(u32).range(1..=36_500))]
        expires_in_days: Option<u32>,
    },
    /// List a tenant's, without the secrets, which nobody has.
    List {
        /// The tenant's name or number.
        #[arg(long)]
        tenant: String,
    },
    /// End a token: its sessions are closed within a second.
    Revoke {
        /// The tenant's name or number.
        #[arg(long)]
        tenant: String,
        /// The token's number, as `list` shows it.
        token: u64,
    },
}

fn scopes(text: &str) -> Result<Scopes, UnknownScope> {
    text.replace(',', " ").parse()
}

pub(super) async fn run(admin: &Admin, action: TokenAction) -> anyhow::Result<()> {
    let rows = admin.store.directory().await?;
    match action {
        TokenAction::Create { tenant, agent, scope, name, expires_in_days } => {
            let tenant = find_tenant(&rows, &tenant)?;
            let agent = find_agent(&rows, tenant, &agent)?;
            let expires_at = expires_in_days.map(in_days).transpose()?;
            let token = Token::make().map_err(|error| anyhow::anyhow!("no random bytes: {error}"))?;
            let object = format!("agent:{agent}");
            let audit = AuditEntry::new(tenant, AuditActor::Operator, "token.created", object)
                .with("scopes", scope.to_string())
                .with("expires_at", expires_at.map(|at| at.0));
            let name = name.unwrap_or_default();
            let new = NewToken { tenant, agent, name, scopes: scope, hash: token.hash(), expires_at };
            let id = admin.store.issue_token(new, audit).await?;
            let text = token.reveal();
            match admin.output {
                Output::Json => print_json(&json!({"id": id, "token": text, "expires_at": expires_at})),
                Output::Human => print(&format!("{text}\nThis is token {id}; it is not shown again.\n")),
            }
        }
        TokenAction::List { tenant } => list(admin.output, &rows, find_tenant(&rows, &tenant)?),
        TokenAction::Revoke { tenant, token } => {
            let tenant = find_tenant(&rows, &tenant)?;
            let object = format!("token:{token}");
            let audit = AuditEntry::new(tenant, AuditActor::Operator, "token.revoked", object);
            admin.store.end_token(tenant, token, audit).await?;
            match admin.output {
                Output::Json => print_json(&json!({"id": token, "revoked": true})),
                Output::Human => print(&format!("token {token} is revoked\n")),
            }
        }
    }
}

fn list(output: Output, rows: &DirectoryRows, tenant: TenantId) -> anyhow::Result<()> {
    let tokens = rows.tokens.iter().filter(|row| row.tenant == tenant);
    match output {
        Output::Json => print_json(
            &tokens
                .map(|row| {
                    json!({
                        "id": row.id, "agent": row.agent, "name": row.name, "scope": row.scopes.widest(),
                        "scopes": row.scopes, "created_at": row.created_at, "expires_at": row.expires_at,
                        "seen_at": row.seen_at,
                    })
                })
                .collect(),
        ),
        Output::Human => {
            let at = |at: Option<Timestamp>| at.map_or("never".to_owned(), |at| format!("{} ms", at.0));
            let line = |row: &TokenRow| {
                let scopes: Vec<&str> = row.scopes.list().map(Scope::name).collect();
                vec![
                    row.id.to_string(),
                    row.agent.to_string(),
                    row.name.clone(),
                    scopes.join(","),
                    at(row.expires_at),
                    at(row.seen_at),
                ]
            };
            let heading = ["ID", "AGENT", "NAME", "SCOPES", "EXPIRES", "USED"];
            print_table(&heading, &tokens.map(line).collect::<Vec<_>>())
        }
    }
}

fn in_days(days: u32) -> anyhow::Result<Timestamp> {
    let end = SystemTime::now().checked_add(Duration::from_secs(u64::from(days) * 86_400));
    let Some(end) = end else { bail!("{days} days from now is no time that this system knows") };
    let since = end.duration_since(UNIX_EPOCH).context("the clock is before 1970")?;
    Ok(Timestamp(u64::try_from(since.as_millis())?))
}
