//! The database of the tickets: blocks of states, texts, and up to which event they go.

use std::collections::BTreeMap;
use std::path::Path;

use parking_lot::{Mutex, RwLock};
use rustc_hash::FxHashMap;
use sqlx::SqliteConnection;
use sqlx::sqlite::SqlitePool;
use waggle_core::id::{Epoch, Offset, TenantId, TicketId};

use super::super::row::{self, Columns};
use super::super::{pool, remade, signed};
use super::block::{Block, TICKETS, ticket_at};
use super::text::TicketText;
use super::{States, Tickets};
use crate::priority::Priority;
use crate::store::{StoreError, TenantHead};

/// Of the tables below. A file of another version is made anew from the log.
const VERSION: i64 = 3;
const READERS: u32 = 4;

const TABLES: &str = "
    CREATE TABLE projected (
        tenant INTEGER PRIMARY KEY,
        epoch  INTEGER NOT NULL,
        -- The event up to which everything is in the tables below. Blocks may have more.
        offset INTEGER NOT NULL
    ) STRICT;
    -- `id` is the tenant's number times 2^32, and the block's.
    CREATE TABLE block (
        id      INTEGER PRIMARY KEY,
        tickets BLOB NOT NULL
    ) STRICT;
    CREATE TABLE text (
        tenant       INTEGER NOT NULL,
        ticket       INTEGER NOT NULL,
        newest       INTEGER NOT NULL,
        subject      TEXT NOT NULL,
        requester    TEXT NOT NULL,
        follow_up_of INTEGER,
        extra        TEXT NOT NULL,
        PRIMARY KEY (tenant, ticket)
    ) STRICT, WITHOUT ROWID;";

/// The columns of [`text`], in its order.
macro_rules! text_columns {
    () => {
        "ticket, newest, subject, requester, follow_up_of, extra"
    };
}

/// What is stored of every tenant's tickets.
pub(super) type Stored = BTreeMap<TenantId, Tickets>;

/// The file, for reading.
pub(super) struct StateFile {
    readers: SqlitePool,
}

impl StateFile {
    /// Opens the file at `path`, and reads the states in it; one that is missing, damaged, of another version
    /// or of other logs than `heads` is made anew. Returns the connection that writes, too.
    pub(super) async fn open(
        path: &Path,
        heads: &[TenantHead],
    ) -> Result<(Self, Stored, SqliteConnection), StoreError> {
        match Self::open_existing(path, heads).await {
            Ok(Some(opened)) => return Ok(opened),
            Ok(None) => tracing::info!("the tickets are folded from the log anew"),
            Err(error @ (StoreError::Damaged(_) | StoreError::Unknown { .. } | StoreError::Database(_))) => {
                tracing::warn!(%error, "the stored tickets cannot be read; they are folded from the log anew");
            }
            Err(error) => return Err(error),
        }
        let writer = remade::make(path, &remade::options(path), TABLES, VERSION, Priority::Normal).await?;
        Ok((Self::reading(path).await?, Stored::new(), writer))
    }

    async fn open_existing(
        path: &Path,
        heads: &[TenantHead],
    ) -> Result<Option<(Self, Stored, SqliteConnection)>, StoreError> {
        let read = async |writer: &mut SqliteConnection| read(writer, heads).await;
        let options = remade::options(path);
        let opened = remade::open_existing(path, &options, VERSION, Priority::Normal, read).await?;
        let Some((writer, stored)) = opened else { return Ok(None) };
        Ok(Some((Self::reading(path).await?, stored, writer)))
    }

    async fn reading(path: &Path) -> Result<Self, StoreError> {
        let reading = remade::options(path).create_if_missing(false).read_only(true);
        Ok(Self { readers: pool(READERS, reading).await? })
    }

    /// Texts of these tickets, of those that have some.
    pub(super) async fn texts(
        &self,
        tenant: TenantId,
        tickets: &[TicketId],
    ) -> Result<FxHashMap<TicketId, TicketText>, StoreError> {
        if tickets.is_empty() {
            return Ok(FxHashMap::default());
        }
        // Few texts of statements; a place that is not needed stays NULL, which equals nothing.
        let places = vec!["?"; tickets.len().next_power_of_two()].join(",");
        let sql = format!(
            concat!("SELECT ", text_columns!(), " FROM text WHERE tenant = ? AND ticket IN ({})"),
            places
        );
        // Nothing in the statement comes from outside.
        let mut query = sqlx::query(sqlx::AssertSqlSafe(sql)).bind(tenant.0);
        for ticket in tickets {
            query = query.bind(signed(ticket.0));
        }
        let rows = query.fetch_all(&self.readers).await.map_err(StoreError::from_sqlx)?;
        rows.iter().map(|row| text(&mut Columns::of(row))).collect()
    }

    /// Texts but subjects of the tickets with numbers in `(after, after + span]`, of those that have some.
    pub(super) async fn described_between(
        &self,
        tenant: TenantId,
        after: TicketId,
        span: u32,
    ) -> Result<FxHashMap<TicketId, TicketText>, StoreError> {
        // One row with all: a row each would take most of the time on its way through the driver.
        const SQL: &str = "SELECT group_concat(ticket || ' ' || newest || ' ' || octet_length(requester) || ' ' \
                               || octet_length(extra) || ' ' || requester || extra, '') \
                           FROM text WHERE tenant = ?1 AND ticket > ?2 AND ticket <= ?2 + ?3";
        let query = sqlx::query_scalar(SQL).bind(tenant.0).bind(signed(after.0)).bind(span);
        let all: Option<String> = query.fetch_one(&self.readers).await.map_err(StoreError::from_sqlx)?;
        let mut rest = all.as_deref().unwrap_or_default();
        let mut texts = FxHashMap::default();
        while !rest.is_empty() {
            let (ticket, text) = described(&mut rest).ok_or_else(|| {
                let value = rest.chars().take(40).collect();
                StoreError::Unknown { what: "texts of tickets", value }
            })?;
            texts.insert(ticket, text);
        }
        Ok(texts)
    }

    pub(super) async fn close(&self) {
        self.readers.close().await;
    }
}

/// All states; `None` where they are not of these logs.
async fn read(connection: &mut SqliteConnection, heads: &[TenantHead]) -> Result<Option<Stored>, StoreError> {
    let mut stored = Stored::new();
    let rows = sqlx::query("SELECT tenant, epoch, offset FROM projected").fetch_all(&mut *connection).await;
    for found in rows.map_err(StoreError::from_sqlx)? {
        let mut columns = Columns::of(&found);
        let tenant = row::tenant(&mut columns)?;
        let (epoch, applied) = (Epoch(columns.bits()?), Offset(columns.number("offset")?));
        let is_its_log = |head: &&TenantHead| {
            head.tenant == tenant && head.cursor.epoch == epoch && head.cursor.offset >= applied
        };
        if !heads.iter().any(|head| is_its_log(&head)) {
            return Ok(None);
        }
        let states = States { applied, ..States::default() };
        stored.insert(tenant, Tickets { epoch, states: RwLock::new(states), texts: Mutex::default() });
    }
    let rows = sqlx::query("SELECT id, tickets FROM block ORDER BY id").fetch_all(&mut *connection).await;
    for found in rows.map_err(StoreError::from_sqlx)? {
        let mut columns = Columns::of(&found);
        let id = columns.number("block")?;
        let block = Block::decode(columns.bytes()?)?;
        let tenant = TenantId(u32::try_from(id >> 32).unwrap_or(u32::MAX));
        let Some(tickets) = stored.get_mut(&tenant) else { return Ok(None) };
        tickets.states.get_mut().add(usize::try_from(id & u64::from(u32::MAX)).unwrap_or(usize::MAX), block);
    }
    Ok(Some(stored))
}

impl States {
    /// Adds a stored block, after those with lower numbers.
    fn add(&mut self, number: usize, block: Block) {
        self.blocks.resize_with(number, Box::default);
        let newest = (0..TICKETS).rev().find(|place| block.get(*place).is_some_and(|state| state.exists()));
        if let Some(place) = newest {
            self.highest = ticket_at(number, place);
        }
        self.blocks.push(Box::new(block));
    }
}

impl Tickets {
    /// The key of a block in storage.
    pub(super) fn block_id(tenant: TenantId, number: usize) -> i64 {
        (i64::from(tenant.0) << 32) | i64::try_from(number).unwrap_or(i64::from(u32::MAX))
    }
}

/// A ticket's texts as they are stored.
pub(super) async fn read_text(
    connection: &mut SqliteConnection,
    tenant: TenantId,
    ticket: TicketId,
) -> Result<Option<TicketText>, StoreError> {
    const SQL: &str = concat!("SELECT ", text_columns!(), " FROM text WHERE tenant = ? AND ticket = ?");
    let query = sqlx::query(SQL).bind(tenant.0).bind(signed(ticket.0));
    let found = query.fetch_optional(connection).await.map_err(StoreError::from_sqlx)?;
    found.map(|found| text(&mut Columns::of(&found)).map(|(_, text)| text)).transpose()
}

/// Reads one ticket's part of [`StateFile::described_between`], and leaves what is behind it.
fn described(rest: &mut &str) -> Option<(TicketId, TicketText)> {
    let mut number = || {
        let (number, behind) = rest.split_once(' ')?;
        *rest = behind;
        number.parse::<u64>().ok()
    };
    let (ticket, newest) = (TicketId(number()?), Offset(number()?));
    let (requester, extra) = (usize::try_from(number()?).ok()?, usize::try_from(number()?).ok()?);
    let (requester, behind) = rest.split_at_checked(requester)?;
    let (extra, behind) = behind.split_at_checked(extra)?;
    *rest = behind;
    let (requester, extra) = (requester.to_owned(), extra.to_owned());
    Some((ticket, TicketText { newest, subject: String::new(), requester, follow_up_of: None, extra }))
}

/// Reads [`text_columns`].
fn text(columns: &mut Columns<'_>) -> Result<(TicketId, TicketText), StoreError> {
    let ticket = TicketId(columns.number("ticket")?);
    let text = TicketText {
        newest: Offset(columns.number("offset")?),
        subject: columns.text()?,
        requester: columns.text()?,
        follow_up_of: columns.optional("ticket")?.map(TicketId),
        extra: columns.text()?,
    };
    Ok((ticket, text))
}
