//! Redirection on systems without eBPF: there is none.

use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};

use super::{RedirectWay, SelfTestReport};
use crate::Unavailable;

/// See there on Linux.
///
/// # Errors
/// Always.
pub fn self_test() -> Result<SelfTestReport, Unavailable> {
    Err(Unavailable::NotLinux)
}

/// Never made.
#[derive(Debug)]
pub(super) enum Kernel {}

impl Kernel {
    pub(super) fn load() -> Result<Self, Unavailable> {
        Err(Unavailable::NotLinux)
    }

    pub(super) fn attach(&mut self, _: &Path, _: &[PathBuf]) -> Result<(), Unavailable> {
        match *self {}
    }

    pub(super) fn try_own(&mut self) -> Result<(), String> {
        match *self {}
    }

    pub(super) fn put_port(&self, _: u16) -> Result<(), Unavailable> {
        match *self {}
    }

    pub(super) fn remove_ports(&self) -> Result<(), Unavailable> {
        match *self {}
    }

    pub(super) fn ports(&self) -> Vec<u16> {
        match *self {}
    }

    pub(super) fn way_of(&self, _: BorrowedFd<'_>) -> Option<RedirectWay> {
        match *self {}
    }

    pub(super) fn sockets(&self, _: usize) -> usize {
        match *self {}
    }

    pub(super) fn cgroups(&self) -> &[PathBuf] {
        match *self {}
    }

    pub(super) fn counts(&self) -> Vec<(String, u64)> {
        match *self {}
    }
}
