//! Definitions of custom fields in a database.

use async_trait::async_trait;
use waggle_core::id::TenantId;
use waggle_core::ticket::FieldDef;

use super::{AuditEntry, StoreError};

/// A definition with its tenant.
#[derive(Debug, Clone, PartialEq)]
pub struct TenantField {
    /// Whose.
    pub tenant: TenantId,
    /// What.
    pub field: FieldDef,
}

/// Definitions of custom fields. Each change is in one transaction with its entry of the audit log, and raises the
/// directory's revision.
#[async_trait]
pub trait FieldStore {
    /// Adds a field.
    ///
    /// # Errors
    /// [`StoreError::NameTaken`] where the tenant has one of this key; [`StoreError::TooMany`] where it has as many
    /// as it may.
    async fn create_field(
        &self,
        tenant: TenantId,
        field: &FieldDef,
        audit: AuditEntry,
    ) -> Result<(), StoreError>;
    /// Replaces the definition of the field with this key.
    ///
    /// # Errors
    /// [`StoreError::Missing`] where there is none.
    async fn change_field(
        &self,
        tenant: TenantId,
        field: &FieldDef,
        audit: AuditEntry,
    ) -> Result<(), StoreError>;
    /// Deletes a definition; values that tickets have stay with them.
    ///
    /// # Errors
    /// [`StoreError::Missing`] where there is none.
    async fn delete_field(&self, tenant: TenantId, key: &str, audit: AuditEntry) -> Result<(), StoreError>;
}
