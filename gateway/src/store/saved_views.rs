//! Saved views in a database.

use std::fmt;
use std::str::FromStr;

use async_trait::async_trait;
use waggle_core::id::{AgentId, SavedViewId, TeamId, TenantId};

use super::{AuditEntry, StoreError};

/// Who sees a view.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Audience {
    /// Its owner.
    Private,
    /// The members of a team.
    Team(TeamId),
    /// All agents of the tenant.
    Tenant,
}

/// A text that names no audience.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no audience; expected private, tenant, or team:<id>")]
pub struct BadAudience(String);

impl FromStr for Audience {
    type Err = BadAudience;

    fn from_str(text: &str) -> Result<Self, BadAudience> {
        let found = match text {
            "private" => Some(Self::Private),
            "tenant" => Some(Self::Tenant),
            _ => text.strip_prefix("team:").and_then(|team| team.parse().ok()).map(Self::Team),
        };
        found.ok_or_else(|| BadAudience(text.chars().take(40).collect()))
    }
}

impl fmt::Display for Audience {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Private => f.write_str("private"),
            Self::Tenant => f.write_str("tenant"),
            Self::Team(team) => write!(f, "team:{team}"),
        }
    }
}

/// A query with a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SavedViewRow {
    /// Its number within the tenant; 0 of one that is to be made.
    pub id: SavedViewId,
    /// Its name. Several views may have the same.
    pub name: String,
    /// Who made it.
    pub owner: AgentId,
    /// Who sees it.
    pub audience: Audience,
    /// What it shows, as a query is printed.
    pub query: String,
    /// In which order, as an order is printed.
    pub sort: String,
}

/// Saved views. Each change is in one transaction with its entry of the audit log, where it has one.
#[async_trait]
pub trait SavedViewStore {
    /// All of a tenant's, by number.
    async fn saved_views(&self, tenant: TenantId) -> Result<Vec<SavedViewRow>, StoreError>;
    /// One.
    async fn saved_view(&self, tenant: TenantId, id: SavedViewId)
    -> Result<Option<SavedViewRow>, StoreError>;
    /// Makes one; gives its number.
    ///
    /// # Errors
    /// [`StoreError::TooMany`] where the tenant has as many as it may.
    async fn create_saved_view(
        &self,
        tenant: TenantId,
        view: &SavedViewRow,
        audit: Option<AuditEntry>,
    ) -> Result<SavedViewId, StoreError>;
    /// Replaces all but its owner.
    ///
    /// # Errors
    /// [`StoreError::Missing`] where there is none.
    async fn change_saved_view(
        &self,
        tenant: TenantId,
        view: &SavedViewRow,
        audit: Option<AuditEntry>,
    ) -> Result<(), StoreError>;
    /// Deletes one.
    ///
    /// # Errors
    /// [`StoreError::Missing`] where there is none.
    async fn delete_saved_view(
        &self,
        tenant: TenantId,
        id: SavedViewId,
        audit: Option<AuditEntry>,
    ) -> Result<(), StoreError>;
}
