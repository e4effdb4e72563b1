//! The embedded store: SQLite in WAL mode, every commit synced to disk, one writer, several readers.

mod attachment;
mod audit;
mod commit;
mod credentials;
mod directory;
mod drafts;
mod erasure;
mod fields;
mod find;
mod lifecycles;
mod past;
mod people;
mod read;
mod remade;
mod row;
mod saved_views;
mod scrub;
mod search;
mod state;

use std::cmp::Ordering;
use std::fs::OpenOptions;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use sqlx::migrate::Migrator;
use sqlx::pool::PoolOptions;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqliteSynchronous};
use sqlx::{ConnectOptions, SqliteConnection};
use tokio::sync::{Mutex, OnceCell};
use tokio::task::JoinHandle;
use waggle_core::id::{AgentId, Epoch, Offset, TenantId, TicketId, Version};
use waggle_core::ticket::{Actor, StoredEvent};
use waggle_core::time::Timestamp;

pub use self::search::SearchFile;
use self::state::State;
use super::{
    AgentRow, AuditEntry, CommitEvent, DirectoryRows, EventKinds, QueueRow, Scope, Standing, Store,
    StoreError, TenantHead, TenantRow, TicketFilter, TicketRow, TokenRow,
};

/// How long a statement waits for another process's lock, in milliseconds.
const BUSY_MS_MAX: u64 = 5_000;
const READERS: u32 = 4;
const BROWSERS: u32 = 2;
/// Page cache of the writer, in KiB. What it does not hold is in the system's cache.
const WRITER_CACHE_KIB: u32 = 8 * 1024;
/// Page cache of each connection that reads, in KiB.
const READER_CACHE_KIB: u32 = 2 * 1024;
/// With this many frames (of a page each) the write-ahead log is copied back into the database.
const WAL_FRAMES_WANTED: i64 = 4_096;
/// Room that the write-ahead log's file has from the start: what comes in while it is copied fits, too.
const WAL_BYTES_AHEAD: u64 = 2 * 4_096 * 4_120;
const CHECKPOINT_EVERY: Duration = Duration::from_millis(200);

/// The embedded store.
pub struct SqliteStore {
    writer: Arc<Mutex<SqliteConnection>>,
    readers: SqlitePool,
    /// For lists and histories, whose length callers choose: they never hold up the short reads that
    /// commands and sessions wait for.
    browsers: SqlitePool,
    /// Of the one who writes tickets.
    checkpointer: Option<JoinHandle<()>>,
    path: PathBuf,
    /// Where the tickets are that the log folds to, and what has become of them: read when they are first
    /// asked for.
    state_path: PathBuf,
    tickets: OnceCell<Tickets>,
}

struct Tickets {
    state: Arc<State>,
    projector: parking_lot::Mutex<Option<JoinHandle<()>>>,
}

impl SqliteStore {
    /// Opens the database at `path`, makes it where there is none, and brings it to this version's
    /// shape.
    ///
    /// # Errors
    /// Where the file cannot be opened, is locked, damaged, or of a newer version.
    pub async fn open(path: &Path) -> Result<Self, StoreError> {
        let options = options(path).create_if_missing(true);
        let mut writer = options.connect().await.map_err(StoreError::from_sqlx)?;
        MIGRATIONS.run(&mut writer).await.map_err(StoreError::from_migration)?;
        people::fill_skeletons(&mut writer).await?;
        let wal = wal_path(path);
        let lengthened = tokio::task::spawn_blocking(move || lengthen(&wal)).await;
        match lengthened {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                tracing::warn!(%error, "the write-ahead log is not laid out ahead; commits take longer")
            }
            Err(error) => tracing::warn!(%error, "laying out the write-ahead log was cut short"),
        }
        let copying = options.connect().await.map_err(StoreError::from_sqlx)?;
        let mut store = Self::of(path, options, writer).await?;
        store.checkpointer = Some(tokio::spawn(checkpoint_forever(copying, Arc::clone(&store.writer))));
        Ok(store)
    }

    /// Opens a database that is there and has this version's shape, beside a gateway that may run on it: it is left as
    /// it is but for what is asked of it.
    ///
    /// # Errors
    /// Where there is none, or it is locked, damaged, or of another version.
    pub async fn open_beside(path: &Path) -> Result<Self, StoreError> {
        let options = options(path).create_if_missing(false);
        let mut writer = options.connect().await.map_err(StoreError::from_sqlx)?;
        check_version(&mut writer).await?;
        Self::of(path, options, writer).await
    }

    async fn of(
        path: &Path,
        options: SqliteConnectOptions,
        writer: SqliteConnection,
    ) -> Result<Self, StoreError> {
        let reading = options
            .create_if_missing(false)
            .read_only(true)
            .pragma("cache_size", format!("-{READER_CACHE_KIB}"));
        Ok(Self {
            writer: Arc::new(Mutex::new(writer)),
            readers: pool(READERS, reading.clone()).await?,
            browsers: pool(BROWSERS, reading).await?,
            checkpointer: None,
            path: path.to_owned(),
            state_path: path.with_extension("tickets.db"),
            tickets: OnceCell::new(),
        })
    }

    async fn state(&self) -> Result<&State, StoreError> {
        let open = async || {
            let (state, projector) = State::open(&self.state_path, &self.browsers).await?;
            let state = Arc::new(state);
            let task = tokio::spawn(projector.run(Arc::clone(&state)));
            Ok(Tickets { state, projector: parking_lot::Mutex::new(Some(task)) })
        };
        self.tickets.get_or_try_init(open).await.map(|tickets| &*tickets.state)
    }
}

static MIGRATIONS: Migrator = sqlx::migrate!("migrations/sqlite");

fn options(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(true)
        .busy_timeout(Duration::from_millis(BUSY_MS_MAX))
        .pragma("cache_size", format!("-{WRITER_CACHE_KIB}"))
        .pragma("temp_store", "memory")
        .pragma(scrub::SECURE_DELETE.0, scrub::SECURE_DELETE.1)
        // Checkpoints run beside the writer, below: one in the middle of a commit would stall it.
        .pragma("wal_autocheckpoint", "0")
        .disable_statement_logging()
}

/// Whether a database has this version's shape.
async fn check_version(connection: &mut SqliteConnection) -> Result<(), StoreError> {
    const THERE: &str = "SELECT count(*) FROM sqlite_schema WHERE name = '_sqlx_migrations'";
    const NEWEST: &str = "SELECT coalesce(max(version), 0) FROM _sqlx_migrations WHERE success";
    let there: i64 =
        sqlx::query_scalar(THERE).fetch_one(&mut *connection).await.map_err(StoreError::from_sqlx)?;
    let found: i64 = match there {
        0 => 0,
        _ => sqlx::query_scalar(NEWEST).fetch_one(connection).await.map_err(StoreError::from_sqlx)?,
    };
    let wanted = MIGRATIONS.iter().map(|migration| migration.version).max().unwrap_or_default();
    match found.cmp(&wanted) {
        Ordering::Equal => Ok(()),
        Ordering::Less => Err(StoreError::Older { found, wanted }),
        Ordering::Greater => Err(StoreError::Newer { found, wanted }),
    }
}

impl Drop for SqliteStore {
    /// What is not written yet is in the log; nobody may write after this but the next to open it.
    fn drop(&mut self) {
        if let Some(checkpointer) = &self.checkpointer {
            checkpointer.abort();
        }
        if let Some(projector) = self.tickets.get_mut().and_then(|tickets| tickets.projector.get_mut().take())
        {
            projector.abort();
        }
    }
}

async fn pool(connections: u32, options: SqliteConnectOptions) -> Result<SqlitePool, StoreError> {
    PoolOptions::new()
        .max_connections(connections)
        .min_connections(1)
        .acquire_timeout(Duration::from_millis(BUSY_MS_MAX))
        .connect_with(options)
        .await
        .map_err(StoreError::from_sqlx)
}

fn wal_path(database: &Path) -> PathBuf {
    let mut name = database.as_os_str().to_owned();
    name.push("-wal");
    PathBuf::from(name)
}

/// Counts, ids and times: numbers above what SQLite holds are above every number that it has.
fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// Fills the write-ahead log's file up with zeros, once. A sync of a file that has its length and its
/// blocks already writes the data and no more; measured here, that is a third of the time. SQLite reads
/// its log up to the first frame whose checksum is wrong, so zeros at its end are no frames. They are
/// appended, never written at a place: whatever another process writes at the same time stays.
fn lengthen(wal: &Path) -> io::Result<()> {
    static CHUNK: [u8; 64 * 1024] = [0; 64 * 1024];
    let mut file = OpenOptions::new().append(true).open(wal)?;
    let mut bytes = file.metadata()?.len();
    if bytes >= WAL_BYTES_AHEAD {
        return Ok(());
    }
    // A disk that is nearly full needs its room for data.
    let disk = rustix::fs::fstatvfs(&file)?;
    if disk.f_bavail.saturating_mul(disk.f_frsize) < 4 * WAL_BYTES_AHEAD {
        return Ok(());
    }
    while bytes < WAL_BYTES_AHEAD {
        file.write_all(&CHUNK)?;
        bytes += CHUNK.len() as u64;
    }
    file.sync_all()
}

/// Copies the write-ahead log back whenever it is long. Most of it is copied beside the running
/// writer; the rest in a moment when the writer waits, so that nothing is left to copy then and the
/// next commit starts the log over (SQLite does that by itself).
async fn checkpoint_forever(mut copying: SqliteConnection, writer: Arc<Mutex<SqliteConnection>>) {
    let mut ticks = tokio::time::interval(CHECKPOINT_EVERY);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut is_failing = false;
    loop {
        ticks.tick().await;
        match checkpoint_if_long(&mut copying, &writer).await {
            Ok(()) => is_failing = false,
            // Once, not at every tick: the disk that is full may hold the log files, too.
            Err(error) if !is_failing => {
                tracing::warn!(%error, "the write-ahead log could not be copied back; it grows until it can");
                is_failing = true;
            }
            Err(_) => {}
        }
    }
}

async fn checkpoint_if_long(
    copying: &mut SqliteConnection,
    writer: &Mutex<SqliteConnection>,
) -> Result<(), sqlx::Error> {
    // The numbers are frames in the log and frames copied back.
    const LOOK: &str = "PRAGMA wal_checkpoint(NOOP)";
    const COPY: &str = "PRAGMA wal_checkpoint(PASSIVE)";
    let (_, frames, copied): (i64, i64, i64) = sqlx::query_as(LOOK).fetch_one(&mut *copying).await?;
    if frames - copied < WAL_FRAMES_WANTED {
        return Ok(());
    }
    sqlx::query(COPY).execute(&mut *copying).await?;
    let paused = writer.lock().await;
    sqlx::query(COPY).execute(&mut *copying).await?;
    drop(paused);
    Ok(())
}

#[async_trait]
impl Store for SqliteStore {
    async fn close(&self) {
        if let Some(checkpointer) = &self.checkpointer {
            checkpointer.abort();
        }
        if let Some(tickets) = self.tickets.get() {
            tickets.state.stop();
            let projector = tickets.projector.lock().take();
            if let Some(projector) = projector
                && let Err(error) = projector.await
            {
                tracing::warn!(%error, "the tickets are not all written; the next start folds them from the log");
            }
            tickets.state.close().await;
        }
        self.browsers.close().await;
        self.readers.close().await;
        if self.checkpointer.is_none() {
            return;
        }
        // All of it is durable already; this makes the next start quicker.
        let copied =
            sqlx::query("PRAGMA wal_checkpoint(PASSIVE)").execute(&mut *self.writer.lock().await).await;
        if let Err(error) = copied {
            tracing::warn!(%error, "the write-ahead log could not be copied back; the next start reads it");
        }
    }

    async fn commit(&self, batch: &[CommitEvent]) -> Result<(), StoreError> {
        let state = self.state().await?;
        state.check(&self.readers, batch).await?;
        commit::commit(&mut *self.writer.lock().await, batch).await?;
        state.committed(batch)
    }

    async fn heads(&self) -> Result<Vec<TenantHead>, StoreError> {
        self.state().await?.heads(&self.readers).await
    }

    async fn ticket(&self, tenant: TenantId, ticket: TicketId) -> Result<Option<TicketRow>, StoreError> {
        self.state().await?.ticket(tenant, ticket).await
    }

    async fn standing(&self, tenant: TenantId, ticket: TicketId) -> Result<Option<Standing>, StoreError> {
        self.state().await?.standing(tenant, ticket).await
    }

    async fn tickets(
        &self,
        tenant: TenantId,
        filter: &TicketFilter,
        before: Option<TicketId>,
        limit: u32,
    ) -> Result<Vec<TicketRow>, StoreError> {
        self.state().await?.list(tenant, filter, before, limit).await
    }

    async fn ticket_events(
        &self,
        tenant: TenantId,
        ticket: TicketId,
        after: Version,
        limit: u32,
        kinds: EventKinds,
    ) -> Result<Vec<StoredEvent>, StoreError> {
        match self.state().await?.newest(tenant, ticket) {
            Some(newest) => read::ticket_events(&self.browsers, tenant, newest, after, limit, kinds).await,
            None => Ok(Vec::new()),
        }
    }

    async fn events_up_to(
        &self,
        tenant: TenantId,
        newest: Offset,
        after: Version,
        limit: u32,
    ) -> Result<Vec<StoredEvent>, StoreError> {
        read::ticket_events(&self.browsers, tenant, newest, after, limit, EventKinds::All).await
    }

    async fn events_after(
        &self,
        tenant: TenantId,
        after: Offset,
        limit: u32,
    ) -> Result<Vec<StoredEvent>, StoreError> {
        read::events_after(&self.readers, tenant, after, limit).await
    }

    async fn event_by_key(
        &self,
        tenant: TenantId,
        caller: Actor,
        key: &str,
    ) -> Result<Option<(StoredEvent, u64)>, StoreError> {
        read::event_by_key(&self.readers, tenant, caller, key).await
    }

    async fn directory_revision(&self) -> Result<u64, StoreError> {
        directory::revision(&self.readers).await
    }

    async fn directory(&self) -> Result<DirectoryRows, StoreError> {
        directory::read(&self.readers).await
    }

    async fn create_tenant(&self, name: &str) -> Result<TenantRow, StoreError> {
        directory::create_tenant(&mut *self.writer.lock().await, name).await
    }

    async fn renew_epoch(&self, tenant: TenantId, audit: AuditEntry) -> Result<Epoch, StoreError> {
        directory::renew_epoch(&mut *self.writer.lock().await, tenant, audit).await
    }

    async fn create_queue(&self, tenant: TenantId, name: &str) -> Result<QueueRow, StoreError> {
        directory::create_queue(&mut *self.writer.lock().await, tenant, name).await
    }

    async fn create_agent(&self, tenant: TenantId, name: &str) -> Result<AgentRow, StoreError> {
        directory::create_agent(&mut *self.writer.lock().await, tenant, name).await
    }

    async fn create_token(
        &self,
        tenant: TenantId,
        agent: AgentId,
        scope: Scope,
        hash: [u8; 32],
        expires_at: Option<Timestamp>,
    ) -> Result<TokenRow, StoreError> {
        directory::create_token(&mut *self.writer.lock().await, tenant, agent, scope, hash, expires_at).await
    }

    async fn revoke_token(&self, tenant: TenantId, token: u64) -> Result<(), StoreError> {
        directory::revoke_token(&mut *self.writer.lock().await, tenant, token).await
    }
}

impl StoreError {
    /// Sorts a database error by what an operator can do about it.
    pub(crate) fn from_sqlx(error: sqlx::Error) -> Self {
        // Primary result codes of SQLite: https://www.sqlite.org/rescode.html
        const BUSY: i64 = 5;
        const LOCKED: i64 = 6;
        const CORRUPT: i64 = 11;
        const FULL: i64 = 13;
        const NOT_A_DATABASE: i64 = 26;
        const CONSTRAINT: i64 = 19;
        let code = error.as_database_error().and_then(|database| database.code()?.parse::<i64>().ok());
        match code.map(|extended| extended & 0xff) {
            Some(BUSY | LOCKED) => Self::Locked(error),
            Some(CORRUPT | NOT_A_DATABASE) => Self::Damaged(error),
            Some(FULL) => Self::Full(error),
            Some(CONSTRAINT) if error.to_string().contains("event.offset") => Self::VersionConflict(error),
            _ => Self::Database(error),
        }
    }

    fn from_migration(error: sqlx::migrate::MigrateError) -> Self {
        use sqlx::migrate::MigrateError;
        match error {
            MigrateError::Execute(error) => Self::from_sqlx(error),
            other => Self::from_sqlx(sqlx::Error::Migrate(Box::new(other))),
        }
    }
}
