//! What redirection does now, as data and as text.

use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::{Hazard, RedirectMode};
use crate::Status;

/// One thing that was tried on connections of the gateway with itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SelfTestCheck {
    /// What: `order`, `window`, `wake_up`, `close`, `death` or `fionread`.
    pub check: String,
    /// What went wrong; none where nothing did.
    pub failure: Option<String>,
}

/// What redirection does on the running kernel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SelfTestReport {
    /// The kernel's release.
    pub kernel: String,
    /// All checks, in the order in which they were made.
    pub checks: Vec<SelfTestCheck>,
}

impl SelfTestReport {
    /// Why redirection is refused, apart from what is accepted; `None` where it is not.
    #[must_use]
    pub fn failure(&self, accepted: &[Hazard]) -> Option<String> {
        let is_accepted = |check: &str| accepted.iter().any(|hazard| hazard.name() == check);
        let failed = self.checks.iter().filter(|check| !is_accepted(&check.check));
        let failed = failed.filter_map(|check| Some((&check.check, check.failure.as_ref()?)));
        let mut reasons: Vec<String> = failed.map(|(check, why)| format!("{check}: {why}")).collect();
        if reasons.is_empty() {
            return None;
        }
        if reasons.len() == 1 && reasons.iter().any(|reason| reason.starts_with(Hazard::Fionread.name())) {
            reasons.push("see accel.redirect.accept in docs/ACCELERATION.md".to_owned());
        }
        Some(format!("the self-test on Linux {} failed: {}", self.kernel, reasons.join("; ")))
    }
}

impl fmt::Display for SelfTestReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.checks.iter().try_for_each(|check| {
            writeln!(f, "  {:<9} {}", check.check, check.failure.as_deref().unwrap_or("good"))
        })
    }
}

/// The whole of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RedirectStatus {
    /// What was asked for.
    pub mode: RedirectMode,
    /// Why nothing is redirected; `None` where it is.
    pub refused: Option<String>,
    /// What is accepted though the self-test finds it.
    pub accepted: Vec<Hazard>,
    /// What the self-test found; none where it did not come to that.
    pub self_test: Option<SelfTestReport>,
    /// Cgroups whose sockets are found.
    pub cgroups: Vec<PathBuf>,
    /// Ports whose connections are redirected.
    pub ports: Vec<u16>,
    /// Sockets in the map, two for each connection.
    pub sockets: usize,
    /// Counts, by the words of `waggle_ebpf::redirect::Count`.
    pub counts: Vec<(String, u64)>,
}

impl RedirectStatus {
    /// The count with this word; 0 where nothing is counted.
    #[must_use]
    pub fn count(&self, name: &str) -> u64 {
        self.counts.iter().find(|(known, _)| known == name).map_or(0, |(_, count)| *count)
    }
}

impl fmt::Display for RedirectStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.refused {
            Some(why) => writeln!(f, "redirect  off: {why}")?,
            None => {
                let ports: Vec<_> = self.ports.iter().map(u16::to_string).collect();
                writeln!(f, "redirect  on, ports {}, {} sockets", ports.join(", "), self.sockets)?;
            }
        }
        for cgroup in &self.cgroups {
            writeln!(f, "  cgroup    {}", cgroup.display())?;
        }
        for hazard in &self.accepted {
            writeln!(f, "  accepted  {}", hazard.name())?;
        }
        if let Some(report) = &self.self_test {
            write!(f, "{report}")?;
        }
        let counts: Vec<_> = self.counts.iter().map(|(name, count)| format!("{name} {count}")).collect();
        if counts.is_empty() { Ok(()) } else { writeln!(f, "  {}", counts.join(", ")) }
    }
}

/// The accelerator with all its parts, as `waggle accel status` shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccelReport {
    /// Profiles and legs.
    #[serde(flatten)]
    pub status: Status,
    /// Redirection.
    pub redirect: RedirectStatus,
}

impl fmt::Display for AccelReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\n{}", self.status, self.redirect)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_accepted_may_fail() {
        let report = |failed: &[&str]| SelfTestReport {
            kernel: "6.18.0".to_owned(),
            checks: ["order", "fionread"]
                .map(|check| SelfTestCheck {
                    check: check.to_owned(),
                    failure: failed.contains(&check).then(|| "no".to_owned()),
                })
                .to_vec(),
        };
        let accept = [Hazard::Fionread];
        assert_eq!(report(&[]).failure(&[]), None);
        assert_eq!(report(&["fionread"]).failure(&accept), None);
        let refused = report(&["fionread"]).failure(&[]).expect("refused");
        assert!(refused.contains("6.18.0") && refused.contains("accel.redirect.accept"), "{refused}");
        let refused = report(&["order", "fionread"]).failure(&accept).expect("refused");
        assert!(refused.contains("order: no") && !refused.contains("fionread"), "{refused}");
    }
}
