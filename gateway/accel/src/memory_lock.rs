//! The limit of locked memory, against which kernels before 5.11 count maps.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::system::uname;
use tracing::debug;

/// The first kernel that does not count maps.
const KERNEL_WITHOUT: (u32, u32) = (5, 11);

/// Whether this kernel counts maps against the limit.
pub(super) fn counts_maps() -> bool {
    kernel().is_some_and(|version| version < KERNEL_WITHOUT)
}

/// Raises the limit as far as this process may, where it counts. Where it stays too low, the kernel refuses a
/// map, and that is told.
pub(super) fn raise() {
    if !counts_maps() {
        return;
    }
    let limit = getrlimit(Resource::Memlock);
    let unlimited = Rlimit { current: None, maximum: None };
    let highest = Rlimit { current: limit.maximum, maximum: limit.maximum };
    if let Err(error) =
        setrlimit(Resource::Memlock, unlimited).or_else(|_| setrlimit(Resource::Memlock, highest))
    {
        debug!(%error, "the limit of locked memory stays as it is");
    }
}

/// Major and minor number of the running kernel.
pub(super) fn kernel() -> Option<(u32, u32)> {
    version(&uname().release().to_string_lossy())
}

/// Major and minor number at the start of a release.
fn version(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(str::parse);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_release_starts_with_two_numbers() {
        assert_eq!(version("6.12.41+deb13-cloud-amd64"), Some((6, 12)));
        assert_eq!(version("5.10-rc1"), Some((5, 10)));
        assert_eq!(version("rolling"), None);
        assert!(version("5.10.0").is_some_and(|version| version < KERNEL_WITHOUT));
    }
}
