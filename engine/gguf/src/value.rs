//! Metadata values. Integers of every width become one signed or unsigned 64-bit value: no reader of a model
//! file cares whether a block count was written as u16 or u32.

use crate::Error;
use crate::limits::ARRAY_ELEMENTS_MAX;
use crate::reader::Reader;

/// One metadata value.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// u8, u16, u32, u64.
    Unsigned(u64),
    /// i8, i16, i32, i64.
    Signed(i64),
    /// f32, f64.
    Float(f64),
    /// bool.
    Bool(bool),
    /// A UTF-8 string.
    Text(String),
    /// An array; arrays of arrays are refused.
    Array(Array),
}

/// An array of one element type.
#[derive(Clone, Debug, PartialEq)]
pub enum Array {
    /// Unsigned integers.
    Unsigned(Vec<u64>),
    /// Signed integers.
    Signed(Vec<i64>),
    /// Floats.
    Float(Vec<f64>),
    /// Booleans.
    Bool(Vec<bool>),
    /// Strings.
    Text(Vec<String>),
}

const KIND_ARRAY: u32 = 9;

pub(crate) fn read(reader: &mut Reader<'_>, key: &str) -> Result<Value, Error> {
    let kind = reader.u32("a metadata value type")?;
    if kind == KIND_ARRAY {
        return read_array(reader, key).map(Value::Array);
    }
    read_scalar(reader, key, kind)
}

fn read_scalar(reader: &mut Reader<'_>, key: &str, kind: u32) -> Result<Value, Error> {
    const WHAT: &str = "a metadata value";
    Ok(match kind {
        0 => Value::Unsigned(u8::from_le_bytes(reader.fixed(WHAT)?).into()),
        1 => Value::Signed(i8::from_le_bytes(reader.fixed(WHAT)?).into()),
        2 => Value::Unsigned(u16::from_le_bytes(reader.fixed(WHAT)?).into()),
        3 => Value::Signed(i16::from_le_bytes(reader.fixed(WHAT)?).into()),
        4 => Value::Unsigned(reader.u32(WHAT)?.into()),
        5 => Value::Signed(i32::from_le_bytes(reader.fixed(WHAT)?).into()),
        6 => Value::Float(f32::from_le_bytes(reader.fixed(WHAT)?).into()),
        7 => Value::Bool(u8::from_le_bytes(reader.fixed(WHAT)?) != 0),
        8 => {
            let limit = reader.left();
            Value::Text(reader.string("a metadata string", limit)?.to_owned())
        }
        10 => Value::Unsigned(reader.u64(WHAT)?),
        11 => Value::Signed(i64::from_le_bytes(reader.fixed(WHAT)?)),
        12 => Value::Float(f64::from_le_bytes(reader.fixed(WHAT)?)),
        kind => {
            return Err(Error::ValueType {
                key: key.to_owned(),
                kind,
            });
        }
    })
}

/// Bytes an element takes in the file at least; what bounds the count before anything is allocated.
fn element_bytes_min(kind: u32) -> Option<u64> {
    match kind {
        0 | 1 | 7 => Some(1),
        2 | 3 => Some(2),
        4..=6 => Some(4),
        8 | 10..=12 => Some(8),
        _ => None,
    }
}

fn read_array(reader: &mut Reader<'_>, key: &str) -> Result<Array, Error> {
    let kind = reader.u32("an array's element type")?;
    let count = reader.count("an array's length", ARRAY_ELEMENTS_MAX)?;
    let Some(bytes_min) = element_bytes_min(kind) else {
        return Err(Error::ValueType {
            key: key.to_owned(),
            kind,
        });
    };
    let (at, left) = (reader.at(), reader.left());
    if count.saturating_mul(bytes_min) > left {
        return Err(Error::Truncated {
            at,
            what: "a metadata array",
            needed: count.saturating_mul(bytes_min),
            left,
        });
    }
    // What the elements will take here: 8 bytes for numbers, a `String` for text.
    reader.hold(count * if kind == 8 { 24 } else { 8 })?;
    let mut array = match kind {
        0 | 2 | 4 | 10 => Array::Unsigned(Vec::with_capacity(count as usize)),
        1 | 3 | 5 | 11 => Array::Signed(Vec::with_capacity(count as usize)),
        6 | 12 => Array::Float(Vec::with_capacity(count as usize)),
        7 => Array::Bool(Vec::with_capacity(count as usize)),
        _ => Array::Text(Vec::with_capacity(count as usize)),
    };
    for _ in 0..count {
        match (&mut array, read_scalar(reader, key, kind)?) {
            (Array::Unsigned(list), Value::Unsigned(element)) => list.push(element),
            (Array::Signed(list), Value::Signed(element)) => list.push(element),
            (Array::Float(list), Value::Float(element)) => list.push(element),
            (Array::Bool(list), Value::Bool(element)) => list.push(element),
            (Array::Text(list), Value::Text(element)) => list.push(element),
            // One kind number yields one kind of value, so this cannot be reached; an error costs nothing.
            _ => {
                return Err(Error::ValueType {
                    key: key.to_owned(),
                    kind,
                });
            }
        }
    }
    Ok(array)
}
