//! Where results go: stdout, or a file that appears under its name only when it is complete.

use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, IsTerminal, Write};
use std::path::{Path, PathBuf};

use indicatif::{ProgressBar, ProgressStyle};

use super::error::{Failure, Result};

const BUFFER_BYTES: usize = 64 << 10;

/// A destination of bytes.
pub enum Output {
    /// The process's stdout.
    Stdout(BufWriter<io::Stdout>),
    /// A file.
    File(NewFile),
}

/// A file under way. Dropped before [`NewFile::keep`], it leaves nothing behind.
pub struct NewFile {
    path: PathBuf,
    /// Absent where the bytes go straight to `path`: a pipe or a device cannot be replaced.
    temporary: Option<PathBuf>,
    file: BufWriter<File>,
}

impl Output {
    /// The file at `path`, or stdout.
    pub fn open(path: Option<&Path>) -> Result<Output> {
        match path {
            Some(path) => NewFile::create(path).map(Output::File),
            None => Ok(Output::Stdout(BufWriter::with_capacity(BUFFER_BYTES, io::stdout()))),
        }
    }

    /// Writes bytes.
    pub fn write(&mut self, bytes: &[u8]) -> Result<()> {
        match self {
            Output::Stdout(out) => out.write_all(bytes).map_err(|e| Failure::stdout(&e)),
            Output::File(file) => file.write_all(bytes).map_err(|e| file.failure(&e)),
        }
    }

    /// Hands on what is buffered for stdout: its reader may wait for it. Files can wait.
    pub fn flush(&mut self) -> Result<()> {
        match self {
            Output::Stdout(out) => out.flush().map_err(|e| Failure::stdout(&e)),
            Output::File(_) => Ok(()),
        }
    }

    /// Everything is written: the file gets its name.
    pub fn finish(mut self) -> Result<()> {
        self.flush()?;
        match self {
            Output::Stdout(_) => Ok(()),
            Output::File(file) => file.keep(),
        }
    }
}

impl NewFile {
    /// Starts a file that is to stand at `path`.
    pub fn create(path: &Path) -> Result<NewFile> {
        let fail = |error: io::Error| Failure::file("creating", path, &error);
        if path.is_dir() {
            return Err(fail(io::ErrorKind::IsADirectory.into()));
        }
        let replaceable = path.metadata().map_or(true, |m| m.is_file());
        let (temporary, file) = if replaceable {
            let temporary = beside(path);
            let file = File::create(&temporary).map_err(fail)?;
            (Some(temporary), file)
        } else {
            (None, OpenOptions::new().write(true).open(path).map_err(fail)?)
        };
        Ok(NewFile { path: path.to_path_buf(), temporary, file: BufWriter::with_capacity(BUFFER_BYTES, file) })
    }

    /// Gives the complete file its name.
    pub fn keep(mut self) -> Result<()> {
        self.file.flush().map_err(|e| self.failure(&e))?;
        if let Some(temporary) = self.temporary.take() {
            std::fs::rename(&temporary, &self.path).map_err(|e| {
                // The rename's error is what the user has to know; the leftover is only untidy.
                let _ = std::fs::remove_file(&temporary);
                self.failure(&e)
            })?;
        }
        Ok(())
    }

    /// An error of this file in words.
    pub fn failure(&self, error: &io::Error) -> Failure {
        Failure::file("writing", &self.path, error)
    }
}

impl Write for NewFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Drop for NewFile {
    fn drop(&mut self) {
        if let Some(temporary) = &self.temporary {
            // Nothing more can be done about a leftover that cannot be removed.
            let _ = std::fs::remove_file(temporary);
        }
    }
}

/// A hidden name in the same folder, so that the last step is a rename within one file system.
fn beside(path: &Path) -> PathBuf {
    let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    path.with_file_name(format!(".{name}.{}.partial", std::process::id()))
}

/// Prints one line to stdout.
pub fn print_line(line: &str) -> Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{line}").and_then(|()| out.flush()).map_err(|e| Failure::stdout(&e))
}

/// A progress bar of bytes on a terminal, nothing elsewhere.
pub fn bytes_bar() -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{bar:40} {bytes} of {total_bytes}, {eta} left");
    ProgressBar::new(0).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let entries = std::fs::read_dir(folder).unwrap();
        entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect()
    }

    #[test]
    fn a_file_appears_only_when_it_is_complete() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("result.csv");
        std::fs::write(&path, "old").unwrap();
        let mut output = Output::open(Some(&path)).unwrap();
        output.write(b"new").unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "old");
        output.finish().unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "new");
        assert_eq!(names(folder.path()), ["result.csv"]);
    }

    #[test]
    fn a_dropped_file_leaves_nothing_behind() {
        let folder = tempfile::tempdir().unwrap();
        let mut output = Output::open(Some(&folder.path().join("result.csv"))).unwrap();
        output.write(b"half").unwrap();
        drop(output);
        assert!(names(folder.path()).is_empty());
    }

    #[test]
    fn devices_are_written_in_place() {
        let mut output = Output::open(Some(Path::new("/dev/null"))).unwrap();
        output.write(b"gone").unwrap();
        output.finish().unwrap();
        assert!(!Path::new("/dev/null").metadata().unwrap().is_file());
    }

    #[test]
    fn a_folder_that_is_missing_is_said() {
        let Err(Failure::Failed(text)) = Output::open(Some(Path::new("/nowhere/at/all.csv"))) else {
            panic!("it must fail");
        };
        assert_eq!(text, "creating /nowhere/at/all.csv failed: no such file or folder; check the path");
    }
}
