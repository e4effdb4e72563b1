//! What is mounted where, as this process sees it.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStringExt as _;
use std::path::PathBuf;

pub(super) const MOUNTS: &str = "/proc/self/mounts";

/// One line of `/proc/self/mounts`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mount {
    pub(super) dir: PathBuf,
    /// The file system's word: `cgroup2`, `bpf`.
    pub(super) kind: String,
    pub(super) options: String,
}

impl Mount {
    /// Whether nothing can be made below it.
    pub(super) fn is_read_only(&self) -> bool {
        self.options.split(',').any(|option| option == "ro")
    }
}

/// All mounts of this process's mount namespace.
pub(super) fn mounts() -> io::Result<Vec<Mount>> {
    Ok(parse(&fs::read_to_string(MOUNTS)?))
}

/// Those of `kind`; none where the list cannot be read.
pub(super) fn mounts_of(kind: &str) -> Vec<Mount> {
    mounts().unwrap_or_default().into_iter().filter(|mount| mount.kind == kind).collect()
}

/// The mounts in the format of `/proc/self/mounts`.
pub(super) fn parse(mounts: &str) -> Vec<Mount> {
    let mount = |line: &str| {
        let mut fields = line.split(' ');
        let (_, dir, kind, options) = (fields.next()?, fields.next()?, fields.next()?, fields.next()?);
        Some(Mount { dir: unescaped(dir), kind: kind.to_owned(), options: options.to_owned() })
    };
    mounts.lines().filter_map(mount).collect()
}

/// Undoes the kernel's octal escapes of space, tab, newline and backslash.
fn unescaped(field: &str) -> PathBuf {
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field.as_bytes();
    while let [first, tail @ ..] = rest {
        let octal = match rest {
            [b'\\', a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', ..] => {
                Some((a - b'0') << 6 | (b - b'0') << 3 | (c - b'0'))
            }
            _ => None,
        };
        bytes.push(octal.unwrap_or(*first));
        rest = if octal.is_some() { &rest[4..] } else { tail };
    }
    PathBuf::from(OsString::from_vec(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mounts_are_read_under_odd_names() {
        let text = "tmpfs /sys/fs/cgroup tmpfs rw 0 0\n\
                    none /mnt/my\\040cgroup\\134v2 cgroup2 ro,nosuid 0 0\n\
                    bpf /sys/fs/bpf bpf rw,nosuid,mode=700 0 0\nbroken\n";
        let mounts = parse(text);
        let found: Vec<_> = mounts
            .iter()
            .map(|mount| (mount.dir.to_str(), mount.kind.as_str(), mount.is_read_only()))
            .collect();
        assert_eq!(
            found,
            [
                (Some("/sys/fs/cgroup"), "tmpfs", false),
                (Some("/mnt/my cgroup\\v2"), "cgroup2", true),
                (Some("/sys/fs/bpf"), "bpf", false),
            ]
        );
    }
}
