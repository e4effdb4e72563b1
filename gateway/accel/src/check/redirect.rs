//! Redirection, by its self-test.

use super::{FeatureCheck, advice};
use crate::error::chain;
use crate::redirect::{Hazard, self_test};

/// Whether same-host connections could be redirected past TCP, which is off unless it is asked for.
pub(super) fn feature() -> FeatureCheck {
    let (rung, best, reason, change) = match self_test() {
        Err(error) => ("off", "on", chain(&error), Some(advice::after(&error))),
        Ok(report) => match (report.failure(&[]), report.failure(&[Hazard::Fionread])) {
            (None, _) => ("on", "on", format!("{} checks were good", report.checks.len()), None),
            // What an operator can do is to accept it: no setting of the host mends it.
            (Some(failure), None) => ("hazard", "hazard", failure, Some(advice::REDIRECT_HAZARD)),
            (_, Some(failure)) => ("off", "on", failure, Some(advice::REDIRECT)),
        },
    };
    FeatureCheck {
        feature: "redirect".to_owned(),
        rung: rung.to_owned(),
        best: best.to_owned(),
        reason,
        change: change.map(str::to_owned),
    }
}
