//! The guest's file system: an archive in cpio's `newc` format, which the kernel unpacks into memory.

use std::collections::BTreeMap;

/// Owner and group of everything: root. Times are zero, so the same files give the same bytes.
const NOBODY_ELSE: u32 = 0;

const MODE_FOLDER: u32 = 0o040_755;
const MODE_PROGRAM: u32 = 0o100_755;

/// The name that ends an archive.
const TRAILER: &str = "TRAILER!!!";

/// Files by their path in the guest, without a leading `/`.
#[derive(Debug, Default)]
pub(crate) struct Files(BTreeMap<String, Vec<u8>>);

impl Files {
    /// Adds a file that may be read and run.
    pub(crate) fn add(&mut self, path: &str, bytes: Vec<u8>) {
        self.0.insert(path.trim_start_matches('/').to_owned(), bytes);
    }

    /// The archive, with the folders that the files need and `folders`.
    pub(crate) fn archive(&self, folders: &[&str]) -> Vec<u8> {
        let mut entries: BTreeMap<&str, Option<&[u8]>> = BTreeMap::new();
        for (path, bytes) in &self.0 {
            for (at, _) in path.match_indices('/') {
                entries.insert(&path[..at], None);
            }
            entries.insert(path, Some(bytes));
        }
        entries.extend(folders.iter().map(|folder| (*folder, None)));
        let mut archive = Vec::new();
        // A folder's path is a prefix of what is in it, so it comes first in this order.
        for (number, (path, bytes)) in (1..).zip(&entries) {
            match bytes {
                Some(bytes) => put(&mut archive, number, path, MODE_PROGRAM, bytes),
                None => put(&mut archive, number, path, MODE_FOLDER, &[]),
            }
        }
        put(&mut archive, 0, TRAILER, 0, &[]);
        archive
    }
}

/// Appends one entry: a header of hexadecimal numbers, the name and the bytes, each padded to four.
fn put(archive: &mut Vec<u8>, number: u32, path: &str, mode: u32, bytes: &[u8]) {
    let (links, time, device) = (1, 0, 0);
    // The kernel's memory is smaller than what would not fit.
    let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    let name_length = u32::try_from(path.len() + 1).unwrap_or(u32::MAX);
    archive.extend(b"070701");
    let fields = [
        number,
        mode,
        NOBODY_ELSE,
        NOBODY_ELSE,
        links,
        time,
        length,
        device,
        device,
        device,
        device,
        name_length,
        0,
    ];
    for field in fields {
        archive.extend(format!("{field:08x}").bytes());
    }
    archive.extend(path.bytes());
    archive.push(0);
    pad(archive);
    archive.extend(bytes);
    pad(archive);
}

fn pad(archive: &mut Vec<u8>) {
    archive.resize(archive.len().next_multiple_of(4), 0);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads names, modes and bytes back.
    fn entries(archive: &[u8]) -> Vec<(String, u32, Vec<u8>)> {
        let mut entries = Vec::new();
        let mut at = 0;
        while at < archive.len() {
            let field = |index: usize| {
                let from = at + 6 + 8 * index;
                u32::from_str_radix(std::str::from_utf8(&archive[from..from + 8]).unwrap(), 16).unwrap()
            };
            assert_eq!(&archive[at..at + 6], b"070701");
            let (mode, length, name_length) = (field(1), field(6) as usize, field(11) as usize);
            let name = String::from_utf8(archive[at + 110..at + 110 + name_length - 1].to_vec()).unwrap();
            let from = (at + 110 + name_length).next_multiple_of(4);
            entries.push((name, mode, archive[from..from + length].to_vec()));
            at = (from + length).next_multiple_of(4);
        }
        entries
    }

    #[test]
    fn folders_come_before_what_is_in_them_and_bytes_are_kept() {
        let mut files = Files::default();
        files.add("/lib/x/a.so", b"abc".to_vec());
        files.add("init", b"#!/bin/sh\n".to_vec());
        let read = entries(&files.archive(&["proc"]));
        let expected = [
            ("init", MODE_PROGRAM, &b"#!/bin/sh\n"[..]),
            ("lib", MODE_FOLDER, b""),
            ("lib/x", MODE_FOLDER, b""),
            ("lib/x/a.so", MODE_PROGRAM, b"abc"),
            ("proc", MODE_FOLDER, b""),
            (TRAILER, 0, b""),
        ];
        assert_eq!(read, expected.map(|(name, mode, bytes)| (name.to_owned(), mode, bytes.to_vec())));
    }
}
