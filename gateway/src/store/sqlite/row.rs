//! Rows as the rest of the gateway knows them.

use sqlx::Row;
use sqlx::sqlite::SqliteRow;
use waggle_core::id::{AgentId, Fence, Offset, QueueId, TenantId, TicketId, Version};
use waggle_core::ticket::{Actor, Followers, Kind, Priority, Route, Status, StoredEvent};
use waggle_core::time::Timestamp;

use super::state::Change;
use crate::store::StoreError;

/// Reads the columns of a row, one after the other.
pub(super) struct Columns<'a> {
    row: &'a SqliteRow,
    next: usize,
}

impl<'a> Columns<'a> {
    pub(super) fn of(row: &'a SqliteRow) -> Self {
        Self { row, next: 0 }
    }

    fn take<T>(&mut self) -> Result<T, StoreError>
    where
        T: sqlx::Decode<'a, sqlx::Sqlite> + sqlx::Type<sqlx::Sqlite>,
    {
        let index = self.next;
        self.next += 1;
        self.row.try_get(index).map_err(StoreError::from_sqlx)
    }

    pub(super) fn number(&mut self, what: &'static str) -> Result<u64, StoreError> {
        let number: i64 = self.take()?;
        u64::try_from(number).map_err(|_| unknown(what, &number.to_string()))
    }

    pub(super) fn optional(&mut self, what: &'static str) -> Result<Option<u64>, StoreError> {
        let number: Option<i64> = self.take()?;
        number.map(|number| u64::try_from(number).map_err(|_| unknown(what, &number.to_string()))).transpose()
    }

    pub(super) fn small(&mut self, what: &'static str) -> Result<u32, StoreError> {
        let number = self.number(what)?;
        u32::try_from(number).map_err(|_| unknown(what, &number.to_string()))
    }

    /// A status' index.
    pub(super) fn optional_status(&mut self) -> Result<Option<Status>, StoreError> {
        let Some(number) = self.optional("status")? else { return Ok(None) };
        let index = u8::try_from(number).ok();
        index
            .map(|index| Some(Status::from_index(index)))
            .ok_or_else(|| unknown("status", &number.to_string()))
    }

    pub(super) fn optional_small(&mut self, what: &'static str) -> Result<Option<u32>, StoreError> {
        let number = self.optional(what)?;
        number.map(|number| u32::try_from(number).map_err(|_| unknown(what, &number.to_string()))).transpose()
    }

    /// A number that uses all 64 bits.
    pub(super) fn bits(&mut self) -> Result<u64, StoreError> {
        self.take::<i64>().map(i64::cast_unsigned)
    }

    pub(super) fn text(&mut self) -> Result<String, StoreError> {
        self.take()
    }

    pub(super) fn optional_text(&mut self) -> Result<Option<String>, StoreError> {
        self.take()
    }

    pub(super) fn bytes(&mut self) -> Result<&'a [u8], StoreError> {
        self.take()
    }

    pub(super) fn hash(&mut self) -> Result<[u8; 32], StoreError> {
        let bytes: Vec<u8> = self.take()?;
        <[u8; 32]>::try_from(bytes.as_slice())
            .map_err(|_| unknown("token hash", &format!("{} bytes", bytes.len())))
    }

    /// A text that one of a few names must be.
    pub(super) fn named<T>(
        &mut self,
        what: &'static str,
        parse: impl Fn(&str) -> Option<T>,
    ) -> Result<T, StoreError> {
        let name: &str = self.take()?;
        parse(name).ok_or_else(|| unknown(what, name))
    }

    /// The same, where there is one.
    fn optional_named<T>(
        &mut self,
        what: &'static str,
        parse: impl Fn(&str) -> Option<T>,
    ) -> Result<Option<T>, StoreError> {
        let name: Option<&str> = self.take()?;
        name.map(|name| parse(name).ok_or_else(|| unknown(what, name))).transpose()
    }
}

fn unknown(what: &'static str, value: &str) -> StoreError {
    StoreError::Unknown { what, value: value.to_owned() }
}

/// The columns of [`event`], in its order.
macro_rules! event_columns {
    () => {
        "offset, ticket, version, kind, actor, at, queue, queue_from, agent, agent_from, followers, data"
    };
}
pub(super) use event_columns;

/// Reads [`event_columns`].
pub(super) fn event(columns: &mut Columns<'_>) -> Result<StoredEvent, StoreError> {
    Ok(StoredEvent {
        offset: Offset(columns.number("offset")?),
        ticket: TicketId(columns.number("ticket")?),
        version: Version(columns.small("version")?),
        kind: columns.named("event kind", Kind::from_name)?,
        actor: columns.named("actor", Actor::from_name)?,
        at: Timestamp(columns.number("time")?),
        route: Route {
            queue: QueueId(columns.small("queue")?),
            queue_from: columns.optional_small("queue")?.map(QueueId),
            agent: columns.optional_small("agent")?.map(AgentId),
            agent_from: columns.optional_small("agent")?.map(AgentId),
        },
        followers: columns
            .optional_named("followers", |text| text.parse::<Followers>().ok())?
            .unwrap_or_default(),
        data: columns.text()?,
    })
}

/// The columns of [`change`], in its order.
macro_rules! change_columns {
    () => {
        "offset, ticket, version, kind, at, queue, agent, status, fence, priority, patch, data"
    };
}
pub(super) use change_columns;

/// Reads [`change_columns`].
pub(super) fn change(columns: &mut Columns<'_>) -> Result<Change, StoreError> {
    let (offset, ticket) = (Offset(columns.number("offset")?), TicketId(columns.number("ticket")?));
    let version = Version(columns.small("version")?);
    let kind = columns.named("event kind", Kind::from_name)?;
    let change = Change {
        offset,
        ticket,
        version,
        at: Timestamp(columns.number("time")?),
        queue: QueueId(columns.small("queue")?),
        agent: columns.optional_small("agent")?.map(AgentId),
        status: columns.optional_status()?,
        fence: columns.optional_small("fence")?.map(Fence),
        priority: columns.optional_named("priority", Priority::from_name)?,
        text: None,
        concerns: false,
    };
    let patch = columns.optional_text()?;
    let data: &str = columns.take()?;
    change.with_texts(kind, data, patch)
}

/// A tenant's number.
pub(super) fn tenant(columns: &mut Columns<'_>) -> Result<TenantId, StoreError> {
    columns.small("tenant").map(TenantId)
}
