//! What a process must hold to load and attach our programs.

use rustix::thread::{CapabilitySet, capabilities};

use super::Unavailable;

/// The kernel's words, and their bits. Without `CAP_PERFMON` the verifier allows neither arithmetic with packet
/// pointers nor that a pointer's place on the stack is used again, as measures against speculative execution
/// and leaks.
const NEEDED: [(&str, CapabilitySet); 3] = [
    ("CAP_BPF", CapabilitySet::BPF),
    ("CAP_NET_ADMIN", CapabilitySet::NET_ADMIN),
    ("CAP_PERFMON", CapabilitySet::PERFMON),
];

/// Names what the process lacks.
pub(super) fn check() -> Result<(), Unavailable> {
    // Where the kernel does not tell, loading will.
    let Ok(sets) = capabilities(None) else {
        return Ok(());
    };
    let missing = missing(sets.effective);
    if missing.is_empty() { Ok(()) } else { Err(Unavailable::Capability { missing: missing.join(", ") }) }
}

fn missing(effective: CapabilitySet) -> Vec<&'static str> {
    // That one holds all of them.
    if effective.contains(CapabilitySet::SYS_ADMIN) {
        return Vec::new();
    }
    NEEDED.into_iter().filter(|(_, one)| !effective.contains(*one)).map(|(name, _)| name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_capabilities_are_named() {
        let two = CapabilitySet::BPF | CapabilitySet::NET_ADMIN;
        assert!(missing(two | CapabilitySet::PERFMON).is_empty());
        assert!(missing(CapabilitySet::SYS_ADMIN).is_empty());
        assert_eq!(missing(two), ["CAP_PERFMON"]);
        assert_eq!(missing(CapabilitySet::empty()), ["CAP_BPF", "CAP_NET_ADMIN", "CAP_PERFMON"]);
    }
}
