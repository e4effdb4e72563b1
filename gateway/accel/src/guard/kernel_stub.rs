//! The guard's kernel side on systems without eBPF: there is none.

use std::time::Duration;

use waggle_ebpf::guard::Limits;

use super::report::GuardInterface;
use super::rules::Rules;
use crate::Unavailable;

/// Never made.
#[derive(Debug)]
pub(super) enum Kernel {}

impl Kernel {
    pub(super) fn start(_: &[String], _: &[u16], _: Limits, _: &Rules) -> Result<Self, Unavailable> {
        Err(Unavailable::NotLinux)
    }

    pub(super) fn write(&mut self, _: &Rules, _: &Rules) -> Result<(), Unavailable> {
        match *self {}
    }

    pub(super) fn interfaces(&self) -> &[GuardInterface] {
        match *self {}
    }

    pub(super) fn verdicts(&self) -> Vec<(String, u64)> {
        match *self {}
    }

    pub(super) fn try_packet(&mut self, _: &[u8], _: u32) -> Result<(bool, Duration), Unavailable> {
        match *self {}
    }
}
