//! `waggle admin agent`: people who work on tickets, and how they prove who they are.

use std::io::Read;
use std::sync::Arc;

use anyhow::{Context, bail};
use clap::Subcommand;
use serde_json::json;
use waggle_core::limits::PASSWORD_BYTES_MAX;
use waggle_core::name::Name;

use super::admin::{Admin, find_agent, find_tenant, name};
use super::output::{Output, print, print_json};
use super::people::find_role;
use crate::auth::{Password, hash_password};
use crate::directory::{SecretKind, Token};
use crate::store::{AuditActor, AuditEntry, IdentityRow, Keep, PasswordKind, PasswordRow};

#[derive(Subcommand)]
pub(super) enum AgentAction {
    /// Make one.
    Create {
        /// The tenant's name or number.
        #[arg(long)]
        tenant: String,
        /// Its name, unique within the tenant.
        #[arg(value_parser = name)]
        name: String,
        /// The role that it gets in all queues: a name or number; `none` for none.
        #[arg(long, default_value = "agent")]
        role: String,
    },
    /// List a tenant's.
    List {
        /// The tenant's name or number.
        #[arg(long)]
        tenant: String,
    },
    /// Give an agent a password, and end its sessions: one that is made and shown once, which it has to change, or
    /// the one on standard input.
    Password {
        /// The tenant's name or number.
        #[arg(long)]
        tenant: String,
        /// The agent's name or number.
        #[arg(long)]
        agent: String,
        /// Read it from standard input, to its end or the first new line; it need not be changed.
        #[arg(long)]
        stdin: bool,
    },
    /// Say whom an identity provider means: it lets this agent in from now on.
    Link {
        /// The tenant's name or number.
        #[arg(long)]
        tenant: String,
        /// The agent's name or number.
        #[arg(long)]
        agent: String,
        /// The provider, as its tokens have it in `iss`.
        #[arg(long)]
        issuer: String,
        /// What its tokens have in the claim that is configured.
        #[arg(long)]
        subject: String,
    },
}

pub(super) async fn run(admin: &Admin, action: AgentAction) -> anyhow::Result<()> {
    let rows = admin.store.directory().await?;
    match action {
        AgentAction::Create { tenant, name, role } => {
            let tenant = find_tenant(&rows, &tenant)?;
            let role = if role == "none" { None } else { Some(find_role(&rows, tenant, &role)?) };
            let name = Name::parse(&name)?;
            let row = admin.store.add_agent(AuditActor::Operator, tenant, &name, role).await?;
            admin.made("agent", u64::from(row.id.0), &row.name)
        }
        AgentAction::List { tenant } => {
            let tenant = find_tenant(&rows, &tenant)?;
            let agents = rows.agents.iter().filter(|row| row.tenant == tenant);
            admin.list(agents.map(|row| (u64::from(row.id.0), row.name.as_str())))
        }
        AgentAction::Password { tenant, agent, stdin } => {
            let tenant = find_tenant(&rows, &tenant)?;
            let agent = find_agent(&rows, tenant, &agent)?;
            let made = if stdin { None } else { Some(temporary()?) };
            let (password, kind) = match &made {
                Some(made) => (Password::new(made.reveal().to_owned()), PasswordKind::Temporary),
                None => (read_password(std::io::stdin().lock())?, PasswordKind::Own),
            };
            let names = rows.agents.iter().find(|row| (row.tenant, row.id) == (tenant, agent));
            password.check_new(names.map_or("", |row| row.name.as_str()))?;
            let row = PasswordRow { hash: hash_password(&password)?, kind };
            let object = format!("agent:{agent}");
            let audit = AuditEntry::new(tenant, AuditActor::Operator, "password.reset", object);
            admin.store.set_password(tenant, agent, row, Keep::Nothing, audit).await?;
            tell(admin.output, agent.0, made.as_ref())
        }
        AgentAction::Link { tenant, agent, issuer, subject } => {
            let tenant = find_tenant(&rows, &tenant)?;
            let agent = find_agent(&rows, tenant, &agent)?;
            let audit =
                AuditEntry::new(tenant, AuditActor::Operator, "identity.linked", format!("agent:{agent}"))
                    .with("issuer", issuer.as_str())
                    .with("subject", subject.as_str());
            admin.store.link_identity(IdentityRow { tenant, issuer, subject, agent }, audit).await?;
            admin.made("linked agent", u64::from(agent.0), "")
        }
    }
}

fn temporary() -> anyhow::Result<Arc<Token>> {
    let made = Token::make_for(SecretKind::Password);
    made.map(Arc::new).map_err(|error| anyhow::anyhow!("no random bytes: {error}"))
}

fn read_password(input: impl Read) -> anyhow::Result<Password> {
    let mut text = String::new();
    // One byte more than there may be, and a line's end: what is longer is found out.
    let most = PASSWORD_BYTES_MAX as u64 + 3;
    input.take(most).read_to_string(&mut text).context("cannot read the password from standard input")?;
    let line = text.split(['\n', '\r']).next().unwrap_or_default();
    if line.is_empty() {
        bail!("standard input has no password; expected one line with it");
    }
    Ok(Password::new(line.to_owned()))
}

fn tell(output: Output, agent: u32, made: Option<&Arc<Token>>) -> anyhow::Result<()> {
    match (output, made) {
        (Output::Json, Some(made)) => {
            print_json(&json!({"agent": agent, "temporary_password": made.reveal()}))
        }
        (Output::Json, None) => print_json(&json!({"agent": agent})),
        (Output::Human, Some(made)) => {
            let text = made.reveal();
            print(&format!("{text}\nThe agent has to change it at its first login; it is not shown again.\n"))
        }
        (Output::Human, None) => {
            print(&format!("agent {agent} has a new password; its sessions have ended\n"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_one_line() {
        let read = |text: &str| read_password(text.as_bytes());
        assert!(read("").is_err() && read("\nsecond").is_err());
        let long = "x".repeat(PASSWORD_BYTES_MAX + 9);
        assert!(read(&long).unwrap().check_new("").is_err());
        assert!(read("correct horse battery\r\n").unwrap().check_new("").is_ok());
    }
}
