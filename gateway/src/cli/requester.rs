//! `waggle admin requester`: whoever asks.

use anyhow::Context;
use clap::{Args, Subcommand};
use serde_json::json;
use waggle_core::id::RequesterId;
use waggle_core::requester::{Identity, IdentityKind};

use super::admin::{Admin, find_tenant};
use super::output::{Output, print, print_json, visible};
use crate::store::{AuditActor, ErasureState, Requester, StoreError};

/// Whoever asks.
#[derive(Subcommand)]
pub(super) enum RequesterAction {
    /// Find the one who is known by an address, a number, or an id of another system.
    Find {
        /// The tenant's name or number.
        #[arg(long)]
        tenant: String,
        #[command(flatten)]
        by: By,
    },
    /// Show one; the number of one that was merged into another shows that one.
    Show {
        /// The tenant's name or number.
        #[arg(long)]
        tenant: String,
        /// Its number.
        requester: RequesterId,
    },
    /// Make two one: what the first is known by, and its tickets, are the second's from now on. It cannot be undone.
    Merge {
        /// The tenant's name or number.
        #[arg(long)]
        tenant: String,
        /// The number of the one that goes.
        requester: RequesterId,
        /// The number of the one that stays.
        #[arg(long)]
        into: RequesterId,
    },
    /// Erase one: whatever it wrote and is named by goes. The gateway that serves the data directory does it, as soon
    /// as one does.
    Erase {
        /// The tenant's name or number.
        #[arg(long)]
        tenant: String,
        /// Its number.
        requester: RequesterId,
    },
}

/// By what.
#[derive(Args)]
#[group(required = true, multiple = false)]
pub(super) struct By {
    /// An e-mail address.
    #[arg(long)]
    email: Option<String>,
    /// An international telephone number.
    #[arg(long)]
    phone: Option<String>,
    /// A number or name in another system.
    #[arg(long)]
    external: Option<String>,
}

impl By {
    fn identity(&self) -> anyhow::Result<Identity> {
        let given = [
            (IdentityKind::Email, &self.email),
            (IdentityKind::Phone, &self.phone),
            (IdentityKind::External, &self.external),
        ];
        let named = given.into_iter().find_map(|(kind, value)| Some((kind, value.as_deref()?)));
        let (kind, value) = named.context("give one of --email, --phone and --external")?;
        Ok(Identity::parse(kind, value)?)
    }
}

pub(super) async fn run(admin: &Admin, action: RequesterAction) -> anyhow::Result<()> {
    let rows = admin.store.directory().await?;
    let missing = |name: String| StoreError::Missing { kind: "requester", name };
    match action {
        RequesterAction::Find { tenant, by } => {
            let (tenant, identity) = (find_tenant(&rows, &tenant)?, by.identity()?);
            let found = admin.store.requester_by_identity(tenant, &identity).await?;
            let missing = || missing(format!("with the {} {:?}", identity.kind(), identity.value()));
            show(admin.output, &found.ok_or_else(missing)?)
        }
        RequesterAction::Show { tenant, requester } => {
            let found = admin.store.requester(find_tenant(&rows, &tenant)?, requester).await?;
            show(admin.output, &found.ok_or_else(|| missing(requester.to_string()))?)
        }
        RequesterAction::Merge { tenant, requester, into } => {
            let tenant = find_tenant(&rows, &tenant)?;
            let merged = admin.store.merge_requesters(AuditActor::Operator, tenant, requester, into).await?;
            show(admin.output, &merged)
        }
        RequesterAction::Erase { tenant, requester } => {
            let tenant = find_tenant(&rows, &tenant)?;
            let state = admin.store.begin_erasure(AuditActor::Operator, tenant, requester).await?;
            match (admin.output, state) {
                (Output::Json, _) => print_json(&json!({"requester": requester, "state": state})),
                (_, ErasureState::Erasing) => print(&format!("requester {requester} is being erased\n")),
                (_, ErasureState::Erased) => print(&format!("requester {requester} is erased\n")),
            }
        }
    }
}

fn show(output: Output, requester: &Requester) -> anyhow::Result<()> {
    if output == Output::Json {
        return print_json(&json!(requester));
    }
    let mut text = format!("requester {} {:?}\n", requester.id, visible(&requester.name));
    for identity in &requester.identities {
        text.push_str(&format!("  {} {}\n", identity.kind(), visible(identity.value())));
    }
    if !requester.merged.is_empty() {
        let merged: Vec<String> = requester.merged.iter().map(ToString::to_string).collect();
        text.push_str(&format!("  was also {}\n", merged.join(", ")));
    }
    match requester.erasure {
        Some(ErasureState::Erasing) => text.push_str("  is being erased\n"),
        Some(ErasureState::Erased) => text.push_str("  is erased\n"),
        None => {}
    }
    print(&text)
}
