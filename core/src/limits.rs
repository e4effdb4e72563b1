//! Every bound in one place. Bytes are of UTF-8, after JSON escapes are undone, unless said otherwise.

mod learn;

pub use learn::*;

/// A command's body on the wire, in bytes.
pub const COMMAND_BYTES_MAX: usize = 96 * 1024;
/// A ticket's subject.
pub const SUBJECT_BYTES_MAX: usize = 512;
/// A requester's address or name.
pub const REQUESTER_BYTES_MAX: usize = 256;
/// One message or note.
pub const TEXT_BYTES_MAX: usize = 64 * 1024;
/// An Idempotency-Key: visible ASCII.
pub const IDEMPOTENCY_KEY_BYTES_MAX: usize = 128;
/// The name of a tenant, queue, agent, team, role or requester.
pub const NAME_BYTES_MAX: usize = 128;
/// Combining marks on one letter of a name.
pub const NAME_MARKS_MAX: usize = 4;
/// Queues of one tenant.
pub const QUEUES_MAX: usize = 1_000;
/// Agents of one tenant, those included that are not active.
pub const AGENTS_MAX: usize = 20_000;
/// Teams of one tenant.
pub const TEAMS_MAX: usize = 1_000;
/// Members of one team.
pub const TEAM_MEMBERS_MAX: usize = 2_000;
/// Roles of one tenant.
pub const ROLES_MAX: usize = 200;
/// Roles that one tenant's agents and teams have been given.
pub const GRANTS_MAX: usize = 100_000;
/// Identities of one requester.
pub const IDENTITIES_MAX: usize = 100;
/// Requesters that were merged into one.
pub const REQUESTER_MERGES_MAX: usize = 100;
/// An identity of a requester: an address, a number or an external id, normalised.
pub const IDENTITY_BYTES_MAX: usize = 254;

/// The name of a lifecycle or status: ASCII.
pub const STATUS_NAME_BYTES_MAX: usize = 32;
/// Statuses of one lifecycle.
pub const LIFECYCLE_STATUSES_MAX: usize = 64;
/// Edges of one lifecycle.
pub const LIFECYCLE_EDGES_MAX: usize = 1_024;
/// Lifecycles of one tenant.
pub const LIFECYCLES_MAX: usize = 32;
/// Milliseconds for which storage takes a move that was removed from a lifecycle, where the move was admitted before:
/// far longer than a gateway takes to learn of a change and to write what it has admitted.
pub const LIFECYCLE_GRACE_MS: u64 = 60_000;
/// Tickets that follow a change of their lifecycle at a time: people's commands have the rest of the ledger.
pub const SETTLING_COMMANDS_MAX: usize = 64;
/// Faults of a lifecycle that one answer tells.
pub const LIFECYCLE_FAULTS_MAX: usize = 100;
/// Custom fields of one tenant.
pub const FIELDS_MAX: usize = 200;
/// A custom field's key: ASCII.
pub const FIELD_KEY_BYTES_MAX: usize = 40;
/// Choices of one field.
pub const FIELD_CHOICES_MAX: usize = 200;
/// One of them.
pub const FIELD_CHOICE_BYTES_MAX: usize = 100;
/// A text in a field.
pub const FIELD_TEXT_BYTES_MAX: usize = 4 * 1024;
/// A field's default, as JSON.
pub const FIELD_DEFAULT_BYTES_MAX: usize = 256;
/// Tags of one ticket.
pub const TICKET_TAGS_MAX: usize = 100;
/// One of them.
pub const TAG_BYTES_MAX: usize = 64;
/// An intent's name, and a macro's: a tag may be one.
pub const INTENT_NAME_BYTES_MAX: usize = 64;
/// What one event teaches of the tenant's assistant, as JSON.
pub const TEACHING_BYTES_MAX: usize = 4 * 1024;
/// Followers of one ticket.
pub const TICKET_FOLLOWERS_MAX: usize = 200;
/// Links of one ticket.
pub const TICKET_LINKS_MAX: usize = 500;
/// Tickets above one another, each a part of the next.
pub const PARENTS_MAX: usize = 32;
/// Tickets of one bulk command.
pub const BULK_TICKETS_MAX: usize = 1_000;
/// Commands of one bulk command that are under way at a time: others have their turn, too.
pub const BULK_COMMANDS_MAX: usize = 128;
/// Drafts of one agent, one for each ticket.
pub const DRAFTS_PER_AGENT_MAX: usize = 500;
/// The name of a channel: ASCII.
pub const CHANNEL_BYTES_MAX: usize = 32;
/// A ticket's tags, fields, followers, links and the like together, as JSON.
pub const TICKET_EXTRA_BYTES_MAX: usize = 64 * 1024;
/// The latest due date: the end of the year 9999, in milliseconds since 1970.
pub const DUE_AT_MS_MAX: u64 = 253_402_300_799_999;
/// Events of one ticket that a command with `expect` or `seen` may lie back.
pub const MERGE_EVENTS_MAX: u32 = 500;
/// Tries of a command that is decided on more than its ticket's cell, while others change the ticket.
pub const OPTIMISTIC_TRIES_MAX: u32 = 64;
/// Milliseconds that such a try waits for what is under way.
pub const OPTIMISTIC_WAIT_MS_MAX: u64 = 2_000;

/// Commands admitted and not yet answered, in one gateway.
pub const COMMANDS_IN_FLIGHT_MAX: usize = 8_192;
/// Commands in one transaction.
pub const BATCH_COMMANDS_MAX: usize = 1_024;
/// Bytes of event data in one transaction.
pub const BATCH_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Recent events kept in memory per tenant, in bytes of frames.
pub const RING_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Recent events kept in memory per tenant, in events.
pub const RING_EVENTS_MAX: usize = 32_768;
/// Ticket cells kept in memory.
pub const CELLS_MAX: usize = 4_000_000;

/// Tickets of one tenant: 48 bytes of memory each.
pub const TICKETS_MAX: u64 = 100_000_000;

/// Bytes of a tenant's tickets' texts that wait in memory to be written before that is hurried.
pub const PENDING_TEXT_BYTES_WANTED: usize = 8 * 1024 * 1024;

/// Bytes of tickets' texts that are kept in memory for those who read them again.
pub const TEXT_CACHE_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// The most of them: commands wait then.
pub const PENDING_TEXT_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Rows in one page of a list.
pub const PAGE_ROWS_MAX: u32 = 200;
/// Rows in one page of a list when the caller does not say.
pub const PAGE_ROWS_DEFAULT: u32 = 50;

/// A message from a push client, in bytes: room for a command in its envelope.
pub const CLIENT_MESSAGE_BYTES_MAX: usize = COMMAND_BYTES_MAX + 1024;
/// A push client's id of a command or subscription.
pub const MESSAGE_ID_BYTES_MAX: usize = 64;
/// Views of one session.
pub const VIEWS_MAX: usize = 256;
/// Unacknowledged bytes of one session: the least, the default and the most.
pub const WINDOW_BYTES_MIN: u32 = 4 * 1024;
/// See [`WINDOW_BYTES_MIN`].
pub const WINDOW_BYTES_DEFAULT: u32 = 256 * 1024;
/// See [`WINDOW_BYTES_MIN`].
pub const WINDOW_BYTES_MAX: u32 = 4 * 1024 * 1024;
/// Commands of one push session that have no result yet.
pub const SESSION_COMMANDS_MAX: usize = 64;
/// The data of one signal, in bytes as sent.
pub const SIGNAL_DATA_BYTES_MAX: usize = 512;
/// Signals that one session has on at a time; one more is dropped.
pub const SESSION_SIGNALS_MAX: usize = 32;
/// Signals that wait for one session's socket; one more is dropped.
pub const WAITING_SIGNALS_MAX: usize = 32;
/// Signals and comings and goings that wait for one shard; one more is dropped, and made up for.
pub const SHARD_NEWS_MAX: usize = 4_096;
/// Signals and comings and goings that one shard takes in before others have their turn.
pub const NEWS_PER_TURN_MAX: usize = 64;
/// Milliseconds that a typing signal lasts unless it is said again.
pub const TYPING_MS: u64 = 6_000;
/// Milliseconds that an agent counts as there after its last session has ended.
pub const PRESENCE_GRACE_MS: u64 = 15_000;
/// Milliseconds between two messages of who has come and gone.
pub const PRESENCE_MS: u64 = 250;
/// Agents that one message of who is there tells of.
pub const PRESENCE_AGENTS_MAX: usize = 500;
/// Control frames of one session that wait for its socket, in bytes.
pub const CONTROL_BYTES_MAX: usize = 512 * 1024;
/// Sessions of one gateway where the configuration does not say otherwise.
pub const SESSIONS_MAX: u32 = 200_000;
/// Sessions of one tenant where the configuration does not say otherwise.
pub const SESSIONS_PER_TENANT_MAX: u32 = 100_000;
/// Sessions from one address where the configuration does not say otherwise.
pub const SESSIONS_PER_ADDRESS_MAX: u32 = 10_000;
/// Bytes that a redirected connection's client has not proved to have read, before nothing more is sent; one
/// frame may go beyond it.
pub const UNREAD_BYTES_MAX: usize = 512 * 1024;
/// So many, and it is asked for proof.
pub const UNREAD_BYTES_PROOF: usize = 64 * 1024;
/// Milliseconds that a gateway which ends waits for clients to take what waits in redirected connections.
pub const REDIRECT_LINGER_MS_MAX: u64 = 5_000;
/// Messages per second of one session where the configuration does not say otherwise.
pub const MESSAGES_PER_SECOND_MAX: u32 = 100;
/// Seconds whose messages may come at once.
pub const MESSAGE_BURST_S: u64 = 2;
/// Heartbeats for which a session may lag while its client acknowledges nothing further.
pub const LAG_HEARTBEATS_MAX: u8 = 4;
/// Milliseconds between heartbeats (a `mark`, and a ping) of a quiet session.
pub const HEARTBEAT_MS: u64 = 15_000;
/// Milliseconds a new connection has for its handshake and its `hello`.
pub const HELLO_MS_MAX: u64 = 10_000;
/// Control frames of a connection before its `hello`: a proxy may ask once or twice whether it is there.
pub const FRAMES_BEFORE_HELLO_MAX: u8 = 16;
/// Reads of one connection, of 16 KiB each, before others have their turn.
pub const READS_PER_TURN_MAX: usize = 4;
/// Events read from the log for one session's replay at a time.
pub const REPLAY_EVENTS_MAX: usize = 512;

/// A message from the server, in bytes: an event made of the longest command, in its envelope.
pub const SERVER_MESSAGE_BYTES_MAX: usize = 2 * COMMAND_BYTES_MAX;
/// Runs of neighbouring offsets that a push client remembers between two marks.
pub const UNVERIFIED_RUNS_MAX: usize = 4_096;
/// Milliseconds a push client waits at most before it comes back at once (close codes 4000 to 4099).
pub const RECONNECT_JITTER_MS_MAX: u64 = 500;
/// A push client's first pause after a failure, in milliseconds; it doubles with each further one.
pub const BACKOFF_MS_MIN: u64 = 500;
/// A push client's longest pause between two attempts, in milliseconds.
pub const BACKOFF_MS_MAX: u64 = 30_000;
/// Milliseconds a push client gives an attempt to connect, and again the server to welcome it.
pub const CONNECT_MS_MAX: u64 = 10_000;
/// Items that a push client hands to its application ahead of its reading them.
pub const CLIENT_ITEMS_MAX: usize = 64;
/// Changes of a push client's views and token that no server has confirmed.
pub const CLIENT_CHANGES_MAX: usize = 64;
/// Milliseconds that a replaced push connection stays open for the answers to its commands.
pub const RETIRED_MS_MAX: u64 = 5_000;
/// Batches of committed events that wait for one shard; beyond it the shard reads the log.
pub const SHARD_BATCHES_MAX: usize = 1_024;
/// Connections handed over, and orders of the engine, that wait for one shard.
pub const SHARD_ORDERS_MAX: usize = 1_024;
/// Reads of storage for replays that one shard has under way.
pub const SHARD_READS_MAX: usize = 16;
/// Pages of the log that one session is given before others have their turn.
pub const REPLAY_PAGES_PER_TURN_MAX: usize = 16;
/// Pages of the log's part in memory that a shard remembers for sessions that come back to them: all of one
/// tenant's [`RING_EVENTS_MAX`].
pub const REPLAY_PAGES_KEPT_MAX: usize = RING_EVENTS_MAX / REPLAY_EVENTS_MAX;
/// The same for pages out of storage.
pub const REPLAY_STORED_PAGES_KEPT_MAX: usize = 16;
/// See [`REPLAY_PAGES_KEPT_MAX`]; in milliseconds.
pub const REPLAY_PAGE_MS_MAX: u64 = 2_000;
/// A page with more bytes of frames than this is not remembered.
pub const REPLAY_PAGE_BYTES_MAX: usize = 1024 * 1024;
/// Sessions that are given a page before others have their turn.
pub const REPLAY_SESSIONS_PER_TURN_MAX: usize = 16;
/// Connections that one listener accepts before others have their turn.
pub const ACCEPTS_PER_TURN_MAX: usize = 16;
/// Handshakes that one shard works on before others have their turn.
pub const HANDSHAKES_PER_TURN_MAX: usize = 16;
/// Sessions that one shard parts with before others have their turn.
pub const LEAVING_PER_TURN_MAX: usize = 16;
/// Handshakes take at most one part in so many of a shard's time, measured over some milliseconds.
pub const HANDSHAKE_TIME_DIVISOR: u32 = 4;
/// Work on handshakes that is not paid for by rest, in milliseconds.
pub const HANDSHAKE_DEBT_MS: u64 = 1;
/// Connections of one shard that have not finished their handshake; the rest waits in the kernel.
pub const HANDSHAKES_MAX: usize = 2_048;
/// Milliseconds for a handshake while more than half of [`HANDSHAKES_MAX`] are under way.
pub const HANDSHAKE_PRESSED_MS_MAX: u64 = 1_000;
/// The request of a push handshake, in bytes.
pub const HANDSHAKE_BYTES_MAX: usize = 16 * 1024;
/// Seconds after which a client that was turned away is told to come back: the least and the most.
pub const RETRY_AFTER_S_MIN: u32 = 1;
/// See [`RETRY_AFTER_S_MIN`].
pub const RETRY_AFTER_S_MAX: u32 = 5;
/// The longest such hint that a push client takes, in seconds.
pub const RETRY_HINT_S_MAX: u32 = 300;
/// Counters of connections by address: a power of two. Where the hashes of two addresses meet twice, they
/// are counted together.
pub const ADDRESS_COUNTERS: usize = 1 << 18;
/// Milliseconds that a closed connection has to take what was sent and to close its end.
pub const CLOSE_MS_MAX: u64 = 5_000;
/// Sessions of one shard that are ticked before others have their turn.
pub const TICKS_PER_TURN_MAX: usize = 128;
/// Threads of the push engine.
pub const SHARDS_MAX: usize = 64;
/// What one push connection keeps for the beginning of a message, in bytes; it grows to the message's
/// length where that is more.
pub const READ_BUFFER_BYTES: usize = 64;
/// What a shard reads from a connection at a time, in bytes.
pub const SHARD_READ_BYTES: usize = 16 * 1024;
/// Bytes that a TLS connection encrypts ahead of the kernel's taking them.
pub const TLS_BUFFER_BYTES_MAX: usize = 64 * 1024;
/// Milliseconds between two looks at the files of a certificate and its key.
pub const TLS_RELOAD_MS: u64 = 5_000;
/// Milliseconds a connection to the API has for its TLS handshake.
pub const TLS_HANDSHAKE_MS_MAX: u64 = 10_000;
/// Slices that one vectored write takes.
pub const WRITE_SLICES_MAX: usize = 64;
/// Events that one shard writes to sessions before it reads from them again, give or take a batch.
pub const WRITES_PER_TURN_MAX: u64 = 2_048;
/// Bytes of one answer of the HTTP API that `wagglectl` takes.
pub const API_ANSWER_BYTES_MAX: usize = 32 * 1024 * 1024;
/// Milliseconds that `wagglectl` waits for one answer of the HTTP API.
pub const API_ANSWER_MS_MAX: u64 = 30_000;
/// Attempts of `wagglectl` at one request where the API is unavailable.
pub const API_ATTEMPTS_MAX: u32 = 3;
/// Attempts of `wagglectl feed` at one ticket: nobody waits for each of them.
pub const FEED_ATTEMPTS_MAX: u32 = 8;
/// Tickets that `wagglectl feed` has on their way at a time, at most.
pub const FEED_CONCURRENCY_MAX: usize = 256;
/// Items that `wagglectl watch` writes before it saves its state.
pub const WATCH_BATCH_ITEMS_MAX: usize = 256;
/// Bytes of its output that `wagglectl watch` looks through for lines it wrote before it was killed.
pub const WATCH_RECOVERY_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// Sessions that a draining gateway sends to others per second, at most: with more of them, clients get
/// longer than `drain_after_ms`.
pub const DRAIN_SESSIONS_PER_SECOND: u64 = 4_000;
/// HTTP connections of one gateway, where the configuration does not say; one more is answered `overload` and
/// closed.
pub const HTTP_CONNECTIONS_MAX: u32 = 16_384;
/// Streams of events (SSE) of one gateway: the other connections are for commands and probes.
pub const HTTP_STREAMS_MAX: usize = 2_048;
/// Milliseconds within which a client takes some of an answer.
pub const HTTP_WRITE_MS_MAX: u64 = 30_000;
/// Names and values of one HTTP request's headers, in bytes.
pub const HTTP_HEADER_BYTES_MAX: usize = 16 * 1024;
/// Headers of one HTTP request.
pub const HTTP_HEADERS_MAX: usize = 64;
/// What one HTTP connection buffers, in bytes: a header of [`HTTP_HEADER_BYTES_MAX`] and part of a body.
pub const HTTP_BUFFER_BYTES_MAX: usize = 64 * 1024;
/// Milliseconds a HTTP connection may be quiet between requests, and take for a header.
pub const HTTP_HEADER_MS_MAX: u64 = 30_000;
/// Bytes of a file of a ticket, where the configuration does not say.
pub const ATTACHMENT_BYTES_MAX: u64 = 25 * 1024 * 1024;
/// Bytes of such a file's name.
pub const ATTACHMENT_NAME_BYTES_MAX: usize = 255;
/// Files of one ticket.
pub const TICKET_ATTACHMENTS_MAX: usize = 1_000;
/// Bytes of a disk that files of tickets leave free.
pub const ATTACHMENT_DISK_FREE_BYTES: u64 = 512 * 1024 * 1024;
/// Bytes of a file on its way in after which the disk's room is looked at again.
pub const ATTACHMENT_SPOOL_LOOK_BYTES: u64 = 8 * 1024 * 1024;
/// Bytes of a file that a S3-compatible store takes in one piece.
pub const ATTACHMENT_STORE_BYTES_MAX: u64 = 5 * 1024 * 1024 * 1024;
/// Bytes of what names of a store's objects begin with.
pub const ATTACHMENT_PREFIX_BYTES_MAX: usize = 256;
/// Milliseconds until there is a connection to a store of files.
pub const ATTACHMENT_STORE_CONNECT_MS_MAX: u64 = 5_000;
/// Milliseconds until a store of files answers, and between two pieces of an answer.
pub const ATTACHMENT_STORE_ANSWER_MS_MAX: u64 = 15_000;
/// Bytes a second that a store of files takes at least.
pub const ATTACHMENT_STORE_BYTES_PER_SECOND_MIN: u64 = 64 * 1024;
/// Attempts at one request to a store of files.
pub const ATTACHMENT_STORE_ATTEMPTS: u32 = 3;
/// Milliseconds between the first two of them, give or take.
pub const ATTACHMENT_STORE_PAUSE_MS: u64 = 200;
/// Milliseconds that a request to a store of files may be on its way after it was signed.
pub const ATTACHMENT_STORE_SIGNATURE_MS: u64 = 300_000;
/// Bytes of a store's answer that is no file: a page of a list, or an error.
pub const ATTACHMENT_STORE_ANSWER_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Connections to a store of files that are kept for the next request.
pub const ATTACHMENT_STORE_IDLE_MAX: usize = 16;
/// Milliseconds that they are.
pub const ATTACHMENT_STORE_IDLE_MS: u64 = 20_000;
/// Files of one page, when all are listed.
pub const ATTACHMENT_PAGE_MAX: usize = 1_000;
/// Files that are named when all are verified; all others are counted.
pub const ATTACHMENT_FINDINGS_MAX: usize = 10_000;
/// Milliseconds from a request's header to the end of its body.
pub const HTTP_BODY_MS_MAX: u64 = 10_000;
/// Bytes of Server-Sent Events that are made at a time, give or take one event.
pub const SSE_CHUNK_BYTES: usize = 16 * 1024;
/// Milliseconds after which a client of Server-Sent Events comes back.
pub const SSE_RETRY_MS: u64 = 2_000;
/// Parameters of one query.
pub const HTTP_QUERY_PARAMETERS_MAX: usize = 16;
/// Milliseconds that requests under way get when the gateway stops.
pub const HTTP_STOP_MS_MAX: u64 = 10_000;
/// Milliseconds that HTTP requests get before the ledger stops.
pub const HTTP_HANDOVER_MS_MAX: u64 = 1_000;
/// Milliseconds that a gateway waits for another to let go of its data directory.
pub const TAKEOVER_MS_MAX: u64 = 120_000;
/// Milliseconds between two tries meanwhile.
pub const TAKEOVER_POLL_MS: u64 = 10;
/// Milliseconds until storage that does not answer counts as failed, for `/readyz`.
pub const STORAGE_ANSWER_MS_MAX: u64 = 2_000;
/// Milliseconds until a change by `waggle admin` takes effect in a running gateway.
pub const DIRECTORY_REFRESH_MS: u64 = 1_000;
/// The detail of one entry of the audit log, in bytes of JSON; a longer one is left out, and said to be.
pub const AUDIT_DETAIL_BYTES_MAX: usize = 4 * 1024;
/// What an entry of the audit log names as its object, in bytes; the rest is cut off.
pub const AUDIT_OBJECT_BYTES_MAX: usize = 256;
/// A password, in characters: OWASP's Application Security Verification Standard 4.0.3, requirement 2.1.1.
pub const PASSWORD_CHARS_MIN: usize = 12;
/// The same, in bytes.
pub const PASSWORD_BYTES_MAX: usize = 512;
/// Passwords that wait to be hashed, of browsers that are known and of others each; one more is answered overload.
pub const PASSWORDS_WAITING_MAX: usize = 32;
/// Failed logins to one account within [`LOGIN_WINDOW_MS`] by devices that have not logged in to it before, and as many
/// by each device that has.
pub const LOGIN_FAILURES_MAX: u32 = 10;
/// Failed logins from one IPv4 address, or 64 bits of IPv6, within [`LOGIN_WINDOW_MS`]: an office is one address.
pub const LOGIN_SOURCE_FAILURES_MAX: u32 = 100;
/// Milliseconds after which failed logins are forgotten.
pub const LOGIN_WINDOW_MS: u64 = 15 * 60_000;
/// Milliseconds that an account, device or source with too many of them waits.
pub const LOGIN_REST_MS: u64 = 15 * 60_000;
/// Accounts, devices and sources, each, whose failed logins are counted: a power of two.
pub const LOGIN_COUNTERS: usize = 1 << 15;
/// Sessions of one agent; a new one ends the oldest.
pub const LOGIN_SESSIONS_MAX: u32 = 64;
/// Devices that are remembered of one agent; a new one takes the oldest's place.
pub const LOGIN_DEVICES_MAX: u32 = 32;
/// Accounts that one browser is remembered for.
pub const DEVICE_ACCOUNTS_MAX: usize = 4;
/// Entries of the audit log about failed logins that wait to be written; one more is counted as lost.
pub const AUDIT_WAITING_MAX: usize = 1_024;
/// Milliseconds to the nearest of which it is known when a session or token was used last.
pub const SEEN_STEP_MS: u64 = 60_000;
/// Sessions and tokens whose last use is written in one transaction.
pub const SEEN_BATCH_MAX: usize = 512;
/// Milliseconds that a push token lasts: from asking for it to a push client's `hello`.
pub const PUSH_TOKEN_MS: u64 = 60_000;
/// Push tokens that are waited for.
pub const PUSH_TOKENS_MAX: usize = 65_536;
/// What a browser calls itself, as it is kept with its session, in bytes.
pub const CLIENT_NAME_BYTES_MAX: usize = 200;
/// A token of an identity provider, in bytes.
pub const JWT_BYTES_MAX: usize = 8 * 1024;
/// Tokens of an identity provider whose signatures are remembered to be right.
pub const JWT_CACHE_MAX: usize = 8_192;
/// Seconds that an identity provider's clock may differ from this one.
pub const JWT_LEEWAY_S: u64 = 30;
/// Keys of an identity provider.
pub const JWKS_KEYS_MAX: usize = 64;
/// An answer of an identity provider, in bytes.
pub const PROVIDER_BYTES_MAX: usize = 256 * 1024;
/// Milliseconds that an identity provider has for an answer.
pub const PROVIDER_MS_MAX: u64 = 10_000;
/// Milliseconds after which an identity provider's keys are read again.
pub const JWKS_REFRESH_MS: u64 = 60 * 60_000;
/// Milliseconds between two readings of them, however many tokens come with keys that are not known.
pub const JWKS_AGAIN_MS: u64 = 30_000;
/// Logins at an identity provider that were begun; one more takes the oldest's place.
pub const LOGIN_FLOWS_MAX: usize = 16_384;
/// Milliseconds for one of them.
pub const LOGIN_FLOW_MS: u64 = 10 * 60_000;
/// Of one source within that time.
pub const LOGIN_FLOWS_PER_SOURCE_MAX: u32 = 200;
/// What an identity provider says in the claim that agents are known by, in bytes.
pub const PROVIDER_SUBJECT_BYTES_MAX: usize = 256;
/// API tokens of one agent that are in force.
pub const TOKENS_PER_AGENT_MAX: usize = 256;
/// Revoked tokens that a gateway knows from unknown ones, the newest.
pub const REVOKED_TOKENS_MAX: usize = 65_536;

/// A query for tickets, in bytes.
pub const QUERY_BYTES_MAX: usize = 1_024;
/// Terms of one query.
pub const QUERY_TERMS_MAX: usize = 64;
/// How deep brackets and negations of a query go.
pub const QUERY_DEPTH_MAX: usize = 8;

/// Milliseconds that a reader waits for the index to reach the head of the log.
pub const INDEX_WAIT_MS_MAX: u64 = 2_000;
/// Events that the index takes in before readers have their turn.
pub const INDEX_EVENTS_PER_TURN_MAX: usize = 512;
/// Tickets that the index reads at a time when it is filled.
pub const INDEX_TICKETS_PER_READ: u32 = 8_192;

/// Characters of a word that count when it is looked for.
pub const WORD_CHARS_MAX: usize = 64;
/// Messages with a word that one search looks at, the newest tickets' first.
pub const SEARCH_ROWS_MAX: u32 = 20_000;
/// Tickets that one search ranks and pages through.
pub const SEARCH_TICKETS_MAX: usize = 1_000;
/// Milliseconds that a search waits for what has just been written.
pub const SEARCH_WAIT_MS_MAX: u64 = 500;
/// Events that are made searchable in one transaction.
pub const SEARCH_EVENTS_PER_TURN_MAX: usize = 2_048;
/// Characters of a text that a search shows.
pub const SNIPPET_CHARS: usize = 160;
/// Places that are marked in it.
pub const SNIPPET_MARKS_MAX: usize = 16;
/// Counts of saved views that one session watches.
pub const COUNTS_PER_SESSION_MAX: usize = 64;
/// Counts that all sessions of one gateway watch, those of the same view included.
pub const COUNTS_WATCHED_MAX: usize = 100_000;
/// Different counts of one gateway: those of the same query, for the same queues, are one.
pub const COUNTS_MAX: usize = 32_768;
/// Sessions that one shard tells a count before others have their turn.
pub const COUNT_WRITES_PER_TURN_MAX: usize = 64;
/// Milliseconds between two messages of one count.
pub const COUNT_MS: u64 = 500;
/// Milliseconds between two rounds of telling counts.
pub const COUNT_ROUND_MS: u64 = 25;
/// Milliseconds between two looks at whether rights and names have changed what is counted.
pub const COUNT_LOOK_MS: u64 = 250;
/// Milliseconds after which a count of a query with times from now is made anew though nothing has happened.
pub const COUNT_OF_THE_MOMENT_MS: u64 = 5_000;
/// Comparisons of a ticket with a query when the index takes in events, of 5 to 20 nanoseconds each; beyond it tickets
/// are counted anew instead.
pub const COUNT_STEPS_PER_TURN_MAX: usize = 131_072;
/// Lists that take long, under way and waiting, in one gateway; one more is answered overload.
pub const QUERIES_ASIDE_MAX: usize = 64;
/// Of them, those that are under way.
pub const QUERIES_RUNNING_MAX: usize = 2;
/// Queries of which it is remembered how long they took.
pub const QUERIES_KNOWN_MAX: usize = 16_384;
/// Microseconds of a query that is answered at once, by the thread that has its request.
pub const QUERY_QUICK_US_MAX: u32 = 1_000;
/// Tickets of a tenant whose queries are taken to be quick before they were ever asked.
pub const QUERY_TICKETS_FEW: u64 = 20_000;
/// Milliseconds of a query that counts as slow.
pub const QUERY_SLOW_MS: u64 = 20;
/// Tickets that a list of the past folds from the log: those that have changed since. With eight events each they take
/// two and a half seconds.
pub const PAST_TICKETS_MAX: usize = 50_000;
/// Tickets that are read at a time for it.
pub const PAST_TICKETS_PER_READ: usize = 128;
/// Milliseconds for it, those included that it waits for others.
pub const PAST_MS_MAX: u64 = 5_000;
/// Requests about the past that are under way or wait; one more is answered overload.
pub const PAST_LISTS_MAX: usize = 16;
/// Saved views of one tenant.
pub const SAVED_VIEWS_MAX: usize = 10_000;

/// Events that the assistant learns from before others have their turn.
pub const LEARN_EVENTS_PER_TURN_MAX: usize = 256;
/// Events of one ticket that are read at once to make its dialogue.
pub const LEARN_EVENTS_PER_READ: u32 = 256;
/// Dialogues of one tenant that are kept in memory while its log is followed.
pub const LEARN_DIALOGUES_MAX: usize = 2_048;
/// Dialogues of one gateway that are kept in memory because somebody watches them.
pub const SUGGEST_DIALOGUES_MAX: usize = 2_048;
/// Messages of customers that wait to be looked at; of one more nobody is told, and whoever wants asks.
pub const LEARN_ASKS_MAX: usize = 4_096;
/// Automatic replies of one gateway that are being made at once; one more waits.
pub const AUTOMATIC_REPLIES_MAX: usize = 64;
/// Messages of one tenant that wait for their turn to get an automatic reply; one more is left to people.
pub const AUTOMATIC_WAITING_MAX: usize = 256;
/// Milliseconds that an automatic reply waits for the model to have learned everything before its message.
pub const AUTOMATIC_WAIT_MS_MAX: u64 = 30_000;
/// Lessons after which a model is written.
pub const LEARN_LESSONS_PER_SNAPSHOT: u64 = 2_000;
/// Milliseconds after which a model is written that has learned anything.
pub const LEARN_SNAPSHOT_MS: u64 = 300_000;
/// Bytes of a model's file; a longer one is damaged.
pub const LEARN_SNAPSHOT_BYTES_MAX: u64 = 256 * 1024 * 1024;
/// Milliseconds that whoever asks about a model waits for it to have learned everything.
pub const LEARN_WAIT_MS_MAX: u64 = 500;
/// Milliseconds without a further erasure after which a model is folded anew though nobody waits for it.
pub const LEARN_SETTLE_MS: u64 = 5_000;

/// Tickets that are noted to be erased next, and then erased one after the other.
pub const ERASED_TICKETS_PER_TURN_MAX: usize = 64;
/// Bytes of the log's database up to which it is written anew after an erasure, while commands wait.
pub const ERASED_VACUUM_BYTES_MAX: u64 = 128 * 1024 * 1024;
/// Events that are erased in one transaction.
pub const ERASED_EVENTS_PER_TURN_MAX: u32 = 256;

/// Agents whom one text names.
pub const MENTIONS_MAX: usize = 50;
/// Signs `@` of one text that are looked at.
pub const MENTION_SIGNS_MAX: usize = 200;

/// Bytes of a text that are looked at to know what it is about.
pub const FEATURE_TEXT_BYTES_MAX: usize = 4 * 1024;
/// Such a text after it was normalised and masked: both may make it longer.
pub const FEATURE_MASKED_BYTES_MAX: usize = 32 * FEATURE_TEXT_BYTES_MAX;
/// Features of one text.
pub const FEATURES_MAX: usize = 4_096;
/// Intents of one tenant that are learned.
pub const INTENTS_MAX: usize = 2_000;
/// Features that one learner of intents knows.
pub const INTENT_FEATURES_MAX: usize = 400_000;
/// Features and intents that one learner knows something about together: of eight bytes each, at most sixteen with room.
pub const INTENT_CELLS_MAX: usize = 3_000_000;
/// Examples that one learner keeps to look at again.
pub const INTENT_REPLAYS_MAX: usize = 4_096;
