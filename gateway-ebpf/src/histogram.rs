//! A log-linear histogram of microseconds: four buckets for each doubling, as the program fills it.
//!
//! A value's bucket is found by its highest bit and the two bits after it, so a bucket is at most a
//! quarter of its value wide.

/// Buckets: up to 2^25 microseconds, half a minute. The last one takes what is longer.
pub const BUCKETS: u32 = 96;

/// The bucket of `value_us`, below [`BUCKETS`].
#[must_use]
#[inline(always)]
pub const fn bucket(value_us: u32) -> u32 {
    if value_us < 4 {
        return value_us;
    }
    let exponent = value_us.ilog2();
    let index = (exponent - 1) * 4 + ((value_us >> (exponent - 2)) & 3);
    if index < BUCKETS { index } else { BUCKETS - 1 }
}

/// The smallest value in `bucket`, in microseconds.
#[must_use]
pub const fn floor_us(bucket: u32) -> u32 {
    if bucket < 4 {
        return bucket;
    }
    let exponent = bucket / 4 + 1;
    (4 + bucket % 4) << (exponent - 2)
}

/// The value, in microseconds, at or below which `thousandths` of all lie: the upper edge of its bucket;
/// `None` where nothing was counted.
#[must_use]
pub fn quantile_us(counts: &[u64], thousandths: u64) -> Option<u32> {
    let total: u64 = counts.iter().sum();
    let rank = (total * thousandths).div_ceil(1_000).max(1);
    let mut below = 0_u64;
    for (bucket, count) in counts.iter().enumerate() {
        below += count;
        if below >= rank {
            return Some(floor_us(bucket as u32 + 1));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn buckets_follow_each_other_without_a_gap() {
        for index in 0..BUCKETS {
            assert_eq!(bucket(floor_us(index)), index);
            if index + 1 < BUCKETS {
                assert_eq!(bucket(floor_us(index + 1) - 1), index);
            }
        }
        assert_eq!(bucket(u32::MAX), BUCKETS - 1);
        assert_eq!(floor_us(BUCKETS), 1 << 25);
    }

    #[test]
    fn quantiles_are_upper_edges() {
        let mut counts = [0_u64; BUCKETS as usize];
        assert_eq!(quantile_us(&counts, 500), None);
        counts[bucket(100) as usize] = 99;
        counts[bucket(50_000) as usize] = 1;
        assert_eq!(quantile_us(&counts, 500), Some(112));
        assert_eq!(quantile_us(&counts, 1_000), Some(57_344));
    }

    proptest! {
        #[test]
        fn a_bucket_is_at_most_a_quarter_wide(value in 4_u32..1 << 25) {
            let index = bucket(value);
            prop_assert!(floor_us(index) <= value && value < floor_us(index + 1));
            prop_assert!(floor_us(index + 1) - floor_us(index) <= value.div_ceil(4));
        }
    }
}
