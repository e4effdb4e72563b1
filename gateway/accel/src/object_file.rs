//! The eBPF object: where it comes from, and whether it speaks our ABI.

use std::borrow::Cow;
use std::fs;
use std::path::Path;

use object::{Object as _, ObjectSection as _};
use waggle_ebpf::abi::{ABI_SECTION, ABI_VERSION};

use super::Unavailable;

/// One of our objects.
#[derive(Clone, Copy, Debug)]
pub(super) enum Object {
    /// Profiles and legs.
    SockOps,
    /// The guard.
    Guard,
    /// Redirection past TCP.
    Redirect,
}

impl Object {
    /// Empty when the gateway was built without objects.
    fn embedded(self) -> &'static [u8] {
        match self {
            Self::SockOps => include_bytes!(concat!(env!("OUT_DIR"), "/waggle-sockops")),
            Self::Guard => include_bytes!(concat!(env!("OUT_DIR"), "/waggle-guard")),
            Self::Redirect => include_bytes!(concat!(env!("OUT_DIR"), "/waggle-redirect")),
        }
    }
}

/// An object whose ABI is ours.
#[derive(Debug)]
pub(super) struct ObjectFile {
    pub(super) bytes: Cow<'static, [u8]>,
    /// Where it comes from and its size, for people.
    pub(super) origin: String,
}

impl ObjectFile {
    /// What is at `path`, or the embedded object.
    pub(super) fn open(object: Object, path: Option<&Path>) -> Result<Self, Unavailable> {
        let embedded = object.embedded();
        let (bytes, origin) = match path {
            Some(path) => {
                let unreadable = |source| Unavailable::ObjectUnreadable { path: path.to_owned(), source };
                let bytes = fs::read(path).map_err(unreadable)?;
                (Cow::Owned(bytes), path.display().to_string())
            }
            None if embedded.is_empty() => return Err(Unavailable::NoObject),
            None => (Cow::Borrowed(embedded), "embedded".to_owned()),
        };
        check_abi(&bytes)?;
        let origin = format!("{origin}, {} bytes, ABI {ABI_VERSION}", bytes.len());
        Ok(Self { bytes, origin })
    }
}

fn check_abi(elf: &[u8]) -> Result<(), Unavailable> {
    let found = abi_version(elf).ok_or(Unavailable::NoAbi { section: ABI_SECTION })?;
    if found == ABI_VERSION { Ok(()) } else { Err(Unavailable::AbiMismatch { found, expected: ABI_VERSION }) }
}

fn abi_version(elf: &[u8]) -> Option<u32> {
    let file = object::File::parse(elf).ok()?;
    let section = file.section_by_name(ABI_SECTION)?.data().ok()?;
    Some(u32::from_ne_bytes(section.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_that_are_no_object_are_refused() {
        let file = tempfile::NamedTempFile::new().expect("temporary file");
        fs::write(file.path(), b"not an object").expect("temporary file");
        let error = ObjectFile::open(Object::SockOps, Some(file.path())).expect_err("no object");
        assert!(matches!(error, Unavailable::NoAbi { .. }), "{error}");
    }

    #[test]
    fn an_object_of_another_abi_is_refused() {
        let embedded = Object::SockOps.embedded();
        if embedded.is_empty() {
            let reason = "built without the eBPF object";
            crate::skip("an_object_of_another_abi_is_refused", reason);
            return;
        }
        assert_eq!(abi_version(embedded), Some(ABI_VERSION));
        let section = {
            let file = object::File::parse(embedded).expect("our own object");
            let section = file.section_by_name(ABI_SECTION).expect("our own section");
            section.file_range().expect("it has bytes").0 as usize
        };
        let mut other = embedded.to_vec();
        other[section..section + 4].copy_from_slice(&(ABI_VERSION + 1).to_ne_bytes());
        let error = check_abi(&other).expect_err("another ABI");
        assert!(matches!(error, Unavailable::AbiMismatch { .. }), "{error}");
    }

    #[test]
    fn a_missing_file_is_named() {
        let error =
            ObjectFile::open(Object::SockOps, Some(Path::new("/nonexistent/object"))).expect_err("no file");
        assert!(error.to_string().contains("/nonexistent/object"));
    }
}
