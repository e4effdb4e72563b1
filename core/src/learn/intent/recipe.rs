//! Ways to learn that are told apart by name.

/// A named set of parameters: a challenger learns by another one than the champion.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Recipe {
    /// Examples that were not clear enough are kept for a while and looked at again as others come.
    #[default]
    Replay,
    /// Each example is looked at once.
    OnePass,
    /// As [`Recipe::OnePass`], without the evidence of counts: adaptive regularisation alone.
    Weights,
}

impl Recipe {
    /// Every recipe.
    pub const ALL: [Self; 3] = [Self::Replay, Self::OnePass, Self::Weights];

    /// Its name, as settings and reports have it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Replay => "replay",
            Self::OnePass => "one-pass",
            Self::Weights => "weights",
        }
    }

    /// The recipe of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|recipe| recipe.name() == name)
    }

    /// Examples that are looked at again with each new one.
    pub(super) fn replays(self) -> usize {
        match self {
            Self::Replay => 2,
            Self::OnePass | Self::Weights => 0,
        }
    }

    /// How much the evidence of counts weighs. Found on held-out parts of the training sets of BANKING77 and CLINC150.
    pub(super) fn evidence(self) -> f32 {
        match self {
            Self::Replay | Self::OnePass => 0.01,
            Self::Weights => 0.0,
        }
    }
}
