//! `waggle admin`: directly on the database. A running gateway sees the change within a second.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, bail};
use clap::{Args, Subcommand, ValueEnum};
use serde_json::json;
use waggle_core::id::{AgentId, TenantId};
use waggle_core::limits::NAME_BYTES_MAX;
use waggle_core::time::Timestamp;

use super::audit::{self, AuditAction};
use super::lifecycle::{self, LifecycleAction};
use super::output::{Output, print, print_json, print_table};
use super::{DataDirArg, OutputArg};
use crate::app::open_store;
use crate::data_dir::DataDir;
use crate::directory::Token;
use crate::store::{DirectoryRows, Scope, Store, StoreError};

/// Arguments of `waggle admin`.
#[derive(Args)]
pub(super) struct AdminArgs {
    #[command(flatten)]
    data: DataDirArg,
    #[command(flatten)]
    output: OutputArg,
    #[command(subcommand)]
    thing: Thing,
}

#[derive(Subcommand)]
enum Thing {
    /// Customer organisations; nothing crosses from one to another.
    #[command(subcommand)]
    Tenant(TenantAction),
    /// Where tickets wait.
    #[command(subcommand)]
    Queue(NamedAction),
    /// People who work on tickets.
    #[command(subcommand)]
    Agent(NamedAction),
    /// What agents and programs show to be let in.
    #[command(subcommand)]
    Token(TokenAction),
    /// What was done that matters for security.
    #[command(subcommand)]
    Audit(AuditAction),
    /// Statuses of tickets, and the moves between them.
    #[command(subcommand)]
    Lifecycle(LifecycleAction),
}

#[derive(Subcommand)]
enum TenantAction {
    /// Make a tenant.
    Create {
        /// Its name, unique.
        #[arg(value_parser = name)]
        name: String,
    },
    /// List all.
    List,
}

#[derive(Subcommand)]
enum NamedAction {
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
}

#[derive(Subcommand)]
enum TokenAction {
    /// Make a token and show it, once.
    Create {
        /// The tenant's name or number.
        #[arg(long)]
        tenant: String,
        /// The agent as whom it acts: name or number.
        #[arg(long)]
        agent: String,
        /// What it allows.
        #[arg(long, value_enum, default_value = "agent")]
        scope: ScopeArg,
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

#[derive(Clone, Copy, ValueEnum)]
enum ScopeArg {
    /// Work on tickets.
    Agent,
    /// That, and the tenant's administration.
    Admin,
}

impl From<ScopeArg> for Scope {
    fn from(scope: ScopeArg) -> Self {
        match scope {
            ScopeArg::Agent => Self::Agent,
            ScopeArg::Admin => Self::Admin,
        }
    }
}

/// Runs `waggle admin`.
pub(super) fn run(args: AdminArgs) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let store = open_store(&DataDir::open(&args.data.data_dir)?).await?;
        let admin = Admin { store, output: args.output.output };
        match args.thing {
            Thing::Tenant(action) => admin.tenant(action).await,
            Thing::Queue(action) => admin.queue(action).await,
            Thing::Agent(action) => admin.agent(action).await,
            Thing::Token(action) => admin.token(action).await,
            Thing::Audit(action) => {
                let tenant = find_tenant(&admin.store.directory().await?, action.tenant())?;
                audit::run(admin.store.as_ref(), admin.output, tenant, action).await
            }
            Thing::Lifecycle(action) => {
                let tenant = find_tenant(&admin.store.directory().await?, action.tenant())?;
                lifecycle::run(admin.store.as_ref(), admin.output, tenant, action).await
            }
        }
    })
}

struct Admin {
    store: Arc<dyn Store>,
    output: Output,
}

impl Admin {
    async fn tenant(&self, action: TenantAction) -> anyhow::Result<()> {
        match action {
            TenantAction::Create { name } => {
                let row = self.store.create_tenant(&name).await?;
                self.made("tenant", u64::from(row.id.0), &row.name)
            }
            TenantAction::List => {
                let rows = self.store.directory().await?.tenants;
                self.list(rows.iter().map(|row| (u64::from(row.id.0), row.name.as_str())))
            }
        }
    }

    async fn queue(&self, action: NamedAction) -> anyhow::Result<()> {
        let rows = self.store.directory().await?;
        match action {
            NamedAction::Create { tenant, name } => {
                let row = self.store.create_queue(find_tenant(&rows, &tenant)?, &name).await?;
                self.made("queue", u64::from(row.id.0), &row.name)
            }
            NamedAction::List { tenant } => {
                let tenant = find_tenant(&rows, &tenant)?;
                let queues = rows.queues.iter().filter(|row| row.tenant == tenant);
                self.list(queues.map(|row| (u64::from(row.id.0), row.name.as_str())))
            }
        }
    }

    async fn agent(&self, action: NamedAction) -> anyhow::Result<()> {
        let rows = self.store.directory().await?;
        match action {
            NamedAction::Create { tenant, name } => {
                let row = self.store.create_agent(find_tenant(&rows, &tenant)?, &name).await?;
                self.made("agent", u64::from(row.id.0), &row.name)
            }
            NamedAction::List { tenant } => {
                let tenant = find_tenant(&rows, &tenant)?;
                let agents = rows.agents.iter().filter(|row| row.tenant == tenant);
                self.list(agents.map(|row| (u64::from(row.id.0), row.name.as_str())))
            }
        }
    }

    async fn token(&self, action: TokenAction) -> anyhow::Result<()> {
        let rows = self.store.directory().await?;
        match action {
            TokenAction::Create { tenant, agent, scope, expires_in_days } => {
                let tenant = find_tenant(&rows, &tenant)?;
                let agent = find_agent(&rows, tenant, &agent)?;
                let expires_at = expires_in_days.map(in_days).transpose()?;
                let token = Token::make().map_err(|error| anyhow::anyhow!("no random bytes: {error}"))?;
                let row =
                    self.store.create_token(tenant, agent, scope.into(), token.hash(), expires_at).await?;
                let text = token.reveal();
                match self.output {
                    Output::Json => {
                        print_json(&json!({"id": row.id, "token": text, "expires_at": expires_at}))
                    }
                    Output::Human => {
                        print(&format!("{text}\nThis is token {}; it is not shown again.\n", row.id))
                    }
                }
            }
            TokenAction::List { tenant } => self.list_tokens(&rows, find_tenant(&rows, &tenant)?),
            TokenAction::Revoke { tenant, token } => {
                self.store.revoke_token(find_tenant(&rows, &tenant)?, token).await?;
                match self.output {
                    Output::Json => print_json(&json!({"id": token, "revoked": true})),
                    Output::Human => print(&format!("token {token} is revoked\n")),
                }
            }
        }
    }

    fn list_tokens(&self, rows: &DirectoryRows, tenant: TenantId) -> anyhow::Result<()> {
        let tokens = rows.tokens.iter().filter(|row| row.tenant == tenant);
        match self.output {
            Output::Json => print_json(
                &tokens
                    .map(|row| {
                        json!({"id": row.id, "agent": row.agent, "scope": row.scope, "expires_at": row.expires_at})
                    })
                    .collect(),
            ),
            Output::Human => {
                let line = |row: &crate::store::TokenRow| {
                    let scope = match row.scope {
                        Scope::Agent => "agent",
                        Scope::Admin => "admin",
                    };
                    let end = row.expires_at.map_or("never".to_owned(), |end| format!("{} ms", end.0));
                    vec![row.id.to_string(), row.agent.to_string(), scope.to_owned(), end]
                };
                print_table(&["ID", "AGENT", "SCOPE", "EXPIRES"], &tokens.map(line).collect::<Vec<_>>())
            }
        }
    }

    fn made(&self, kind: &str, id: u64, name: &str) -> anyhow::Result<()> {
        match self.output {
            Output::Json => print_json(&json!({"id": id, "name": name})),
            Output::Human => print(&format!("{kind} {id} {name:?}\n")),
        }
    }

    fn list<'a>(&self, rows: impl Iterator<Item = (u64, &'a str)>) -> anyhow::Result<()> {
        match self.output {
            Output::Json => print_json(&rows.map(|(id, name)| json!({"id": id, "name": name})).collect()),
            Output::Human => {
                let rows: Vec<_> = rows.map(|(id, name)| vec![id.to_string(), name.to_owned()]).collect();
                print_table(&["ID", "NAME"], &rows)
            }
        }
    }
}

/// A name on the command line.
fn name(text: &str) -> Result<String, String> {
    let visible = !text.trim().is_empty() && !text.chars().any(char::is_control);
    if visible && text.len() <= NAME_BYTES_MAX {
        return Ok(text.to_owned());
    }
    Err(format!("expected a name of 1 to {NAME_BYTES_MAX} bytes, not blank, without control characters"))
}

/// By name, or else by number.
fn find_tenant(rows: &DirectoryRows, wanted: &str) -> Result<TenantId, StoreError> {
    let by_name = rows.tenants.iter().find(|row| row.name == wanted);
    let found = by_name.or_else(|| rows.tenants.iter().find(|row| row.id.to_string() == wanted));
    found.map(|row| row.id).ok_or_else(|| StoreError::Missing { kind: "tenant", name: wanted.to_owned() })
}

fn find_agent(rows: &DirectoryRows, tenant: TenantId, wanted: &str) -> Result<AgentId, StoreError> {
    let agents = || rows.agents.iter().filter(|row| row.tenant == tenant);
    let by_name = agents().find(|row| row.name == wanted);
    let found = by_name.or_else(|| agents().find(|row| row.id.to_string() == wanted));
    found.map(|row| row.id).ok_or_else(|| StoreError::Missing { kind: "agent", name: wanted.to_owned() })
}

fn in_days(days: u32) -> anyhow::Result<Timestamp> {
    let end = SystemTime::now().checked_add(Duration::from_secs(u64::from(days) * 86_400));
    let Some(end) = end else { bail!("{days} days from now is no time that this system knows") };
    let since = end.duration_since(UNIX_EPOCH).context("the clock is before 1970")?;
    Ok(Timestamp(u64::try_from(since.as_millis())?))
}
