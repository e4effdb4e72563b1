//! `waggle admin`: directly on a database that a gateway has made. A running gateway sees the change within a second.

use std::sync::Arc;

use clap::{Args, Subcommand};
use serde_json::json;
use waggle_core::id::{AgentId, TenantId};
use waggle_core::name::Name;

use super::agent::{self, AgentAction};
use super::attachment::{self, AttachmentAction};
use super::audit::{self, AuditAction};
use super::epoch::{self, EpochAction};
use super::field::{self, FieldAction};
use super::learn::{self, LearnAction};
use super::lifecycle::{self, LifecycleAction};
use super::output::{Output, print, print_json, print_table};
use super::people::{self, GrantAction, RoleAction, TeamAction};
use super::queue::{self, QueueAction};
use super::requester::{self, RequesterAction};
use super::token::{self, TokenAction};
use super::view::{self, ViewAction};
use super::{DataDirArg, OutputArg};
use crate::app::open_store_beside;
use crate::data_dir::DataDir;
use crate::store::{AuditActor, AuditEntry, DirectoryRows, Store, StoreError};

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
    Queue(QueueAction),
    /// People who work on tickets.
    #[command(subcommand)]
    Agent(AgentAction),
    /// Names for sets of rights.
    #[command(subcommand)]
    Role(RoleAction),
    /// Agents who have roles together.
    #[command(subcommand)]
    Team(TeamAction),
    /// Who has which role.
    #[command(subcommand)]
    Grant(GrantAction),
    /// Write the database anew, so that nothing is left in its files of what was deleted. No gateway may be running.
    Compact,
    /// What agents and programs show to be let in.
    #[command(subcommand)]
    Token(TokenAction),
    /// What was done that matters for security.
    #[command(subcommand)]
    Audit(AuditAction),
    /// Statuses of tickets, and the moves between them.
    #[command(subcommand)]
    Lifecycle(LifecycleAction),
    /// Custom fields of tickets.
    #[command(subcommand)]
    Field(FieldAction),
    /// Whoever asks.
    #[command(subcommand)]
    Requester(RequesterAction),
    /// Queries that agents have saved.
    #[command(subcommand)]
    View(ViewAction),
    /// Models of the assistant.
    #[command(subcommand)]
    Learn(LearnAction),
    /// Files of tickets.
    #[command(subcommand)]
    Attachment(AttachmentAction),
    /// By which clients know that a log is the one that they have read.
    #[command(subcommand)]
    Epoch(EpochAction),
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

/// Runs `waggle admin`.
pub(super) fn run(args: AdminArgs) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let dir = DataDir::existing(&args.data.data_dir)?;
        let _lock = match &args.thing {
            Thing::Epoch(action) if action.needs_lock() => Some(dir.lock()?),
            // A gateway's commands would wait for it, and fail.
            Thing::Compact => Some(dir.lock()?),
            _ => None,
        };
        let admin = Admin { store: open_store_beside(&dir).await?, output: args.output.output };
        let outcome = admin.run(&dir, args.thing).await;
        admin.store.close().await;
        outcome
    })
}

pub(super) struct Admin {
    pub(super) store: Arc<dyn Store>,
    pub(super) output: Output,
}

impl Admin {
    async fn run(&self, dir: &DataDir, thing: Thing) -> anyhow::Result<()> {
        match thing {
            Thing::Tenant(action) => self.tenant(action).await,
            Thing::Queue(action) => queue::run(self, action).await,
            Thing::Agent(action) => agent::run(self, action).await,
            Thing::Token(action) => token::run(self, action).await,
            Thing::Role(action) => people::role(self, action).await,
            Thing::Team(action) => people::team(self, action).await,
            Thing::Grant(action) => people::grant(self, action).await,
            Thing::Compact => self.compact().await,
            Thing::Field(action) => field::run(self, action).await,
            Thing::Requester(action) => requester::run(self, action).await,
            Thing::View(action) => view::run(self, action).await,
            Thing::Attachment(action) => attachment::run(self, dir, action).await,
            Thing::Learn(action) => learn::run(self, dir, action).await,
            Thing::Epoch(action) => epoch::run(self, action).await,
            Thing::Audit(action) => {
                let tenant = find_tenant(&self.store.directory().await?, action.tenant())?;
                audit::run(self.store.as_ref(), self.output, tenant, action).await
            }
            Thing::Lifecycle(action) => {
                let tenant = find_tenant(&self.store.directory().await?, action.tenant())?;
                lifecycle::run(self.store.as_ref(), self.output, tenant, action).await
            }
        }
    }

    /// Tells the audit log of what was done.
    pub(super) async fn audit(
        &self,
        tenant: TenantId,
        action: &'static str,
        object: String,
    ) -> anyhow::Result<()> {
        self.store.audit(AuditEntry::new(tenant, AuditActor::Operator, action, object)).await?;
        Ok(())
    }

    async fn compact(&self) -> anyhow::Result<()> {
        self.store.scrub(u64::MAX).await?;
        match self.output {
            Output::Json => print_json(&json!({"compacted": true})),
            Output::Human => print("the database is written anew\n"),
        }
    }

    async fn tenant(&self, action: TenantAction) -> anyhow::Result<()> {
        match action {
            TenantAction::Create { name } => {
                let row = self.store.create_tenant(&name).await?;
                self.audit(row.id, "tenant.created", format!("tenant:{}", row.id)).await?;
                self.made("tenant", u64::from(row.id.0), &row.name)
            }
            TenantAction::List => {
                let rows = self.store.directory().await?.tenants;
                self.list(rows.iter().map(|row| (u64::from(row.id.0), row.name.as_str())))
            }
        }
    }

    pub(super) fn made(&self, kind: &str, id: u64, name: &str) -> anyhow::Result<()> {
        match self.output {
            Output::Json => print_json(&json!({"id": id, "name": name})),
            Output::Human => print(&format!("{kind} {id} {name:?}\n")),
        }
    }

    pub(super) fn list<'a>(&self, rows: impl Iterator<Item = (u64, &'a str)>) -> anyhow::Result<()> {
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
pub(super) fn name(text: &str) -> Result<String, String> {
    Name::parse(text).map(|name| name.to_string()).map_err(|error| error.to_string())
}

/// By name, or else by number.
pub(super) fn find_tenant(rows: &DirectoryRows, wanted: &str) -> Result<TenantId, StoreError> {
    let by_name = rows.tenants.iter().find(|row| row.name == wanted);
    let found = by_name.or_else(|| rows.tenants.iter().find(|row| row.id.to_string() == wanted));
    found.map(|row| row.id).ok_or_else(|| StoreError::Missing { kind: "tenant", name: wanted.to_owned() })
}

pub(super) fn find_agent(
    rows: &DirectoryRows,
    tenant: TenantId,
    wanted: &str,
) -> Result<AgentId, StoreError> {
    let agents = || rows.agents.iter().filter(|row| row.tenant == tenant);
    let by_name = agents().find(|row| row.name == wanted);
    let found = by_name.or_else(|| agents().find(|row| row.id.to_string() == wanted));
    found.map(|row| row.id).ok_or_else(|| StoreError::Missing { kind: "agent", name: wanted.to_owned() })
}
