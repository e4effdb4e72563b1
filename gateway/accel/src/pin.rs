//! Objects that outlive their process, in the kernel's bpf file system.

/// Where they are, unless the configuration says otherwise.
pub const PIN_DIR_DEFAULT: &str = "/sys/fs/bpf/waggle";
