//! Names: unique within a tenant, by what they look like.

use sqlx::SqliteConnection;
use waggle_core::limits::{AGENTS_MAX, QUEUES_MAX, ROLES_MAX, TEAMS_MAX};
use waggle_core::name::{Name, skeleton_of};

use super::change::Change;
use crate::store::{PeopleError, PeopleRefusal, StoreError};

/// A table of things with names, and its statements.
pub(super) struct Table {
    pub(super) kind: &'static str,
    plural: &'static str,
    limit: usize,
    alike: &'static str,
    insert: &'static str,
    rename: &'static str,
    name: &'static str,
    nameless: &'static str,
    fill: &'static str,
}

macro_rules! table {
    ($name:literal, $plural:literal, $limit:expr, $columns:literal, $values:literal) => {
        Table {
            kind: $name,
            plural: $plural,
            limit: $limit,
            alike: concat!(
                "SELECT id, name FROM ",
                $name,
                " WHERE tenant = ?1 AND (name = ?2 OR skeleton = ?3) AND id <> ?4 LIMIT 1"
            ),
            insert: concat!(
                "INSERT INTO ",
                $name,
                " (tenant, id, name, skeleton",
                $columns,
                ") SELECT ?1, 1 + coalesce(max(id), 0), ?2, ?3",
                $values,
                " FROM ",
                $name,
                " WHERE tenant = ?1 HAVING count(*) < ?4 RETURNING id"
            ),
            rename: concat!("UPDATE ", $name, " SET name = ?3, skeleton = ?4 WHERE tenant = ?1 AND id = ?2"),
            name: concat!("SELECT name FROM ", $name, " WHERE tenant = ?1 AND id = ?2"),
            nameless: concat!(
                "SELECT tenant, id, name FROM ",
                $name,
                " WHERE skeleton IS NULL ORDER BY tenant, id"
            ),
            fill: concat!("UPDATE OR IGNORE ", $name, " SET skeleton = ?3 WHERE tenant = ?1 AND id = ?2"),
        }
    };
}

pub(super) static QUEUES: Table = table!("queue", "queues", QUEUES_MAX, "", "");
pub(super) static AGENTS: Table = table!("agent", "agents", AGENTS_MAX, "", "");
pub(super) static TEAMS: Table = table!("team", "teams", TEAMS_MAX, "", "");
pub(super) static ROLES: Table = table!("role", "roles", ROLES_MAX, ", rights", ", ''");

impl Change<'_> {
    /// Adds one with this name; gives its number.
    pub(super) async fn add(&mut self, table: &'static Table, name: &Name) -> Result<u32, PeopleError> {
        self.check_free(table, name, 0).await?;
        let query = sqlx::query_scalar::<_, i64>(table.insert)
            .bind(self.tenant.0)
            .bind(name.as_str())
            .bind(name.skeleton())
            // A table's limit fits.
            .bind(table.limit as i64);
        let ids = query.fetch_all(&mut *self.writing).await.map_err(|error| self.missing_tenant(error))?;
        let Some(id) = ids.first() else {
            return Err(PeopleRefusal::TooMany { kind: table.plural, limit: table.limit }.into());
        };
        u32::try_from(*id).map_err(|_| StoreError::Unknown { what: table.kind, value: id.to_string() }.into())
    }

    /// Gives one another name; tells the one that it had.
    pub(super) async fn rename(
        &mut self,
        table: &'static Table,
        id: u32,
        name: &Name,
    ) -> Result<String, PeopleError> {
        let query = sqlx::query_scalar::<_, String>(table.name).bind(self.tenant.0).bind(id);
        let before = query.fetch_optional(&mut *self.writing).await.map_err(StoreError::from_sqlx)?;
        let before = before.ok_or(PeopleRefusal::Missing { kind: table.kind, id: id.into() })?;
        self.check_free(table, name, id).await?;
        let query =
            sqlx::query(table.rename).bind(self.tenant.0).bind(id).bind(name.as_str()).bind(name.skeleton());
        query.execute(&mut *self.writing).await.map_err(StoreError::from_sqlx)?;
        Ok(before)
    }

    /// Whether no other than `own` has the name, or one that looks like it.
    async fn check_free(&mut self, table: &'static Table, name: &Name, own: u32) -> Result<(), PeopleError> {
        let query = sqlx::query_as::<_, (i64, String)>(table.alike)
            .bind(self.tenant.0)
            .bind(name.as_str())
            .bind(name.skeleton())
            .bind(own);
        match query.fetch_optional(&mut *self.writing).await.map_err(StoreError::from_sqlx)? {
            None => Ok(()),
            Some((id, other)) => {
                let (kind, id) = (table.kind, id.cast_unsigned());
                Err(PeopleRefusal::NameTaken { kind, name: name.to_string(), id, other }.into())
            }
        }
    }

    fn missing_tenant(&self, error: sqlx::Error) -> StoreError {
        crate::store::sqlite::directory::missing_parent(error, "tenant", &self.tenant.to_string())
    }
}

/// Computes the skeletons of names that have none: those of databases of earlier versions, and of built-in roles. Of
/// names that look alike already, the oldest has it.
pub(in crate::store::sqlite) async fn fill_skeletons(
    writer: &mut SqliteConnection,
) -> Result<(), StoreError> {
    for table in [&QUEUES, &AGENTS, &TEAMS, &ROLES] {
        let nameless = sqlx::query_as::<_, (i64, i64, String)>(table.nameless).fetch_all(&mut *writer).await;
        for (tenant, id, name) in nameless.map_err(StoreError::from_sqlx)? {
            let query = sqlx::query(table.fill).bind(tenant).bind(id).bind(skeleton_of(&name));
            query.execute(&mut *writer).await.map_err(StoreError::from_sqlx)?;
        }
    }
    Ok(())
}
