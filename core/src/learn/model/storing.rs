//! A model as bytes: `WGLM`, the format's number, the state, and a CRC-32 of all before it.

use super::Model;
use crate::learn::snapshot::SnapshotError;
use crate::limits::SNAPSHOT_BYTES_MAX;

const MAGIC: [u8; 4] = *b"WGLM";
/// Raised with every change of what a snapshot has or of what lessons teach: one of another number is not read, but made anew from the log.
const FORMAT: u8 = 3;
const HEAD_BYTES: usize = MAGIC.len() + 1;
const CHECKSUM_BYTES: usize = 4;

impl Model {
    /// The model as bytes, with a checksum: the same lessons give the same bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        bytes.push(FORMAT);
        // It fails only where a type has no form, or memory ends; what is written then has no state and is not read.
        let mut bytes = postcard::to_extend(self, bytes).unwrap_or_default();
        let checksum = crc32fast::hash(&bytes);
        bytes.extend_from_slice(&checksum.to_le_bytes());
        bytes
    }

    /// What [`Model::encode`] has written.
    ///
    /// # Errors
    /// Where the bytes are not all of that, or of another version's format.
    pub fn decode(bytes: &[u8]) -> Result<Self, SnapshotError> {
        let damaged = |what, found, expected| SnapshotError::Damaged { what, found, expected };
        if bytes.len() > SNAPSHOT_BYTES_MAX {
            return Err(damaged("its length", bytes.len() as u64, "at most 256 MiB"));
        }
        let short = SnapshotError::Short { what: "its head" };
        let (checked, checksum) = bytes.split_last_chunk::<CHECKSUM_BYTES>().ok_or(short.clone())?;
        let (head, state) = checked.split_first_chunk::<HEAD_BYTES>().ok_or(short)?;
        let found = u32::from_le_bytes(*checksum);
        if crc32fast::hash(checked) != found {
            return Err(damaged("a checksum", found.into(), "that of the bytes before it"));
        }
        if !head.starts_with(&MAGIC) || head.last() != Some(&FORMAT) {
            let found = head.last().copied().unwrap_or_default();
            return Err(damaged("its format", found.into(), "that of this version"));
        }
        let (model, rest) = postcard::take_from_bytes(state)
            .map_err(|_| damaged("its state", state.len() as u64, "a model"))?;
        if rest.is_empty() {
            Ok(model)
        } else {
            Err(damaged("bytes behind the state", rest.len() as u64, "none"))
        }
    }
}

/// Modes have their name beside their numbers in JSON, which a format without names cannot read.
pub(super) mod modes {
    use std::collections::BTreeMap;

    use serde::de::Error as _;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use crate::id::QueueId;
    use crate::learn::mode::Mode;

    type Stored = (QueueId, u8, f32, u32, u32);

    pub(in super::super) fn serialize<S: Serializer>(
        modes: &BTreeMap<QueueId, Mode>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        let stored = modes.iter().map(|(queue, mode)| match *mode {
            Mode::Off => (*queue, 0, 0.0, 0, 0),
            Mode::Suggest { precision } => (*queue, 1, precision, 0, 0),
            Mode::Auto { precision, per_ticket, per_hour } => (*queue, 2, precision, per_ticket, per_hour),
        });
        stored.collect::<Vec<Stored>>().serialize(serializer)
    }

    pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<BTreeMap<QueueId, Mode>, D::Error> {
        let stored = Vec::<Stored>::deserialize(deserializer)?;
        let mode = |(queue, kind, precision, per_ticket, per_hour): Stored| match kind {
            0 => Ok((queue, Mode::Off)),
            1 => Ok((queue, Mode::Suggest { precision })),
            2 => Ok((queue, Mode::Auto { precision, per_ticket, per_hour })),
            _ => Err(D::Error::custom("a mode that there is not")),
        };
        stored.into_iter().map(mode).collect()
    }
}
