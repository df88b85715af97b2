//! Control state as it can be read beside the process that owns it: what the journal adds up to, and blobs.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use pointsman_domain::Digest;
use pointsman_domain::control::{Change, Prices};
use pointsman_domain::decision::Record;

use crate::blobs;
use crate::error::StoreError;
use crate::folder::{FORMAT_FILE, check_version};
use crate::state::State;

/// A store that is only read.
pub struct Look {
    folder: PathBuf,
    state: State,
    prices: BTreeMap<Digest, Arc<Prices>>,
}

impl fmt::Debug for Look {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Look")
            .field("folder", &self.folder)
            .finish_non_exhaustive()
    }
}

impl Look {
    /// Reads the whole journal; changes nothing, and needs no leave of whoever owns the folder.
    ///
    /// # Errors
    /// Where the folder cannot be read, is of another format, or a line of the journal does not hold.
    pub fn open(folder: &Path) -> Result<Self, StoreError> {
        let format = folder.join(FORMAT_FILE);
        let text = std::fs::read_to_string(&format).map_err(StoreError::io("read", &format))?;
        check_version(&format, &text)?;
        let mut look = Self {
            folder: folder.to_owned(),
            state: State::default(),
            prices: BTreeMap::new(),
        };
        for item in pointsman_audit::records(folder).map_err(StoreError::Journal)? {
            let (_, record) = item.map_err(StoreError::Journal)?;
            let Record::Control(entry) = record else {
                continue;
            };
            if let Change::PricesPut(prices) = &entry.change {
                let known = Arc::new(prices.clone());
                look.prices.insert(prices.digest, known);
            }
            look.state.apply(&entry);
        }
        Ok(look)
    }

    /// All control state.
    #[must_use]
    pub const fn state(&self) -> &State {
        &self.state
    }

    /// A price catalogue that is, or was, in force, by its content's digest.
    #[must_use]
    pub fn prices(&self, digest: &Digest) -> Option<&Arc<Prices>> {
        self.prices.get(digest)
    }

    /// A blob's bytes.
    ///
    /// # Errors
    /// Where it is missing or is not what its name says.
    pub fn blob(&self, digest: &Digest) -> Result<Bytes, StoreError> {
        blobs::read(&self.folder.join(blobs::FOLDER), digest)
    }
}
