//! How likely an answer is right, learned from answers that were given before the truth was told.

use crate::learn::SnapshotError;
use crate::learn::snapshot::{put_float, take_float};

/// How much of what is known is forgotten with an answer that tells most; with one that tells less it is less, so that
/// what is known does not fade while all answers are right and sure (as directional forgetting, Hägglund 1983).
const FORGOTTEN: f32 = 0.003;
/// Bounds of the slope: a better signal never means less confidence.
const SLOPE: (f32, f32) = (0.2, 12.0);
/// The other number's bound.
const OFFSET_MAX: f32 = 20.0;
/// What a covariance grows to while nothing is told.
const SPREAD_MAX: f32 = 4.0;

/// Logistic regression on one signal, by Newton's steps with a covariance that grows old (an extended Kalman filter).
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Calibration {
    slope: f32,
    offset: f32,
    /// Covariance: of the slope, of both, of the offset.
    spread: [f32; 3],
}

impl Default for Calibration {
    /// What held-out parts of training sets gave, roughly; a hundred answers change it.
    fn default() -> Self {
        Self { slope: 2.0, offset: -1.5, spread: [0.5, 0.0, 0.5] }
    }
}

impl Calibration {
    /// From 0 to 1.
    pub(super) fn probability(&self, signal: f32) -> f32 {
        1.0 / (1.0 + libm::expf(-(self.slope * signal + self.offset).clamp(-30.0, 30.0)))
    }

    /// Learns whether the answer with this signal was right.
    pub(super) fn learn(&mut self, signal: f32, is_right: Verdict, weight: f32) {
        let truth = if is_right == Verdict::Right { 1.0 } else { 0.0 };
        let probability = self.probability(signal);
        let curve = weight * probability * (1.0 - probability);
        // The curve is a quarter at most. All of the covariance grows by one factor, so that it stays one.
        let kept = 1.0 - FORGOTTEN * (4.0 * curve);
        let [slope, _, offset] = self.spread;
        let growth = (1.0 / kept).min(SPREAD_MAX / slope.max(offset).max(f32::MIN_POSITIVE));
        let [slope, both, offset] = self.spread.map(|spread| spread * growth);
        let gain = (slope * signal + both, both * signal + offset);
        let shrink = curve / (1.0 + curve * (signal * gain.0 + gain.1));
        self.spread = [
            slope - shrink * gain.0 * gain.0,
            both - shrink * gain.0 * gain.1,
            offset - shrink * gain.1 * gain.1,
        ];
        let error = weight * (truth - probability) / (1.0 + curve * (signal * gain.0 + gain.1));
        self.slope = (self.slope + gain.0 * error).clamp(SLOPE.0, SLOPE.1);
        self.offset = (self.offset + gain.1 * error).clamp(-OFFSET_MAX, OFFSET_MAX);
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        [self.slope, self.offset].iter().chain(&self.spread).for_each(|number| put_float(out, *number));
    }

    pub(super) fn decode(input: &mut &[u8]) -> Result<Self, SnapshotError> {
        let mut next = || take_float(input, "a number of the calibration");
        Ok(Self { slope: next()?, offset: next()?, spread: [next()?, next()?, next()?] })
    }
}

/// Whether an answer was right.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    Right,
    Wrong,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_time_without_a_mistake_does_not_make_all_answers_alike() {
        let mut calibration = Calibration::default();
        for at in 0..100_000 {
            calibration.learn([1.0, 2.0, 3.0][at % 3], Verdict::Right, 1.0);
        }
        let [low, high] = [0.2, 2.0].map(|signal| calibration.probability(signal));
        assert!(low < high && high < 1.0, "{low} {high} {calibration:?}");
        for _ in 0..300 {
            calibration.learn(0.2, Verdict::Wrong, 1.0);
            calibration.learn(2.0, Verdict::Right, 1.0);
        }
        let [low, high] = [0.2, 2.0].map(|signal| calibration.probability(signal));
        assert!(low < 0.3 && high > 0.9, "{low} {high} {calibration:?}");
    }

    #[test]
    fn signals_that_hardly_differ_do_no_harm() {
        for (signal, noise) in [(3.0, 0.0), (1.5, 0.05), (0.5, 0.05), (3.0, 0.1)] {
            let mut calibration = Calibration::default();
            for at in 0..20_000_u16 {
                let verdict = if at.is_multiple_of(3) { Verdict::Wrong } else { Verdict::Right };
                calibration.learn(signal + noise * f32::from(at % 7) / 7.0, verdict, 1.0);
                let [slope, both, offset] = calibration.spread;
                assert!(slope >= 0.0 && offset >= 0.0, "{at}: {calibration:?}");
                assert!(slope * offset - both * both > -1e-3, "{at}: {calibration:?}");
            }
            let told = calibration.probability(signal + noise / 2.0);
            assert!((0.55..0.78).contains(&told), "{told} at {signal}: {calibration:?}");
        }
    }
}
