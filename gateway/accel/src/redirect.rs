//! Redirection of same-host connections past TCP: what is sent on an accepted connection goes straight to the
//! other end's queue.
//!
//! It is for peers that cannot be given the Unix socket. The kernel gives such connections no back-pressure
//! and no statistics, so only what bounds itself may be redirected; and some kernels have faults there, so
//! it is tried on the running one first ([`self_test`]) and refused, with the reason, where anything fails.
//!
//! Its end needs care: a socket that leaves the map loses what waits in its queue, and the map is gone with
//! the process. [`Redirect::stop_taking`] keeps new connections out of it, and [`Redirect::emptied`] tells
//! when the last one has left.

#[cfg(target_os = "linux")]
mod kernel;
#[cfg(target_os = "linux")]
mod pair;
#[cfg(target_os = "linux")]
mod places;
mod report;
#[cfg(target_os = "linux")]
mod self_test;
#[cfg(not(target_os = "linux"))]
#[path = "redirect/stub.rs"]
mod stub;

use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use tracing::{info, warn};

#[cfg(target_os = "linux")]
use kernel::Kernel;
#[cfg(target_os = "linux")]
pub use self_test::self_test;
#[cfg(not(target_os = "linux"))]
use stub::Kernel;
#[cfg(not(target_os = "linux"))]
pub use stub::self_test;

pub use report::{AccelReport, RedirectStatus, SelfTestCheck, SelfTestReport};

use super::{AccelError, Mode};

/// Whether to redirect.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RedirectMode {
    /// No connection.
    #[default]
    Off,
    /// Where the self-test finds nothing against it.
    On,
}

/// What may be wrong with redirection on a kernel and yet be accepted: the others harm every peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Hazard {
    /// `ioctl(FIONREAD)` tells a peer that nothing is there to be read where something is.
    Fionread,
}

impl Hazard {
    /// Its word in settings, and the name of the check that finds it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Fionread => "fionread",
        }
    }
}

/// Settings of redirection.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RedirectConfig {
    /// Whether to redirect.
    pub mode: RedirectMode,
    /// Folders of cgroups whose clients are redirected, besides the gateway's own.
    pub cgroups: Vec<PathBuf>,
    /// What is accepted though the self-test finds it.
    pub accept: Vec<Hazard>,
}

/// Which way a connection's messages go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RedirectWay {
    /// It may be redirected; its first message decides.
    Undecided,
    /// To the other end's queue.
    Redirected,
    /// By TCP: the other end was not there at the first message.
    Tcp,
}

/// The running redirection. Dropping it takes its programs away, and cuts what is redirected still.
#[derive(Debug)]
pub struct Redirect {
    mode: RedirectMode,
    accepted: Vec<Hazard>,
    tested: Option<SelfTestReport>,
    kernel: Result<Kernel, String>,
}

impl Redirect {
    /// Tries redirection on this kernel, and then puts the programs on the gateway's own cgroup `own` and
    /// on those that are configured. To be called when the process lives in its cgroup; `own` may be why it
    /// has none. `barred` is why
    /// the connections of this gateway are not for it, whatever is configured.
    ///
    /// # Errors
    /// With [`Mode::Require`], when it is configured and cannot be had.
    pub fn start(
        config: &RedirectConfig,
        mode: Mode,
        own: Result<&Path, &str>,
        barred: Option<&str>,
    ) -> Result<Self, AccelError> {
        let mut tested = None;
        let kernel = if config.mode == RedirectMode::Off || mode == Mode::Off {
            Err("switched off".to_owned())
        } else {
            begin(config, own, barred, &mut tested)
        };
        match &kernel {
            Ok(_) => info!("same-host connections are redirected past TCP"),
            Err(_) if config.mode == RedirectMode::Off || mode == Mode::Off => {}
            Err(reason) if mode == Mode::Require => {
                return Err(AccelError::NoRedirect { reason: reason.clone() });
            }
            Err(reason) => warn!(reason, "same-host connections go by TCP"),
        }
        Ok(Self { mode: config.mode, accepted: config.accept.clone(), tested, kernel })
    }

    /// Redirects connections that are made to `port` from now on.
    pub fn set_port(&self, port: u16) {
        if let Ok(kernel) = &self.kernel
            && let Err(error) = kernel.put_port(port)
        {
            warn!(port, error = super::error::chain(&error), "its connections go by TCP");
        }
    }

    /// Takes no new connections; those that are there keep their way.
    pub fn stop_taking(&self) {
        if let Ok(kernel) = &self.kernel
            && let Err(error) = kernel.remove_ports()
        {
            warn!(error = super::error::chain(&error), "new connections are redirected still");
        }
    }

    /// The way of an accepted connection; `None` for one that was never meant to be redirected. One system
    /// call where redirection is on, and none where it is off.
    #[must_use]
    pub fn way_of(&self, socket: BorrowedFd<'_>) -> Option<RedirectWay> {
        self.kernel.as_ref().ok()?.way_of(socket)
    }

    /// Whether no socket is left whose queue would be lost with the programs.
    #[must_use]
    pub fn emptied(&self) -> bool {
        self.kernel.as_ref().is_ok_and(|kernel| kernel.sockets(1) == 0) || self.kernel.is_err()
    }

    /// Whether connections are redirected.
    #[must_use]
    pub fn is_on(&self) -> bool {
        self.kernel.is_ok()
    }

    /// The count with this word of `waggle_ebpf::redirect::Count`; 0 where nothing is counted.
    #[must_use]
    pub fn count(&self, name: &str) -> u64 {
        let counts = self.kernel.as_ref().map(Kernel::counts).unwrap_or_default();
        counts.into_iter().find(|(known, _)| known == name).map_or(0, |(_, count)| count)
    }

    /// What it does now.
    #[must_use]
    pub fn status(&self) -> RedirectStatus {
        let off = RedirectStatus {
            mode: self.mode,
            refused: self.kernel.as_ref().err().cloned(),
            accepted: self.accepted.clone(),
            self_test: self.tested.clone(),
            cgroups: Vec::new(),
            ports: Vec::new(),
            sockets: 0,
            counts: Vec::new(),
        };
        match &self.kernel {
            Err(_) => off,
            Ok(kernel) => RedirectStatus {
                cgroups: kernel.cgroups().to_vec(),
                ports: kernel.ports(),
                sockets: kernel.sockets(usize::MAX),
                counts: kernel.counts(),
                ..off
            },
        }
    }
}

/// The folder of the cgroup that this process lives in: what a gateway is told to find its clients' sockets.
///
/// # Errors
/// Where there is no cgroup v2.
pub fn own_cgroup() -> std::io::Result<PathBuf> {
    #[cfg(target_os = "linux")]
    return super::cgroup::own_dir().map_err(std::io::Error::other);
    #[cfg(not(target_os = "linux"))]
    return Err(std::io::ErrorKind::Unsupported.into());
}

/// Everything from the self-test to a connection that was redirected; or why not.
fn begin(
    config: &RedirectConfig,
    own: Result<&Path, &str>,
    barred: Option<&str>,
    tested: &mut Option<SelfTestReport>,
) -> Result<Kernel, String> {
    if let Some(barred) = barred {
        return Err(barred.to_owned());
    }
    let own = own.map_err(|why| format!("the gateway has no cgroup of its own: {why}"))?;
    let report = tested.insert(self_test().map_err(|error| super::error::chain(&error))?);
    if let Some(failure) = report.failure(&config.accept) {
        return Err(failure);
    }
    let mut kernel = Kernel::load().map_err(|error| super::error::chain(&error))?;
    kernel.attach(own, &config.cgroups).map_err(|error| super::error::chain(&error))?;
    kernel.try_own().map_err(|reason| format!("its first connection was not redirected: {reason}"))?;
    Ok(kernel)
}
