//! The file `high-water` of a data folder: one line of fixed width with the highest mark that was seen, which is written
//! in place, and behind it a line for each death. Several processes use it, one at a time.

use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use super::StoreError;
use super::high_water::{Death, Mark};
use crate::wire::Id;

/// What every such file begins with: format 1.
const FORMAT: &str = "sandpiper high-water 1";
/// Of the first line, with its end: format, id, two numbers of 20 digits.
const HEADER_BYTES: usize = 22 + 1 + 36 + 1 + 20 + 1 + 20 + 1;
/// No line is longer.
const LINE_BYTES: usize = 256;

/// Where the file is, and whose it must be.
#[derive(Debug)]
pub(super) struct MarkFile {
    path: PathBuf,
    server_id: Id,
}

/// The file, while nobody else may use it.
pub(super) struct Held<'a> {
    file: File,
    of: &'a MarkFile,
}

/// What ended, and at which revision.
pub(super) type Line = (i64, Death);

impl MarkFile {
    pub fn new(path: PathBuf, server_id: Id) -> Self {
        Self { path, server_id }
    }

    /// Opens it, empty if there was none, and waits for its turn.
    pub fn hold(&self) -> Result<Held<'_>, StoreError> {
        let open = || {
            let file = File::options()
                .read(true)
                .write(true)
                .create(true)
                .truncate(false)
                .mode(0o600)
                .open(&self.path)?;
            file.lock()?;
            Ok(file)
        };
        Ok(Held { file: open().map_err(|error| self.failed(&error))?, of: self })
    }

    fn header(&self, mark: Mark) -> String {
        format!("{FORMAT} {} {:020} {:020}\n", self.server_id, mark.lineage, mark.revision)
    }

    fn failed(&self, error: &io::Error) -> StoreError {
        use io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
        if matches!(error.kind(), StorageFull | QuotaExceeded | FileTooLarge) {
            return StoreError::Full;
        }
        StoreError::Unavailable(format!("cannot use {}: {error}", self.path.display()))
    }

    fn damaged(&self, what: &str) -> StoreError {
        let path = self.path.display();
        StoreError::HighWater(format!(
            "{path} {what}: restore that file alone from a copy, or, if no backup of the database was restored, remove it"
        ))
    }
}

impl Held<'_> {
    /// The highest mark that was seen; `None` for a new file.
    pub fn mark(&self) -> Result<Option<Mark>, StoreError> {
        if self.len()? < HEADER_BYTES {
            return Ok(None);
        }
        let mut bytes = [0; HEADER_BYTES];
        self.file.read_exact_at(&mut bytes, 0).map_err(|error| self.of.failed(&error))?;
        let header = std::str::from_utf8(&bytes).ok().and_then(parse_header);
        let (server_id, mark) = header.ok_or_else(|| self.of.damaged("is damaged"))?;
        if server_id != self.of.server_id {
            let path = self.of.path.display();
            return Err(StoreError::HighWater(format!(
                "{path} belongs to node {server_id}, the database to node {}: put each data folder to its own database; if \
                 this folder was given to another node on purpose, remove that file",
                self.of.server_id
            )));
        }
        Ok(Some(mark))
    }

    /// Writes the mark in place, and lets nobody go on before it is on the disk.
    pub fn set_mark(&self, mark: Mark) -> Result<(), StoreError> {
        let is_new = self.len()? < HEADER_BYTES;
        let write = || {
            self.file.write_all_at(self.of.header(mark).as_bytes(), 0)?;
            self.file.sync_data()?;
            match self.of.path.parent() {
                Some(folder) if is_new => File::open(folder)?.sync_all(),
                _ => Ok(()),
            }
        };
        write().map_err(|error| self.of.failed(&error))
    }

    /// Every death that was written whole.
    pub fn lines(&self) -> Result<Vec<Line>, StoreError> {
        let mut bytes = vec![0; self.whole()?.saturating_sub(HEADER_BYTES)];
        self.file
            .read_exact_at(&mut bytes, position(HEADER_BYTES))
            .map_err(|error| self.of.failed(&error))?;
        let text = std::str::from_utf8(&bytes).map_err(|_error| self.of.damaged("is no text"))?;
        text.lines()
            .map(|line| parse_line(line).ok_or_else(|| self.of.damaged("has a line that is none")))
            .collect()
    }

    /// Adds deaths, and lets nobody go on before they are on the disk.
    pub fn append(&self, revision: i64, deaths: &[&Death]) -> Result<(), StoreError> {
        let revision = revision.to_string();
        let lines = deaths.iter().flat_map(|Death { kind, id }| [&revision, " ", kind, " ", id, "\n"]);
        let text: String = lines.collect();
        let end = position(self.whole()?);
        let is_whole = end == position(self.len()?);
        let write = || {
            if !is_whole {
                // What a crash left of a line would make one with the next.
                self.file.set_len(end)?;
            }
            self.file.write_all_at(text.as_bytes(), end)?;
            self.file.sync_data()
        };
        write().map_err(|error| {
            // Half a line would not count either.
            drop(self.file.set_len(end));
            self.of.failed(&error)
        })
    }

    /// Bytes up to the end of the last line that has one.
    fn whole(&self) -> Result<usize, StoreError> {
        let len = self.len()?;
        if len < HEADER_BYTES {
            return Ok(len);
        }
        let begin = len.saturating_sub(LINE_BYTES);
        let mut tail = vec![0; len - begin];
        self.file.read_exact_at(&mut tail, position(begin)).map_err(|error| self.of.failed(&error))?;
        let end = tail.iter().rposition(|byte| *byte == b'\n');
        end.map(|end| begin + end + 1).ok_or_else(|| self.of.damaged("has no ends of lines"))
    }

    fn len(&self) -> Result<usize, StoreError> {
        let metadata = self.file.metadata().map_err(|error| self.of.failed(&error))?;
        usize::try_from(metadata.len()).map_err(|_larger| self.of.damaged("is too large"))
    }
}

fn position(bytes: usize) -> u64 {
    u64::try_from(bytes).unwrap_or(u64::MAX)
}

fn parse_header(text: &str) -> Option<(Id, Mark)> {
    let mut words = text.strip_suffix('\n')?.strip_prefix(FORMAT)?.strip_prefix(' ')?.split(' ');
    let id = words.next()?.parse().ok()?;
    let mark = Mark { lineage: words.next()?.parse().ok()?, revision: words.next()?.parse().ok()? };
    words.next().is_none().then_some((id, mark))
}

fn parse_line(line: &str) -> Option<Line> {
    let mut words = line.split(' ');
    let revision = words.next()?.parse().ok()?;
    let death = Death { kind: words.next()?.to_owned(), id: words.next()?.to_owned() };
    words.next().is_none().then_some((revision, death))
}

/// Where it is in a data folder.
pub(super) fn in_folder(folder: &Path) -> PathBuf {
    folder.join("high-water")
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::{Death, HEADER_BYTES, Id, Mark, MarkFile, StoreError};

    fn death(id: &str) -> Death {
        Death { kind: "api_key".to_owned(), id: id.to_owned() }
    }

    #[test]
    fn what_is_written_is_read_and_a_line_that_was_cut_off_does_not_count() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("high-water");
        let file = MarkFile::new(path.clone(), Id::NIL);
        let held = file.hold().unwrap();
        assert_eq!(held.mark().unwrap(), None);
        held.set_mark(Mark { lineage: 0, revision: 4 }).unwrap();
        held.append(5, &[&death("a"), &death("b")]).unwrap();
        held.set_mark(Mark { lineage: i64::MAX, revision: 5 }).unwrap();
        assert_eq!(held.mark().unwrap(), Some(Mark { lineage: i64::MAX, revision: 5 }));
        let whole = fs::read(&path).unwrap();
        assert_eq!(whole.iter().position(|byte| *byte == b'\n'), Some(HEADER_BYTES - 1));
        for cut in ["6 api_key", "6 api_key c", "\0\0\0\0\0"] {
            fs::write(&path, [whole.as_slice(), cut.as_bytes()].concat()).unwrap();
            assert_eq!(held.lines().unwrap(), [(5, death("a")), (5, death("b"))], "{cut:?}");
        }
        held.append(6, &[&death("d")]).unwrap();
        assert_eq!(held.lines().unwrap(), [(5, death("a")), (5, death("b")), (6, death("d"))]);
    }

    #[test]
    fn a_file_of_another_node_or_of_another_kind_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("high-water");
        let other = MarkFile::new(path.clone(), "11111111-2222-4333-8444-555555555555".parse().unwrap());
        other.hold().unwrap().set_mark(Mark { lineage: 0, revision: 4 }).unwrap();
        let own = MarkFile::new(path.clone(), Id::NIL);
        assert!(
            matches!(own.hold().unwrap().mark(), Err(StoreError::HighWater(why)) if why.contains("11111111"))
        );
        fs::write(&path, [b'x'; 200]).unwrap();
        assert!(matches!(own.hold().unwrap().mark(), Err(StoreError::HighWater(_))));
    }

    #[test]
    fn where_no_line_can_be_written_it_says_that_there_is_no_space() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("high-water");
        std::os::unix::fs::symlink("/dev/full", &path).unwrap();
        let file = MarkFile::new(path, Id::NIL);
        let held = file.hold().unwrap();
        assert!(matches!(held.append(1, &[&death("a")]), Err(StoreError::Full)));
    }
}
