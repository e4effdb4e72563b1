//! The guard's kernel side on systems without eBPF: there is none.

use std::time::Duration;

use super::report::GuardInterface;
use super::rules::Rules;
use super::undo::Step;
use super::{Started, Wanted};
use crate::Unavailable;
use crate::pin::PinFolder;

/// Never made.
#[derive(Debug)]
pub(super) enum Kernel {}

impl Kernel {
    pub(super) fn start(_: &Wanted<'_>, _: Option<&PinFolder>) -> Result<Started, Unavailable> {
        Err(Unavailable::NotLinux)
    }

    pub(super) fn write(&mut self, _: &Rules, _: &Rules) -> Result<(), Unavailable> {
        match *self {}
    }

    pub(super) fn hold_until(&mut self, _: u64, _: &[Step]) -> Result<(), Unavailable> {
        match *self {}
    }

    pub(super) fn hold_for_ever(&mut self) -> Result<(), Unavailable> {
        match *self {}
    }

    pub(super) fn interfaces(&self) -> Vec<GuardInterface> {
        match *self {}
    }

    pub(super) fn verdicts(&self) -> Vec<(String, u64)> {
        match *self {}
    }

    pub(super) fn try_packet(&mut self, _: &[u8], _: u32) -> Result<(bool, Duration), Unavailable> {
        match *self {}
    }
}

pub(super) fn take_off(_: &PinFolder) {}

pub(super) fn goes_on(_: &PinFolder) -> bool {
    false
}

pub(super) fn links(_: &PinFolder) -> Vec<String> {
    Vec::new()
}

pub(super) fn take_off_new(_: &PinFolder, _: &[String]) {}
