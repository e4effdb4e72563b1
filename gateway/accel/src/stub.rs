//! The accelerator of systems without eBPF: every feature is off, and says why.
#![cfg_attr(target_os = "linux", allow(unreachable_pub, reason = "public on other systems, a test here"))]

use std::os::fd::{AsFd, BorrowedFd};

use waggle_ebpf::{Feature, Leg, Profile};

use super::status::{FeatureStatus, LegStatus, ReadBack, Rung, SocketValues, Status};
use super::{AccelConfig, AccelError, LegSettings, LegsReport, Mode, ProfileError, Unavailable};

/// Nothing can be read.
#[must_use]
pub fn read_back(_socket: &impl AsFd) -> SocketValues {
    let unreadable = || ReadBack::Unreadable { unreadable: Unavailable::NotLinux.to_string() };
    SocketValues(Feature::ALL.into_iter().map(|feature| (feature.name().to_owned(), unreadable())).collect())
}

/// Same fields as on Linux.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub struct PathQuality {
    /// See there.
    pub cookie: u64,
    /// See there.
    pub rtt_us: u32,
    /// See there.
    pub rtt_var_us: u32,
    /// See there.
    pub segments: u32,
    /// See there.
    pub retransmits: u32,
    /// See there.
    pub spurious: u32,
    /// See there.
    pub timeouts_in_a_row: u8,
}

/// Nothing is known.
#[must_use]
pub fn path_quality(_socket: BorrowedFd<'_>) -> Option<PathQuality> {
    None
}

/// Does nothing.
pub fn apply_profile(_socket: BorrowedFd<'_>, _profile: &Profile) {}

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

    /// Refuses.
    ///
    /// # Errors
    /// Always.
    pub fn set_profiles(&self, _settings: &LegSettings) -> Result<(), ProfileError> {
        Err(ProfileError::Kernel(Unavailable::NotLinux.to_string()))
    }

    /// Refuses.
    ///
    /// # Errors
    /// Always.
    pub fn reset_profiles(&self, _leg: Option<Leg>) -> Result<(), ProfileError> {
        Err(ProfileError::Kernel(Unavailable::NotLinux.to_string()))
    }

    /// Changes nothing, for nothing is set.
    ///
    /// # Errors
    /// None.
    pub fn reconfigure(&self, _settings: &LegSettings) -> Result<Vec<Leg>, ProfileError> {
        Ok(Vec::new())
    }

    /// Off.
    #[must_use]
    pub fn lowest_rung(&self) -> Rung {
        Rung::Off
    }

    /// There is none.
    ///
    /// # Errors
    /// Always.
    pub fn cgroup(&self) -> Result<std::path::PathBuf, String> {
        Err(Unavailable::NotLinux.to_string())
    }

    /// Nothing is measured.
    #[must_use]
    pub fn legs(&self) -> LegsReport {
        let unmeasured = Some(Unavailable::NotLinux.to_string());
        LegsReport { unmeasured, legs: Vec::new(), moments: Vec::new() }
    }

    /// All off.
    #[must_use]
    pub fn status(&self) -> Status {
        let reason = Unavailable::NotLinux.to_string();
        let feature = |leg: Leg, feature: Feature| {
            Some(FeatureStatus {
                feature: feature.name().to_owned(),
                wanted: leg.profile().wanted(feature)?,
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
            pinning: format!("off: {reason}"),
            legs: Leg::ALL
                .into_iter()
                .map(|leg| LegStatus {
                    leg: leg.name().to_owned(),
                    ports: Vec::new(),
                    networks: Vec::new(),
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
        assert!(accel.cgroup().is_err());
        accel.apply_to(&std::io::stdin(), Leg::Agent);
        assert!(accel.set_profiles(&LegSettings::default()).is_err() && accel.reset_profiles(None).is_err());
        assert_eq!(accel.reconfigure(&LegSettings::default()), Ok(Vec::new()));
        apply_profile(std::io::stdin().as_fd(), &Leg::Mesh.profile());
        assert_eq!(accel.lowest_rung(), Rung::Off);
        assert!(accel.legs().unmeasured.is_some() && path_quality(std::io::stdin().as_fd()).is_none());
        assert_eq!(accel.status().lowest_rung(), Rung::Off);
        let values = read_back(&std::io::stdin());
        assert!(matches!(values.of("nodelay"), ReadBack::Unreadable { .. }));
        let config = AccelConfig { mode: Mode::Require, ..AccelConfig::default() };
        assert!(Accel::start(config).is_err());
    }
}
