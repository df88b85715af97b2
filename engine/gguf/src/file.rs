//! A parsed file: metadata by key, tensors by name, all offsets checked once at opening.

use std::collections::HashMap;
use std::ops::Range;
use std::path::Path;

use crate::block::Format;
use crate::error::Error;
use crate::limits::{
    ALIGNMENT_BYTES_MAX, DIMENSIONS_MAX, METADATA_ENTRIES_MAX, NAME_BYTES_MAX, TENSORS_MAX,
};
use crate::mapping::Bytes;
use crate::reader::Reader;
use crate::value::{self, Array, Value};

/// An opened model file.
#[derive(Debug)]
pub struct Gguf {
    bytes: Bytes,
    metadata: HashMap<String, Value>,
    tensors: HashMap<String, TensorInfo>,
}

/// Where a tensor lies and what it looks like. Invariant: `bytes` is inside the file and exactly as long as the
/// shape and the format demand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TensorInfo {
    /// Its block format.
    pub format: Format,
    /// Elements of a row: the file's first dimension, contiguous in memory.
    pub columns: usize,
    /// Rows: the product of the other dimensions.
    pub rows: usize,
    /// Its bytes in the file.
    pub bytes: Range<usize>,
}

/// A tensor with its bytes at hand.
#[derive(Clone, Copy, Debug)]
pub struct Tensor<'a> {
    /// Its block format.
    pub format: Format,
    /// Elements of a row.
    pub columns: usize,
    /// Rows.
    pub rows: usize,
    /// Its bytes: rows of whole blocks, one after another.
    pub bytes: &'a [u8],
}

impl Tensor<'_> {
    /// All values as f32, row by row.
    #[must_use]
    pub fn dequantise(&self) -> Vec<f32> {
        let mut out = vec![0.0; self.rows * self.columns];
        self.format.dequantise(self.bytes, &mut out);
        out
    }
}

impl Gguf {
    /// Maps and checks the file at `path`.
    pub fn open(path: &Path) -> Result<Self, Error> {
        Self::parse(Bytes::map(path)?)
    }

    /// Checks a file that is already in memory.
    pub fn from_bytes(bytes: Vec<u8>) -> Result<Self, Error> {
        Self::parse(Bytes::Held(bytes))
    }

    fn parse(bytes: Bytes) -> Result<Self, Error> {
        let (metadata, tensors) = parse(bytes.as_slice())?;
        Ok(Self {
            bytes,
            metadata,
            tensors,
        })
    }

    /// The value of a metadata key.
    #[must_use]
    pub fn value(&self, key: &str) -> Option<&Value> {
        self.metadata.get(key)
    }

    /// The text of a metadata key that must be there.
    pub fn text(&self, key: &str) -> Result<&str, Error> {
        match self.required(key)? {
            Value::Text(text) => Ok(text),
            _ => Err(wrong_type(key, "a string")),
        }
    }

    /// The strings of a metadata key that must be there.
    pub fn texts(&self, key: &str) -> Result<&[String], Error> {
        match self.required(key)? {
            Value::Array(Array::Text(texts)) => Ok(texts),
            _ => Err(wrong_type(key, "an array of strings")),
        }
    }

    /// A count that must be there and fit 32 bits.
    pub fn u32(&self, key: &str) -> Result<u32, Error> {
        match self.required(key)? {
            Value::Unsigned(number) => {
                u32::try_from(*number).map_err(|_| wrong_type(key, "a 32-bit count"))
            }
            Value::Signed(number) => {
                u32::try_from(*number).map_err(|_| wrong_type(key, "a 32-bit count"))
            }
            _ => Err(wrong_type(key, "an integer")),
        }
    }

    /// A float that must be there.
    pub fn f32(&self, key: &str) -> Result<f32, Error> {
        match self.required(key)? {
            Value::Float(number) => Ok(*number as f32),
            _ => Err(wrong_type(key, "a float")),
        }
    }

    /// A tensor that must be there.
    pub fn tensor(&self, name: &str) -> Result<Tensor<'_>, Error> {
        let info = self.tensor_info(name)?;
        Ok(Tensor {
            format: info.format,
            columns: info.columns,
            rows: info.rows,
            bytes: self.slice(info.bytes.clone()),
        })
    }

    /// Where a tensor that must be there lies.
    pub fn tensor_info(&self, name: &str) -> Result<&TensorInfo, Error> {
        self.tensors.get(name).ok_or_else(|| Error::Missing {
            what: "tensor",
            name: name.to_owned(),
        })
    }

    /// Whether the file has this tensor.
    #[must_use]
    pub fn has_tensor(&self, name: &str) -> bool {
        self.tensors.contains_key(name)
    }

    /// All tensors.
    pub fn tensors(&self) -> impl Iterator<Item = (&str, &TensorInfo)> {
        self.tensors
            .iter()
            .map(|(name, info)| (name.as_str(), info))
    }

    /// Bytes of the file; `range` comes from a [`TensorInfo`] of this file (anything else may be empty).
    #[must_use]
    pub fn slice(&self, range: Range<usize>) -> &[u8] {
        self.bytes.as_slice().get(range).unwrap_or_default()
    }

    fn required(&self, key: &str) -> Result<&Value, Error> {
        self.metadata.get(key).ok_or_else(|| Error::Missing {
            what: "metadata key",
            name: key.to_owned(),
        })
    }
}

fn wrong_type(key: &str, wanted: &'static str) -> Error {
    Error::WrongType {
        key: key.to_owned(),
        wanted,
    }
}

type Parsed = (HashMap<String, Value>, HashMap<String, TensorInfo>);

fn parse(bytes: &[u8]) -> Result<Parsed, Error> {
    let mut reader = Reader::new(bytes);
    if bytes.get(..4) != Some(b"GGUF") {
        return Err(Error::Magic);
    }
    reader.take(4, "the magic")?;
    let version = reader.u32("the version")?;
    if !(2..=3).contains(&version) {
        return Err(Error::Version(version));
    }
    let tensor_count = reader.count("the tensor count", TENSORS_MAX)?;
    let entry_count = reader.count("the metadata count", METADATA_ENTRIES_MAX)?;

    let mut metadata = HashMap::new();
    for _ in 0..entry_count {
        let key = reader.string("a metadata key", NAME_BYTES_MAX)?;
        let value = value::read(&mut reader, key)?;
        if metadata.insert(key.to_owned(), value).is_some() {
            return Err(Error::Duplicate {
                what: "metadata key",
                name: key.to_owned(),
            });
        }
    }
    let mut places = Vec::new();
    for _ in 0..tensor_count {
        places.push(place(&mut reader)?);
    }
    let data_at = reader.at().next_multiple_of(alignment(&metadata)?.into());
    let mut tensors = HashMap::new();
    for place in places {
        let name = place.name;
        let info = place.locate(data_at, bytes.len() as u64)?;
        if tensors.insert(name.to_owned(), info).is_some() {
            return Err(Error::Duplicate {
                what: "tensor",
                name: name.to_owned(),
            });
        }
    }
    Ok((metadata, tensors))
}

fn alignment(metadata: &HashMap<String, Value>) -> Result<u32, Error> {
    let Some(value) = metadata.get("general.alignment") else {
        return Ok(32);
    };
    let Value::Unsigned(found) = *value else {
        return Err(wrong_type("general.alignment", "an unsigned integer"));
    };
    if found > ALIGNMENT_BYTES_MAX.into() {
        return Err(Error::TooLarge {
            what: "general.alignment",
            found,
            limit: ALIGNMENT_BYTES_MAX.into(),
        });
    }
    let found = found as u32;
    if !found.is_power_of_two() {
        return Err(Error::Alignment(found));
    }
    Ok(found)
}

/// A tensor as its header entry describes it, before the data section's start is known.
struct Place<'a> {
    name: &'a str,
    format: Format,
    columns: u64,
    rows: u64,
    offset: u64,
}

fn place<'a>(reader: &mut Reader<'a>) -> Result<Place<'a>, Error> {
    let name = reader.string("a tensor name", NAME_BYTES_MAX)?;
    let dimensions = reader.u32("a tensor's dimensions")?;
    if dimensions == 0 || dimensions > DIMENSIONS_MAX {
        return Err(problem(name, format!("it has {dimensions} dimensions")));
    }
    let columns = reader.u64("a tensor's shape")?;
    let mut rows = 1u64;
    for _ in 1..dimensions {
        let extent = reader.u64("a tensor's shape")?;
        rows = rows
            .checked_mul(extent)
            .ok_or_else(|| problem(name, "its shape overflows".to_owned()))?;
    }
    let number = reader.u32("a tensor's format")?;
    let format = Format::from_number(number).ok_or_else(|| Error::Format {
        tensor: name.to_owned(),
        format: format_name(number),
    })?;
    let offset = reader.u64("a tensor's offset")?;
    Ok(Place {
        name,
        format,
        columns,
        rows,
        offset,
    })
}

impl Place<'_> {
    fn locate(&self, data_at: u64, file_bytes: u64) -> Result<TensorInfo, Error> {
        let problem = |text: String| problem(self.name, text);
        if self.columns == 0 || self.rows == 0 {
            return Err(problem("it has no elements".to_owned()));
        }
        let block_elements = self.format.block_elements() as u64;
        if !self.columns.is_multiple_of(block_elements) {
            return Err(problem(format!(
                "its rows of {} elements are not whole blocks of {block_elements}",
                self.columns
            )));
        }
        let span = (self.columns / block_elements)
            .checked_mul(self.format.block_bytes() as u64)
            .and_then(|row_bytes| row_bytes.checked_mul(self.rows))
            .and_then(|length| {
                let start = data_at.checked_add(self.offset)?;
                Some(start..start.checked_add(length)?)
            })
            .ok_or_else(|| problem("its size overflows".to_owned()))?;
        if span.end > file_bytes {
            return Err(problem(format!(
                "it ends at byte {}, the file at byte {file_bytes}",
                span.end
            )));
        }
        // Inside the file, so every number fits usize.
        Ok(TensorInfo {
            format: self.format,
            columns: self.columns as usize,
            rows: self.rows as usize,
            bytes: span.start as usize..span.end as usize,
        })
    }
}

fn problem(tensor: &str, problem: String) -> Error {
    Error::Tensor {
        tensor: tensor.to_owned(),
        problem,
    }
}

fn format_name(number: u32) -> String {
    let name = match number {
        6 => "Q5_0",
        7 => "Q5_1",
        9 => "Q8_1",
        10 => "Q2_K",
        11 => "Q3_K",
        12 => "Q4_K",
        13 => "Q5_K",
        14 => "Q6_K",
        15 => "Q8_K",
        30 => "BF16",
        _ => return format!("number {number}"),
    };
    name.to_owned()
}

#[cfg(test)]
mod tests;
