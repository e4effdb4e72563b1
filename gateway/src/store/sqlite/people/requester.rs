//! Requesters and their identities.

use sqlx::SqliteConnection;
use waggle_core::id::{RequesterId, TenantId};
use waggle_core::limits::{IDENTITIES_MAX, REQUESTER_MERGES_MAX};
use waggle_core::name::Name;
use waggle_core::requester::{Identity, IdentityKind};
use waggle_core::time::Timestamp;

use super::change::Change;
use crate::store::sqlite::read::collect;
use crate::store::sqlite::{directory, signed};
use crate::store::{ErasureState, PeopleError, PeopleRefusal, Requester, StoreError};

impl Change<'_> {
    pub(super) async fn create_requester(
        &mut self,
        name: &Name,
        identities: &[Identity],
    ) -> Result<Requester, PeopleError> {
        const INSERT: &str = "
            INSERT INTO requester (tenant, id, name, created_at)
            SELECT ?1, 1 + coalesce(max(id), 0), ?2, ?3 FROM requester WHERE tenant = ?1 RETURNING id";
        const KNOWN_BY: &str = "INSERT OR IGNORE INTO requester_identity (tenant, kind, value, requester) VALUES (?1, ?2, ?3, ?4)";
        if identities.len() > IDENTITIES_MAX {
            return Err(PeopleRefusal::TooMany { kind: "identities", limit: IDENTITIES_MAX }.into());
        }
        for identity in identities {
            if let Some(owner) = owner(&mut self.writing, self.tenant, identity).await? {
                return Err(PeopleRefusal::IdentityTaken { identity: identity.clone(), owner }.into());
            }
        }
        let query = sqlx::query_scalar::<_, i64>(INSERT);
        let query = query.bind(self.tenant.0).bind(name.as_str()).bind(directory::now_ms());
        let missing = |error| directory::missing_parent(error, "tenant", &self.tenant.to_string());
        let ids = query.fetch_all(&mut *self.writing).await.map_err(missing)?;
        let id = ids.first().copied().ok_or(StoreError::Database(sqlx::Error::RowNotFound))?;
        for identity in identities {
            let query = sqlx::query(KNOWN_BY).bind(self.tenant.0).bind(identity.kind().name());
            let query = query.bind(identity.value()).bind(id);
            query.execute(&mut *self.writing).await.map_err(StoreError::from_sqlx)?;
        }
        self.there(RequesterId(id.cast_unsigned())).await
    }

    /// Merges; gives who `from` was in truth, and what has become of `into`.
    pub(super) async fn merge_requesters(
        &mut self,
        from: RequesterId,
        into: RequesterId,
    ) -> Result<(RequesterId, Requester), PeopleError> {
        let (old, kept) = (self.there(from).await?, self.there(into).await?);
        if old.id == kept.id {
            return Err(PeopleRefusal::SameRequester { from, into, is: kept.id }.into());
        }
        if let Some(gone) = [&old, &kept].into_iter().find(|requester| requester.erasure.is_some()) {
            return Err(PeopleRefusal::Erased(gone.id).into());
        }
        if old.identities.len() + kept.identities.len() > IDENTITIES_MAX {
            return Err(PeopleRefusal::TooMany { kind: "identities", limit: IDENTITIES_MAX }.into());
        }
        if old.merged.len() + kept.merged.len() >= REQUESTER_MERGES_MAX {
            return Err(
                PeopleRefusal::TooMany { kind: "merged requesters", limit: REQUESTER_MERGES_MAX }.into()
            );
        }
        for sql in [
            "UPDATE requester_identity SET requester = ?3 WHERE tenant = ?1 AND requester = ?2",
            // Whoever was merged into the old one is the kept one, too: no chains.
            "UPDATE requester SET merged_into = ?3 WHERE tenant = ?1 AND merged_into = ?2",
            "UPDATE requester SET merged_into = ?3 WHERE tenant = ?1 AND id = ?2",
        ] {
            let query = sqlx::query(sql).bind(self.tenant.0).bind(signed(old.id.0)).bind(signed(kept.id.0));
            query.execute(&mut *self.writing).await.map_err(StoreError::from_sqlx)?;
        }
        Ok((old.id, self.there(kept.id).await?))
    }

    pub(in crate::store::sqlite) async fn there(
        &mut self,
        id: RequesterId,
    ) -> Result<Requester, PeopleError> {
        let requester = find(&mut self.writing, self.tenant, id).await?;
        Ok(requester.ok_or(PeopleRefusal::Missing { kind: "requester", id: id.0 })?)
    }
}

/// Whose an identity is.
pub(super) async fn owner(
    reading: &mut SqliteConnection,
    tenant: TenantId,
    identity: &Identity,
) -> Result<Option<RequesterId>, StoreError> {
    const SQL: &str =
        "SELECT requester FROM requester_identity WHERE tenant = ?1 AND kind = ?2 AND value = ?3";
    let query = sqlx::query_scalar::<_, i64>(SQL).bind(tenant.0).bind(identity.kind().name());
    let owner = query.bind(identity.value()).fetch_optional(reading).await.map_err(StoreError::from_sqlx)?;
    Ok(owner.map(|id| RequesterId(id.cast_unsigned())))
}

/// A requester by any number that it has had.
pub(super) async fn find(
    reading: &mut SqliteConnection,
    tenant: TenantId,
    id: RequesterId,
) -> Result<Option<Requester>, StoreError> {
    const SQL: &str = "
        SELECT id, name, created_at, erased_at IS NOT NULL,
               EXISTS (SELECT 1 FROM erasure WHERE tenant = ?1 AND requester = id)
        FROM requester WHERE tenant = ?1 AND id = (
            SELECT coalesce(merged_into, id) FROM requester WHERE tenant = ?1 AND id = ?2)";
    const IDENTITIES: &str = "
        SELECT kind, value FROM requester_identity WHERE tenant = ?1 AND requester = ?2 ORDER BY kind, value";
    const MERGED: &str = "SELECT id FROM requester WHERE tenant = ?1 AND merged_into = ?2 ORDER BY id";
    let row = sqlx::query(SQL).bind(tenant.0).bind(signed(id.0)).fetch_all(&mut *reading).await;
    let mut found = collect(row, |columns| {
        Ok(Requester {
            id: RequesterId(columns.number("requester")?),
            name: columns.text()?,
            created_at: Timestamp(columns.number("time")?),
            erasure: match (columns.number("erased")?, columns.number("erasing")?) {
                (_, 1) => Some(ErasureState::Erasing),
                (1, _) => Some(ErasureState::Erased),
                _ => None,
            },
            identities: Vec::new(),
            merged: Vec::new(),
        })
    })?;
    let Some(mut requester) = found.pop() else { return Ok(None) };
    let own = signed(requester.id.0);
    let identities = sqlx::query(IDENTITIES).bind(tenant.0).bind(own).fetch_all(&mut *reading).await;
    requester.identities = collect(identities, |columns| {
        let kind = columns.named("identity", IdentityKind::from_name)?;
        let value = columns.text()?;
        Identity::parse(kind, &value).map_err(|_| StoreError::Unknown { what: "identity", value })
    })?;
    let merged = sqlx::query(MERGED).bind(tenant.0).bind(own).fetch_all(&mut *reading).await;
    requester.merged = collect(merged, |columns| Ok(RequesterId(columns.number("requester")?)))?;
    Ok(Some(requester))
}
