//! Ways to learn that are told apart by name.

/// A named set of parameters: a challenger learns by another one than the champion.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Recipe {
    /// Each example is looked at once.
    OnePass,
    /// Examples are kept and looked at again while others come.
    #[default]
    Replay,
}

impl Recipe {
    /// Every recipe.
    pub const ALL: [Self; 2] = [Self::OnePass, Self::Replay];

    /// Its name, as settings and reports have it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::OnePass => "one-pass",
            Self::Replay => "replay",
        }
    }

    /// The recipe of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|recipe| recipe.name() == name)
    }
}
