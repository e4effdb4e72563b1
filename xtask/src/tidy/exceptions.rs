//! The one list of what is allowed to break a rule, each with its reason. It only shrinks.

use super::Violation;

/// One allowed violation.
pub(crate) struct Exception {
    /// The rule, as violations print it in brackets.
    pub(crate) rule: &'static str,
    /// The file, relative to the repository's root.
    pub(crate) path: &'static str,
    /// The function, path or package that the violation names; empty for a whole file.
    pub(crate) item: &'static str,
    /// Why it must stand.
    pub(crate) reason: &'static str,
}

impl Exception {
    /// Whether this exception allows `violation`.
    pub(crate) fn allows(&self, violation: &Violation) -> bool {
        self.rule == violation.rule && self.path == violation.path && self.item == violation.item
    }
}

/// Every exception of this repository.
pub(crate) const EXCEPTIONS: &[Exception] = &[Exception {
    rule: "unsafe",
    path: "core/tests/command_allocations.rs",
    item: "",
    reason: "an allocator that counts is an unsafe trait's implementation; there is no safe one",
}];
