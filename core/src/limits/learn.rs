//! Bounds of what the assistant remembers of dialogues and replies.

/// Characters of a text that tell its language.
pub const LANGUAGE_CHARS_MAX: usize = 400;
/// Automatic replies of one ticket, where a mode asks for the most.
pub const AUTOMATIC_PER_TICKET_MAX: u32 = 20;
/// Automatic replies of one queue within an hour, where a mode asks for the most.
pub const AUTOMATIC_PER_HOUR_MAX: u32 = 1_000;
/// Words of a requester's name and address that are looked for in replies.
pub const PERSON_PARTS_MAX: usize = 16;
/// Messages of one ticket that the assistant has at hand, the newest.
pub const DIALOGUE_MESSAGES_MAX: usize = 16;
/// Bytes of one of them.
pub const DIALOGUE_MESSAGE_BYTES_MAX: usize = 4 * 1024;
/// Verdicts of one ticket that are remembered, so that the reply which follows does not count again.
pub const DIALOGUE_VERDICTS_MAX: usize = 8;
/// Words of one ticket's customer that are looked for in replies; with more, every word may be one.
pub const CUSTOMER_WORDS_MAX: usize = 16_384;
/// Replies that one is compared with word by word, those first that share most.
pub const COMPARED_REPLIES_MAX: usize = 64;
/// A reply that is learned to be suggested.
pub const LEARNED_REPLY_BYTES_MAX: usize = 4 * 1024;
/// Words and slots of a reply that are compared with others.
pub const REPLY_TOKENS_MAX: usize = 512;
/// Replies of one tenant that may be suggested.
pub const LEARNED_REPLIES_MAX: usize = 4_096;
/// Replies of one intent.
pub const INTENT_REPLIES_MAX: usize = 32;
/// Contexts that one reply's uses are counted in.
pub const REPLY_CONTEXTS_MAX: usize = 16;
/// Sources that a reply names.
pub const REPLY_SOURCES_MAX: usize = 3;
/// Intents that have no name yet.
pub const UNNAMED_INTENTS_MAX: usize = 500;
/// Other names of intents: those that were merged.
pub const INTENT_ALIASES_MAX: usize = 4_000;
/// Words of replies of which it is known whether they were said to two requesters.
pub const SAID_WORDS_MAX: usize = 65_536;
/// Words of learned messages that are known.
pub const HEARD_WORDS_MAX: usize = 65_536;
/// Messages of which it is known what they were learned as.
pub const LEARNED_MESSAGES_MAX: usize = 16_384;
/// Predictions of one intent that its threshold goes by, the newest.
pub const INTENT_PREDICTIONS_MAX: usize = 128;
/// Predictions of all intents together.
pub const PREDICTIONS_MAX: usize = 4_096;
/// Points of the curve of accuracy.
pub const ACCURACY_POINTS_MAX: usize = 128;
/// Pairs of intents that are counted as confused.
pub const CONFUSIONS_MAX: usize = 512;
/// Lessons of one intent that tell who teaches it, the newest.
pub const INTENT_TEACHERS_MAX: usize = 32;
/// Texts that champion and challenger were compared by, so that the same one does not count again.
pub const TRIAL_TEXTS_MAX: usize = 4_096;
/// Changes of champions that are remembered.
pub const PROMOTIONS_MAX: usize = 20;
/// Stretches of one log that rollbacks leave out.
pub const ROLLBACKS_MAX: usize = 10_000;
/// Bytes of a model's snapshot.
pub const SNAPSHOT_BYTES_MAX: usize = 256 * 1024 * 1024;
