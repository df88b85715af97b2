//! Takes one export out of a component. componentize-py leaves the interface that it initialised the interpreter
//! through, and nobody may call that again.
//!
//! An export also defines an index, and later ones count on it: so an empty instance takes its place.

use wasmparser::{BinaryReader, ComponentExportSectionReader};

use crate::BuildError;

/// Preamble of a component: magic, version, layer.
const PREAMBLE: &[u8] = b"\0asm\x0d\0\x01\0";
const SECTION_INSTANCES: u8 = 5;
const SECTION_EXPORTS: u8 = 11;
/// One instance, from exports, of which there are none.
const EMPTY_INSTANCE: &[u8] = &[SECTION_INSTANCES, 3, 1, 1, 0];

/// The component without the instance that it exports under this name; as it is where it exports none.
pub(crate) fn instance(component: &[u8], name: &str) -> Result<Vec<u8>, BuildError> {
    let malformed = |detail: &str| BuildError::Componentize {
        detail: detail.to_owned(),
    };
    let mut rest = component
        .strip_prefix(PREAMBLE)
        .ok_or_else(|| malformed("not a component"))?;
    let mut out = Vec::with_capacity(component.len() + 16);
    out.extend_from_slice(PREAMBLE);
    while let Some((&id, after)) = rest.split_first() {
        let (content, next) =
            sized(after).ok_or_else(|| malformed("a section is longer than the component"))?;
        if id == SECTION_EXPORTS {
            exports(content, name, &mut out).map_err(|error| malformed(&error.to_string()))?;
        } else {
            section(id, content, &mut out);
        }
        rest = next;
    }
    Ok(out)
}

/// An export section, split where the instance stands.
fn exports(content: &[u8], name: &str, out: &mut Vec<u8>) -> wasmparser::Result<()> {
    let items = ComponentExportSectionReader::new(BinaryReader::new(content, 0))?;
    let mut starts = Vec::new();
    let mut found = None;
    for item in items.into_iter_with_offsets() {
        let (offset, export) = item?;
        if export.name.name == name {
            found = Some(starts.len());
        }
        starts.push(usize::try_from(offset).unwrap_or(content.len()));
    }
    starts.push(content.len());
    let Some(found) = found else {
        section(SECTION_EXPORTS, content, out);
        return Ok(());
    };
    let part = |first: usize, last: usize, out: &mut Vec<u8>| {
        if first < last {
            let mut body = leb(last - first);
            body.extend_from_slice(&content[starts[first]..starts[last]]);
            section(SECTION_EXPORTS, &body, out);
        }
    };
    part(0, found, out);
    out.extend_from_slice(EMPTY_INSTANCE);
    part(found + 1, starts.len() - 1, out);
    Ok(())
}

fn section(id: u8, content: &[u8], out: &mut Vec<u8>) {
    out.push(id);
    out.extend_from_slice(&leb(content.len()));
    out.extend_from_slice(content);
}

/// A length and that many bytes, then the rest.
fn sized(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut length = 0_usize;
    for (index, byte) in bytes.iter().take(5).enumerate() {
        length |= usize::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            return bytes[index + 1..].split_at_checked(length);
        }
    }
    None
}

fn leb(mut number: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let low = (number & 0x7f) as u8;
        number >>= 7;
        if number == 0 {
            bytes.push(low);
            return bytes;
        }
        bytes.push(low | 0x80);
    }
}

#[cfg(test)]
mod tests {
    use super::instance;

    /// `(component (instance) (export "a" (instance 0)) (export "b" (instance 0)) (export "c" (instance 2)))`.
    const COMPONENT: &[u8] = &[
        0, b'a', b's', b'm', 13, 0, 1, 0, // preamble
        5, 3, 1, 1, 0, // an empty instance
        11, 19, 3, // three exports
        0, 1, b'a', 5, 0, 0, //
        0, 1, b'b', 5, 0, 0, //
        0, 1, b'c', 5, 2, 0,
    ];

    #[test]
    fn one_export_goes_and_the_others_keep_their_indices() {
        let out = instance(COMPONENT, "b").expect("a component");
        assert_eq!(
            &out[13..],
            [
                11, 7, 1, 0, 1, b'a', 5, 0, 0, // before
                5, 3, 1, 1, 0, // in its place
                11, 7, 1, 0, 1, b'c', 5, 2, 0, // after
            ]
        );
    }

    #[test]
    fn what_is_not_exported_changes_nothing() {
        assert_eq!(instance(COMPONENT, "d").expect("a component"), COMPONENT);
    }

    #[test]
    fn what_is_cut_off_is_refused() {
        for end in [0, 4, 9, 12, 15, COMPONENT.len() - 1] {
            assert!(instance(&COMPONENT[..end], "b").is_err(), "{end}");
        }
    }
}
