//! One writer's chain: append, rotate, seal. One process a chain, held by a lock file.
//!
//! Promises: when `append` returns, the record is in the operating system and survives `kill -9`, and on the disk where
//! the chain is `durable`; a failed append leaves nothing behind; no allocation and one sha256 a record.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use pointsman_domain::decision::Record;

use crate::disk::{self, DiskRoom};
use crate::error::AuditError;
use crate::line::{self, Hash, LINE_BYTES_MAX, OVERHEAD_BYTES, Seal};
use crate::recovery::{self, Recovery, Resumed, Unsealed};
use crate::segment::{self, Position};

/// Space is reserved in steps of this, so that an idle chain holds no more.
const RESERVE_STEP_BYTES: u64 = 1024 * 1024;
/// What an admitted request may add, and every open one still may: its record of how it ended.
const RECORD_BYTES_ASSUMED: u64 = 4 * 1024;
/// Most that is reserved ahead, however many requests are open.
const RESERVE_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// Used space in percent above which no request is admitted, unless the headroom is free.
pub const DISK_USED_PERCENT_MAX: u8 = 90;
/// Free bytes with which a disk is never too full.
pub const DISK_HEADROOM_BYTES: u64 = 4 << 30;
/// How often the disk is looked at.
const DISK_CHECK: Duration = Duration::from_secs(1);
/// A buffer that one large record has blown up is given back above this.
const BUFFER_BYTES_KEPT: usize = 256 * 1024;
/// Bytes kept free in a segment for its seal.
const SEAL_BYTES_MAX: u64 = 256;

/// A chain's bounds.
#[derive(Clone, Debug)]
pub struct ChainConfig {
    /// A segment is sealed before it grows beyond this, in bytes.
    pub segment_bytes_max: u64,
    /// A segment is sealed at the first record after this.
    pub segment_age_max: Duration,
    /// No request is admitted where more of the disk is used, in percent, and less than the headroom is free.
    pub disk_used_percent_max: u8,
    /// Free bytes with which a disk is never too full, whatever its percentage.
    pub disk_headroom_bytes: u64,
    /// Whether each line, and the name of each segment, is on the disk before it counts: survives a power cut.
    pub durable: bool,
}

impl Default for ChainConfig {
    fn default() -> Self {
        Self {
            segment_bytes_max: 256 * 1024 * 1024,
            segment_age_max: Duration::from_secs(3600),
            disk_used_percent_max: DISK_USED_PERCENT_MAX,
            disk_headroom_bytes: DISK_HEADROOM_BYTES,
            durable: false,
        }
    }
}

/// One writer's chain.
#[derive(Debug)]
pub struct Chain {
    folder: PathBuf,
    name: Arc<str>,
    config: ChainConfig,
    /// Held for as long as the chain lives; the operating system frees it with the process.
    _lock: File,
    /// The newest segment's number; 0 before the first.
    number: u32,
    /// The segment that is being written; none before the first append and after a seal.
    segment: Option<Segment>,
    /// Hash of the last line.
    prev: Hash,
    /// Requests that are opened and not closed.
    open: u64,
    /// The line being made; reused.
    buffer: Vec<u8>,
    /// When the disk was last looked at, and what was left of it.
    disk: Option<(Instant, DiskRoom)>,
}

#[derive(Debug)]
struct Segment {
    file: File,
    path: PathBuf,
    /// Bytes of whole lines.
    len: u64,
    /// Bytes up to which space is reserved.
    reserved: u64,
    records: u64,
    began: Instant,
    /// A failed write may have left bytes behind `len`.
    dirty: bool,
    /// Whether each line goes to the disk.
    durable: bool,
    /// Whether its name is to reach the disk before its next line counts.
    name_pending: bool,
}

impl Chain {
    /// Opens a chain for writing; makes the folder and the chain where there are none, and recovers what a killed
    /// process left: a half-written line is cut and a `truncated` record says so.
    ///
    /// # Errors
    /// Where another process writes the chain, the name is no file name, or the operating system refuses. Damage is no
    /// error: the chain goes on behind it, and `Recovery::damage` says so.
    pub fn open(
        folder: &Path,
        name: &str,
        config: ChainConfig,
    ) -> Result<(Self, Recovery), AuditError> {
        segment::check_name(name)?;
        std::fs::create_dir_all(folder).map_err(AuditError::io("make the folder", folder))?;
        let lock = lock(folder, name)?;
        let Resumed {
            number,
            prev,
            unsealed,
            recovery,
        } = recovery::look(folder, name)?;
        let mut chain = Self {
            folder: folder.to_owned(),
            name: name.into(),
            config,
            _lock: lock,
            number,
            segment: None,
            prev,
            open: recovery.unclosed.len() as u64,
            buffer: Vec::new(),
            disk: None,
        };
        if let Some(unsealed) = unsealed {
            chain.mend(&unsealed, recovery.cut_bytes)?;
        }
        Ok((chain, recovery))
    }

    /// Cuts the torn tail of the newest segment and seals it.
    fn mend(&mut self, unsealed: &Unsealed, cut_bytes: u64) -> Result<(), AuditError> {
        let path = segment::path(&self.folder, &self.name, self.number);
        let file = OpenOptions::new()
            .write(true)
            .open(&path)
            .map_err(AuditError::io("open", &path))?;
        let mut segment = Segment {
            file,
            path,
            len: unsealed.len,
            reserved: unsealed.len,
            records: unsealed.records,
            began: Instant::now(),
            dirty: cut_bytes > 0,
            durable: self.config.durable,
            name_pending: self.config.durable,
        };
        segment.clean()?;
        self.segment = Some(segment);
        if cut_bytes > 0 {
            let at_ms = SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .map_or(0, |since| since.as_millis() as u64);
            self.append(&Record::Truncated {
                at_ms,
                bytes: cut_bytes,
            })?;
        }
        self.seal()
    }

    /// Appends one record. When this returns, the record survives the process.
    ///
    /// # Errors
    /// Where the record is too large or the operating system refuses; the log is then as it was before.
    pub fn append(&mut self, record: &Record) -> Result<Position, AuditError> {
        self.buffer.clear();
        self.buffer.shrink_to(BUFFER_BYTES_KEPT);
        serde_json::to_writer(&mut self.buffer, record).map_err(AuditError::Encode)?;
        let bytes = self.buffer.len() + OVERHEAD_BYTES;
        if bytes > LINE_BYTES_MAX {
            return Err(AuditError::TooLarge {
                bytes,
                max: LINE_BYTES_MAX,
            });
        }
        self.make_room(bytes as u64)?;
        let hash = line::finish(&mut self.buffer, &self.prev);
        let segment = self.segment.as_mut().expect("`make_room` leaves one");
        let offset = segment.put(&self.buffer)?;
        segment.records += 1;
        self.prev = hash;
        match record {
            Record::Opened(_) => self.open += 1,
            Record::Closed(_) => self.open = self.open.saturating_sub(1),
            Record::Started { .. } | Record::Control(_) | Record::Truncated { .. } => {}
        }
        Ok(Position {
            chain: Arc::clone(&self.name),
            segment: self.number,
            offset,
        })
    }

    /// Hash of the last line, which the next one carries.
    #[must_use]
    pub fn head(&self) -> [u8; 32] {
        self.prev.0
    }

    /// The segment that is being written, and the bytes of its whole lines; none before the first and after a seal.
    #[must_use]
    pub fn written(&self) -> Option<(u32, u64)> {
        let segment = self.segment.as_ref()?;
        Some((self.number, segment.len))
    }

    /// Whether one more request may begin: the disk has room, and space for its records and those of all that are open
    /// is reserved.
    ///
    /// # Errors
    /// Where the disk is too full, or the operating system refuses.
    pub fn admit(&mut self) -> Result<(), AuditError> {
        let room = self.disk_room()?;
        let max_percent = self.config.disk_used_percent_max;
        if room.is_short(max_percent, self.config.disk_headroom_bytes) {
            return Err(AuditError::Full {
                folder: self.folder.clone(),
                used_percent: room.used_percent,
                free_bytes: room.free_bytes,
                max_percent,
            });
        }
        self.make_room(0)?;
        let segment = self.segment.as_mut().expect("`make_room` leaves one");
        let ends = self
            .open
            .saturating_add(2)
            .saturating_mul(RECORD_BYTES_ASSUMED);
        segment.reserve(ends.min(RESERVE_BYTES_MAX))
    }

    fn disk_room(&mut self) -> Result<DiskRoom, AuditError> {
        let now = Instant::now();
        if let Some((at, room)) = self.disk
            && now.duration_since(at) < DISK_CHECK
        {
            return Ok(room);
        }
        let room = DiskRoom::of(&self.folder)
            .map_err(AuditError::io("look at the disk of", &self.folder))?;
        self.disk = Some((now, room));
        Ok(room)
    }

    /// Ends the segment: its last line says what it holds, and unused space is given back. A later append begins the
    /// next one.
    ///
    /// # Errors
    /// Where the operating system refuses; the next opening then seals it.
    pub fn seal(&mut self) -> Result<(), AuditError> {
        let Some(segment) = &mut self.segment else {
            return Ok(());
        };
        let mut seal = Seal {
            records: segment.records,
            open: self.open,
        }
        .json();
        let hash = line::finish(&mut seal, &self.prev);
        segment.put(&seal)?;
        self.prev = hash;
        // The seal stands: what fails from here on costs reserved space, not the log.
        let _space_may_stay = segment.file.set_len(segment.len);
        self.segment = None;
        Ok(())
    }

    /// Makes sure of a segment with space for a line of `bytes`.
    fn make_room(&mut self, bytes: u64) -> Result<(), AuditError> {
        let due = self.segment.as_ref().is_none_or(|segment| {
            let size = segment.len + bytes + SEAL_BYTES_MAX;
            segment.records > 0
                && (size > self.config.segment_bytes_max
                    || segment.began.elapsed() >= self.config.segment_age_max)
        });
        if due {
            match self.prepare() {
                Ok(next) => {
                    self.seal()?;
                    self.adopt(next)?;
                }
                // A segment that grows beyond its bound keeps what one that cannot be begun would lose.
                Err(_) if self.segment.is_some() => {}
                Err(error) => return Err(error),
            }
        }
        let segment = self.segment.as_mut().expect("begun above");
        segment.reserve(bytes)?;
        if segment.name_pending {
            File::open(&self.folder)
                .and_then(|folder| folder.sync_all())
                .map_err(AuditError::io("sync", &self.folder))?;
            segment.name_pending = false;
        }
        Ok(())
    }

    /// The next segment, with space but without its name: no reader sees one whose predecessor has no seal, and nothing
    /// is left in the log where the disk has no room.
    fn prepare(&self) -> Result<Segment, AuditError> {
        let path = self.next_path();
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&path)
            .map_err(AuditError::io("make", &path))?;
        let mut segment = Segment {
            file,
            path,
            len: 0,
            reserved: 0,
            records: 0,
            began: Instant::now(),
            dirty: false,
            durable: self.config.durable,
            name_pending: self.config.durable,
        };
        segment.reserve(RECORD_BYTES_ASSUMED)?;
        Ok(segment)
    }

    fn next_path(&self) -> PathBuf {
        self.folder.join(format!("{}.next", self.name))
    }

    /// Gives a prepared segment its number.
    fn adopt(&mut self, mut segment: Segment) -> Result<(), AuditError> {
        let number = self
            .number
            .checked_add(1)
            .ok_or_else(|| AuditError::Exhausted(self.name.to_string()))?;
        segment.path = segment::path(&self.folder, &self.name, number);
        let named = AuditError::io("begin", &segment.path);
        if segment.path.exists() {
            return Err(named(io::ErrorKind::AlreadyExists.into()));
        }
        std::fs::rename(self.next_path(), &segment.path).map_err(named)?;
        self.number = number;
        self.segment = Some(segment);
        Ok(())
    }
}

impl Segment {
    /// Reserves space for `bytes` more and the seal.
    fn reserve(&mut self, bytes: u64) -> Result<(), AuditError> {
        let wanted = self.len + bytes + SEAL_BYTES_MAX;
        if wanted <= self.reserved {
            return Ok(());
        }
        let step = (wanted - self.reserved).next_multiple_of(RESERVE_STEP_BYTES);
        disk::reserve(&self.file, self.reserved, step)
            .map_err(AuditError::io("reserve space for", &self.path))?;
        self.reserved += step;
        Ok(())
    }

    /// Writes one line; where it begins. After an error nothing of it counts.
    fn put(&mut self, line: &[u8]) -> Result<u64, AuditError> {
        self.clean()?;
        let offset = self.len;
        let mut written = self.file.write_all_at(line, offset);
        if self.durable && written.is_ok() {
            written = self.file.sync_data();
        }
        if let Err(source) = written {
            self.dirty = true;
            let _tried_again_before_the_next_line = self.clean();
            return Err(AuditError::io("append to", &self.path)(source));
        }
        self.len += line.len() as u64;
        Ok(offset)
    }

    /// Cuts what a failed write, or a killed process, left behind the last whole line.
    fn clean(&mut self) -> Result<(), AuditError> {
        if self.dirty {
            self.file
                .set_len(self.len)
                .map_err(AuditError::io("cut", &self.path))?;
            // Cutting gives back the space that was reserved behind the end.
            self.reserved = self.len;
            self.dirty = false;
        }
        Ok(())
    }
}

/// Takes a chain's lock; the file stays, so that two openers never lock two files of one name.
fn lock(folder: &Path, name: &str) -> Result<File, AuditError> {
    let path = folder.join(format!("{name}.lock"));
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(&path)
        .map_err(AuditError::io("open", &path))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut text = String::new();
            let _unreadable_means_unknown = (&file).take(32).read_to_string(&mut text);
            return Err(AuditError::Locked {
                chain: name.to_owned(),
                pid: text.trim().parse().ok(),
            });
        }
        Err(TryLockError::Error(source)) => return Err(AuditError::io("lock", &path)(source)),
    }
    let note = |mut file: &File| -> io::Result<()> {
        file.set_len(0)?;
        file.write_all(format!("{}\n", std::process::id()).as_bytes())
    };
    note(&file).map_err(AuditError::io("write", &path))?;
    Ok(file)
}
