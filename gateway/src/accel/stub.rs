//! The accelerator of systems without eBPF: every feature is off, and says why.
#![cfg_attr(target_os = "linux", allow(unreachable_pub, reason = "public on other systems, a test here"))]

use std::os::fd::AsFd;

use waggle_ebpf::{Feature, Leg};

use super::status::{FeatureStatus, LegStatus, ReadBack, Rung, SocketValues, Status};
use super::{AccelConfig, AccelError, Mode, Unavailable};

/// Nothing can be read.
#[must_use]
pub fn read_back(_socket: &impl AsFd) -> SocketValues {
    let unreadable = || ReadBack::Unreadable { unreadable: Unavailable::NotLinux.to_string() };
    SocketValues { nodelay: unreadable(), rto_min_us: unreadable(), delack_max_us: unreadable() }
}

/// Same signatures as on Linux.
#[derive(Debug)]
pub struct Accel {
    mode: Mode,
}

impl Accel {
    /// Succeeds, unless acceleration is required.
    ///
    /// # Errors
    /// [`AccelError::Required`] with [`Mode::Require`].
    pub fn start(config: AccelConfig) -> Result<Self, AccelError> {
        match config.mode {
            Mode::Require => Err(AccelError::Required(Unavailable::NotLinux)),
            mode => Ok(Self { mode }),
        }
    }

    /// Does nothing.
    ///
    /// # Errors
    /// None.
    pub fn set_port(&self, _leg: Leg, _port: u16) -> Result<(), AccelError> {
        Ok(())
    }

    /// Does nothing.
    pub fn apply_to(&self, _socket: &impl AsFd, _leg: Leg) {}

    /// All off.
    #[must_use]
    pub fn status(&self) -> Status {
        let reason = Unavailable::NotLinux.to_string();
        let feature = |leg: Leg, feature: Feature| {
            Some(FeatureStatus {
                feature: feature.name().to_owned(),
                wanted: feature.wanted(&leg.profile())?,
                rung: Rung::Off,
                reason: reason.clone(),
                read_back: ReadBack::Unreadable { unreadable: reason.clone() },
                applied: 0,
                raised: 0,
                refused: 0,
            })
        };
        Status {
            mode: self.mode,
            kernel: std::env::consts::OS.to_owned(),
            object: None,
            cgroup: None,
            legs: Leg::ALL
                .into_iter()
                .map(|leg| LegStatus {
                    leg: leg.name().to_owned(),
                    ports: Vec::new(),
                    connections: 0,
                    features: Feature::ALL.into_iter().filter_map(|name| feature(leg, name)).collect(),
                })
                .collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stub_serves_with_everything_off_and_refuses_only_when_required() {
        let accel = Accel::start(AccelConfig::default()).expect("auto never fails");
        accel.set_port(Leg::Agent, 1).expect("does nothing");
        accel.apply_to(&std::io::stdin(), Leg::Agent);
        assert_eq!(accel.status().lowest_rung(), Rung::Off);
        let values = read_back(&std::io::stdin());
        assert!(matches!(values.nodelay, ReadBack::Unreadable { .. }));
        let config = AccelConfig { mode: Mode::Require, ..AccelConfig::default() };
        assert!(Accel::start(config).is_err());
    }
}
