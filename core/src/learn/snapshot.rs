//! A model as bytes.

/// Bytes that are no snapshot of a model.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SnapshotError {
    /// They end too early.
    #[error("the snapshot ends within {what}; expected more bytes")]
    Short {
        /// What was read.
        what: &'static str,
    },
    /// They say what cannot be.
    #[error("the snapshot has {found} as {what}; expected {expected}")]
    Damaged {
        /// What was read.
        what: &'static str,
        /// What it is.
        found: u64,
        /// What it could be.
        expected: &'static str,
    },
}

/// Appends a number in seven bits a byte, the lowest first (LEB128).
pub(crate) fn put_number(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number.to_le_bytes().first().copied().unwrap_or_default() | 0x80);
        number >>= 7;
    }
    out.push(number.to_le_bytes().first().copied().unwrap_or_default());
}

/// Takes such a number from the front.
pub(crate) fn take_number(input: &mut &[u8], what: &'static str) -> Result<u64, SnapshotError> {
    let mut number = 0_u64;
    for shift in (0..64).step_by(7) {
        let [byte] = take_bytes::<1>(input, what)?;
        number |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Ok(number);
        }
    }
    Err(SnapshotError::Damaged { what, found: number, expected: "a number of at most ten bytes" })
}

/// Takes a number that is at most `max`.
pub(crate) fn take_count(input: &mut &[u8], max: usize, what: &'static str) -> Result<usize, SnapshotError> {
    let found = take_number(input, what)?;
    usize::try_from(found).ok().filter(|count| *count <= max).ok_or(SnapshotError::Damaged {
        what,
        found,
        expected: "a number within its limit",
    })
}

/// Takes so many bytes from the front.
pub(crate) fn take_bytes<const N: usize>(
    input: &mut &[u8],
    what: &'static str,
) -> Result<[u8; N], SnapshotError> {
    let (bytes, rest) = input.split_first_chunk::<N>().ok_or(SnapshotError::Short { what })?;
    *input = rest;
    Ok(*bytes)
}

/// Appends a number's bits.
pub(crate) fn put_float(out: &mut Vec<u8>, number: f32) {
    out.extend_from_slice(&number.to_bits().to_le_bytes());
}

/// Takes a number's bits: a finite one.
pub(crate) fn take_float(input: &mut &[u8], what: &'static str) -> Result<f32, SnapshotError> {
    let bits = u32::from_le_bytes(take_bytes::<4>(input, what)?);
    let number = f32::from_bits(bits);
    let expected = "a finite number";
    number.is_finite().then_some(number).ok_or(SnapshotError::Damaged { what, found: bits.into(), expected })
}
