//! Which files tickets have.

use async_trait::async_trait;
use waggle_core::id::{TenantId, TicketId};
use waggle_core::limits::TICKET_ATTACHMENTS_MAX;
use waggle_core::time::Timestamp;

use super::read::collect;
use super::row::Columns;
use super::{SqliteStore, signed};
use crate::attachment::Hash;
use crate::store::{AttachmentRow, AttachmentStore, StoreError};

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT hash, name, media_type, bytes, at FROM attachment WHERE tenant = ? AND ticket = ?",
            $rest
        )
    };
}

#[async_trait]
impl AttachmentStore for SqliteStore {
    async fn add_attachment(
        &self,
        tenant: TenantId,
        ticket: TicketId,
        row: &AttachmentRow,
    ) -> Result<bool, StoreError> {
        const SQL: &str = "INSERT OR IGNORE INTO attachment (tenant, ticket, hash, name, media_type, bytes, at) \
                           VALUES (?, ?, ?, ?, ?, ?, ?)";
        let query = sqlx::query(SQL)
            .bind(tenant.0)
            .bind(signed(ticket.0))
            .bind(row.hash.0.to_vec())
            .bind(&row.name)
            .bind(&row.media_type)
            .bind(signed(row.bytes))
            .bind(signed(row.at.0));
        let done = query.execute(&mut *self.writer.lock().await).await.map_err(StoreError::from_sqlx)?;
        Ok(done.rows_affected() > 0)
    }

    async fn remove_attachment(
        &self,
        tenant: TenantId,
        ticket: TicketId,
        hash: Hash,
    ) -> Result<(), StoreError> {
        const SQL: &str = "DELETE FROM attachment WHERE tenant = ? AND ticket = ? AND hash = ?";
        let query = sqlx::query(SQL).bind(tenant.0).bind(signed(ticket.0)).bind(hash.0.to_vec());
        query.execute(&mut *self.writer.lock().await).await.map(|_| ()).map_err(StoreError::from_sqlx)
    }

    async fn attachment(
        &self,
        tenant: TenantId,
        ticket: TicketId,
        hash: Hash,
    ) -> Result<Option<AttachmentRow>, StoreError> {
        const SQL: &str = select!(" AND hash = ?");
        let query = sqlx::query(SQL).bind(tenant.0).bind(signed(ticket.0)).bind(hash.0.to_vec());
        let found = query.fetch_optional(&self.readers).await.map_err(StoreError::from_sqlx)?;
        found.map(|found| attachment(&mut Columns::of(&found))).transpose()
    }

    async fn attachments(
        &self,
        tenant: TenantId,
        ticket: TicketId,
    ) -> Result<Vec<AttachmentRow>, StoreError> {
        const SQL: &str = select!(" ORDER BY at, hash LIMIT ?");
        let limit = u32::try_from(TICKET_ATTACHMENTS_MAX).unwrap_or(u32::MAX);
        let query = sqlx::query(SQL).bind(tenant.0).bind(signed(ticket.0)).bind(limit);
        collect(query.fetch_all(&self.browsers).await, attachment)
    }

    async fn attachment_hashes(
        &self,
        after: Option<Hash>,
        limit: usize,
    ) -> Result<Vec<(Hash, u64)>, StoreError> {
        const SQL: &str =
            "SELECT hash, max(bytes) FROM attachment WHERE hash > ? GROUP BY hash ORDER BY hash LIMIT ?";
        // No bytes come before all others.
        let after = after.map_or(Vec::new(), |Hash(after)| after.to_vec());
        let query = sqlx::query(SQL).bind(after).bind(signed(limit as u64));
        let pair = |columns: &mut Columns<'_>| Ok((Hash(columns.hash()?), columns.number("bytes")?));
        collect(query.fetch_all(&self.browsers).await, pair)
    }
}

fn attachment(columns: &mut Columns<'_>) -> Result<AttachmentRow, StoreError> {
    Ok(AttachmentRow {
        hash: Hash(columns.hash()?),
        name: columns.text()?,
        media_type: columns.text()?,
        bytes: columns.number("bytes")?,
        at: Timestamp(columns.number("time")?),
    })
}
