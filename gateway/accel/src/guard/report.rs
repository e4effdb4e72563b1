//! What the guard does now, as data and as a table.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::rules::{GuardAction, Said};
use crate::network::Network;

/// How the program is on an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum XdpAttachment {
    /// In the driver, before the kernel has made anything of a packet.
    Native,
    /// In the kernel's network stack.
    Generic,
    /// Not at all.
    Off,
}

impl XdpAttachment {
    /// The word, as in JSON.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Native => "native",
            Self::Generic => "generic",
            Self::Off => "off",
        }
    }
}

/// An interface that is named in the configuration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GuardInterface {
    /// Its name.
    pub name: String,
    /// How the program is on it.
    pub attached: XdpAttachment,
    /// Why so; empty for the best way.
    pub reason: String,
}

/// One rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GuardRule {
    /// Allow or deny.
    pub action: GuardAction,
    /// Whom.
    pub network: Network,
    /// Who said so.
    pub said: Said,
    /// For how many seconds more; for ever where there is no number.
    pub left_s: Option<u64>,
}

/// The whole guard.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GuardStatus {
    /// Why there is none; `None` where there is.
    pub unguarded: Option<String>,
    /// What of it outlives the gateway, and what was taken over from the one before; or why nothing.
    pub pinning: String,
    /// Where it is.
    pub interfaces: Vec<GuardInterface>,
    /// What it guards.
    pub ports: Vec<u16>,
    /// New connections per second and source; 0 is no limit.
    pub rate_per_second: u32,
    /// As many at once.
    pub burst: u32,
    /// Packets, by the verdict's word, in the order of `waggle_ebpf::guard::Verdict`.
    pub verdicts: Vec<(String, u64)>,
    /// Rules in force.
    pub rules: Vec<GuardRule>,
    /// Seconds until unconfirmed changes are taken back; none where there are none.
    pub probation_s: Option<u64>,
    /// Failed authentications that were not counted, so many came at once.
    pub failed_uncounted: u64,
}

/// Why nothing goes by the rules, where the program is on none of the interfaces that are named.
pub(super) fn unattached(interfaces: &[GuardInterface]) -> Option<String> {
    let is_on = |interface: &GuardInterface| interface.attached != XdpAttachment::Off;
    if interfaces.is_empty() || interfaces.iter().any(is_on) {
        return None;
    }
    let reasons: Vec<_> = interfaces.iter().map(|off| format!("{}: {}", off.name, off.reason)).collect();
    Some(format!("it is on no interface; {}", reasons.join("; ")))
}

impl fmt::Display for GuardStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(why) = &self.unguarded {
            return writeln!(f, "no guard: {why}");
        }
        for interface in &self.interfaces {
            let reason = if interface.reason.is_empty() { "" } else { "  " };
            let (how, why) = (interface.attached.name(), &interface.reason);
            writeln!(f, "interface {:<12} {how:<8}{reason}{why}", interface.name)?;
        }
        writeln!(f, "pinning   {}", self.pinning)?;
        let ports: Vec<_> = self.ports.iter().map(u16::to_string).collect();
        writeln!(f, "ports     {}", ports.join(", "))?;
        match self.rate_per_second {
            0 => writeln!(f, "limit     none")?,
            rate => {
                writeln!(f, "limit     {rate} new connections a second and source, {} at once", self.burst)?
            }
        }
        writeln!(f)?;
        for (verdict, packets) in &self.verdicts {
            writeln!(f, "{verdict:<12} {packets:>14}")?;
        }
        if !self.rules.is_empty() {
            writeln!(f, "\n{:<6} {:<43} {:<14} LEFT", "RULE", "NETWORK", "BY")?;
        }
        for rule in &self.rules {
            let action = match rule.action {
                GuardAction::Deny => "deny",
                _ => "allow",
            };
            let said = match rule.said {
                Said::Configuration => "configuration",
                Said::Operator => "operator",
                Said::Failures => "failures",
            };
            let left = rule.left_s.map_or_else(|| "for ever".to_owned(), |seconds| format!("{seconds} s"));
            writeln!(f, "{action:<6} {:<43} {said:<14} {left}", rule.network.to_string())?;
        }
        if self.failed_uncounted > 0 {
            writeln!(
                f,
                "\n{} failed authentications were not counted: too many at once",
                self.failed_uncounted
            )?;
        }
        let everybody =
            |rule: &&GuardRule| rule.action == GuardAction::Allow && rule.network.holds(&Network::EVERY_IPV4);
        if let Some(rule) = self.rules.iter().find(everybody) {
            writeln!(f, "\nallowing {} switches the guard off for all of them", rule.network)?;
        }
        if let Some(seconds) = self.probation_s {
            writeln!(f, "\nin {seconds} s the rules before come back, unless: waggle accel guard confirm")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guard_that_is_nowhere_says_why() {
        let interface = |name: &str, attached, reason: &str| GuardInterface {
            name: name.to_owned(),
            attached,
            reason: reason.to_owned(),
        };
        let off = interface("eth0", XdpAttachment::Off, "no such interface");
        let other = interface("eth1", XdpAttachment::Off, "busy");
        let on = interface("eth2", XdpAttachment::Generic, "not native");
        assert_eq!(unattached(&[]), None, "nowhere by intention");
        assert_eq!(unattached(&[off.clone(), on]), None);
        let reason = "it is on no interface; eth0: no such interface; eth1: busy";
        assert_eq!(unattached(&[off, other]).as_deref(), Some(reason));
    }
}
