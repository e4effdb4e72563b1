//! Where `watch` writes: whole lines into a file, a pipe or a terminal.

use std::fs::{File, OpenOptions};
use std::io::{self, IsTerminal, Read, Seek, SeekFrom, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use waggle_core::limits::WATCH_RECOVERY_BYTES_MAX;

use super::already::Already;

/// An output.
#[derive(Debug)]
pub(crate) struct Output {
    file: Arc<File>,
    is_regular: bool,
    already: Already,
}

/// How far a regular file was written when the cursor was saved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct FileMark {
    device: u64,
    inode: u64,
    bytes: u64,
}

impl Output {
    /// The process's stdout, whatever it is.
    pub(crate) fn stdout() -> io::Result<Self> {
        Self::new(File::from(io::stdout().as_fd().try_clone_to_owned()?))
    }

    /// A file that is appended to, and made where there is none.
    pub(crate) fn append(path: &Path) -> io::Result<Self> {
        Self::new(OpenOptions::new().append(true).create(true).open(path)?)
    }

    fn new(file: File) -> io::Result<Self> {
        let is_regular = file.metadata()?.is_file();
        Ok(Self { file: Arc::new(file), is_regular, already: Already::default() })
    }

    pub(crate) fn is_terminal(&self) -> bool {
        self.file.is_terminal()
    }

    /// Looks for lines written after `saved`. Another file than then holds none of them.
    ///
    /// # Errors
    /// Where the file cannot be read back.
    pub(crate) fn look_back(&mut self, saved: Option<FileMark>) -> io::Result<()> {
        let (Some(now), Some(saved)) = (self.mark()?, saved) else { return Ok(()) };
        let is_same = (now.device, now.inode) == (saved.device, saved.inode);
        if !is_same || now.bytes <= saved.bytes {
            return Ok(());
        }
        // Opened anew, for reading: this one may only be writable, and its place must not move.
        let mut reader = File::open(descriptor_path(&self.file))?;
        reader.seek(SeekFrom::Start(saved.bytes))?;
        let mut beyond = Vec::new();
        reader.take(WATCH_RECOVERY_BYTES_MAX).read_to_end(&mut beyond)?;
        self.already = Already::new(saved.bytes, &beyond);
        Ok(())
    }

    /// Appends to `out` what is still to be written of `line`.
    pub(crate) fn push_line(&mut self, line: &[u8], out: &mut Vec<u8>) {
        self.already.write(line, out);
    }

    /// Writes all of `bytes`. Waits where the reader does not read, so not on an executor's thread.
    pub(crate) fn writer(&self) -> impl FnOnce(Vec<u8>) -> io::Result<()> + Send + 'static {
        let file = Arc::clone(&self.file);
        move |bytes| (&*file).write_all(&bytes)
    }

    /// How far the file is written with what the lines so far account for; `None` for pipes and
    /// terminals.
    pub(crate) fn mark(&self) -> io::Result<Option<FileMark>> {
        if !self.is_regular {
            return Ok(None);
        }
        let metadata = self.file.metadata()?;
        let bytes = self.already.accounted_bytes().unwrap_or(metadata.len());
        Ok(Some(FileMark { device: metadata.dev(), inode: metadata.ino(), bytes }))
    }
}

fn descriptor_path(file: &File) -> String {
    use std::os::fd::AsRawFd;
    let base = if cfg!(target_os = "linux") { "/proc/self/fd" } else { "/dev/fd" };
    format!("{base}/{}", file.as_raw_fd())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(output: &mut Output, lines: &[&str]) {
        let mut out = Vec::new();
        lines.iter().for_each(|line| output.push_line(line.as_bytes(), &mut out));
        output.writer()(out).unwrap();
    }

    #[test]
    fn a_run_finds_what_the_one_before_wrote() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out");
        let mut first = Output::append(&path).unwrap();
        write(&mut first, &["one\n"]);
        let saved = first.mark().unwrap();
        write(&mut first, &["two\n", "thr"]);

        let mut second = Output::append(&path).unwrap();
        second.look_back(saved).unwrap();
        write(&mut second, &["two\n", "three\n", "four\n"]);
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "one\ntwo\nthree\nfour\n");

        std::fs::rename(&path, folder.path().join("rotated")).unwrap();
        let mut third = Output::append(&path).unwrap();
        third.look_back(saved).unwrap();
        write(&mut third, &["two\n"]);
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "two\n");
    }
}
