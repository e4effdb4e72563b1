//! What a process must hold to load and attach our programs.

use rustix::thread::{CapabilitySet, capabilities};

use super::Unavailable;

/// One of the kernel's words, and its bit.
pub(super) type Capability = (&'static str, CapabilitySet);

const BPF: Capability = ("CAP_BPF", CapabilitySet::BPF);
const NET_ADMIN: Capability = ("CAP_NET_ADMIN", CapabilitySet::NET_ADMIN);
const PERFMON: Capability = ("CAP_PERFMON", CapabilitySet::PERFMON);

/// For profiles and legs.
pub(super) const SOCK_OPS: [Capability; 2] = [BPF, NET_ADMIN];
/// For the guard: headers have no fixed lengths, and without `CAP_PERFMON` the verifier allows no
/// arithmetic with packet pointers, as a measure against speculative execution.
pub(super) const GUARD: [Capability; 3] = [BPF, NET_ADMIN, PERFMON];

/// Names those of `needed` that the process lacks.
pub(super) fn check(needed: &[Capability]) -> Result<(), Unavailable> {
    // Where the kernel does not tell, loading will.
    let Ok(sets) = capabilities(None) else {
        return Ok(());
    };
    let missing = missing(needed, sets.effective);
    if missing.is_empty() { Ok(()) } else { Err(Unavailable::Capability { missing: missing.join(", ") }) }
}

fn missing(needed: &[Capability], effective: CapabilitySet) -> Vec<&'static str> {
    // That one holds all of them.
    if effective.contains(CapabilitySet::SYS_ADMIN) {
        return Vec::new();
    }
    needed.iter().filter(|(_, one)| !effective.contains(*one)).map(|(name, _)| *name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_capabilities_are_named() {
        let both = CapabilitySet::BPF | CapabilitySet::NET_ADMIN;
        assert!(missing(&SOCK_OPS, both).is_empty());
        assert_eq!(missing(&GUARD, both), ["CAP_PERFMON"]);
        assert!(missing(&GUARD, CapabilitySet::SYS_ADMIN).is_empty());
        assert_eq!(missing(&SOCK_OPS, CapabilitySet::BPF), ["CAP_NET_ADMIN"]);
        assert_eq!(missing(&SOCK_OPS, CapabilitySet::empty()), ["CAP_BPF", "CAP_NET_ADMIN"]);
    }
}
