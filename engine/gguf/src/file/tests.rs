//! Well-formed files read back; every way of being malformed is a typed error, never a panic.

use std::io::Write as _;

use proptest::prelude::*;

use super::*;

/// Builds files byte by byte, so that a test can lie in any field.
#[derive(Clone, Default)]
struct Draft {
    head: Vec<u8>,
    data: Vec<u8>,
}

impl Draft {
    fn new(tensors: u64, entries: u64) -> Self {
        Self::default()
            .raw(b"GGUF")
            .raw(&3u32.to_le_bytes())
            .raw(&tensors.to_le_bytes())
            .raw(&entries.to_le_bytes())
    }

    fn raw(mut self, bytes: &[u8]) -> Self {
        self.head.extend_from_slice(bytes);
        self
    }

    fn string(self, text: &str) -> Self {
        self.raw(&(text.len() as u64).to_le_bytes())
            .raw(text.as_bytes())
    }

    fn u32_entry(self, key: &str, value: u32) -> Self {
        self.string(key)
            .raw(&4u32.to_le_bytes())
            .raw(&value.to_le_bytes())
    }

    fn text_entry(self, key: &str, value: &str) -> Self {
        self.string(key).raw(&8u32.to_le_bytes()).string(value)
    }

    fn tensor(self, name: &str, shape: &[u64], format: u32, offset: u64) -> Self {
        let mut draft = self.string(name).raw(&(shape.len() as u32).to_le_bytes());
        for extent in shape {
            draft = draft.raw(&extent.to_le_bytes());
        }
        draft.raw(&format.to_le_bytes()).raw(&offset.to_le_bytes())
    }

    fn data(mut self, bytes: &[u8]) -> Self {
        self.data.extend_from_slice(bytes);
        self
    }

    fn finish(self) -> Vec<u8> {
        let mut file = self.head;
        file.resize(file.len().next_multiple_of(32), 0);
        file.extend(self.data);
        file
    }
}

fn good() -> Draft {
    Draft::new(2, 3)
        .text_entry("general.architecture", "llama")
        .u32_entry("llama.block_count", 30)
        .string("tokenizer.ggml.tokens")
        .raw(&9u32.to_le_bytes())
        .raw(&8u32.to_le_bytes())
        .raw(&2u64.to_le_bytes())
        .string("a")
        .string("é")
        .tensor("norm", &[2], 0, 0)
        .tensor("weight", &[32, 3], 8, 32)
        .data(&[1.0f32.to_le_bytes(), 2.0f32.to_le_bytes()].concat())
        .data(&[0; 24])
        .data(&[7; 34 * 3])
}

fn check_refused(file: Vec<u8>, expected: &str) {
    let refused = Gguf::from_bytes(file).expect_err(expected);
    let shown = refused.to_string();
    assert!(
        shown.contains(expected),
        "{shown:?} does not say {expected:?}"
    );
}

#[test]
fn a_good_file_reads_back() {
    let file = Gguf::from_bytes(good().finish()).expect("a good file");
    assert_eq!(file.text("general.architecture").expect("text"), "llama");
    assert_eq!(file.u32("llama.block_count").expect("u32"), 30);
    assert_eq!(
        file.texts("tokenizer.ggml.tokens").expect("texts"),
        ["a", "é"]
    );
    assert_eq!(file.tensor("norm").expect("norm").dequantise(), [1.0, 2.0]);
    let weight = file.tensor("weight").expect("weight");
    assert_eq!(
        (weight.rows, weight.columns, weight.bytes),
        (3, 32, &[7u8; 102][..])
    );
    assert!(matches!(file.tensor("other"), Err(Error::Missing { .. })));
    assert!(matches!(
        file.u32("general.architecture"),
        Err(Error::WrongType { .. })
    ));
}

#[test]
fn a_mapped_file_reads_like_one_in_memory() {
    let mut on_disk = tempfile::NamedTempFile::new().expect("a temporary file");
    on_disk.write_all(&good().finish()).expect("written");
    let file = Gguf::open(on_disk.path()).expect("a good file");
    assert_eq!(file.tensor("norm").expect("norm").dequantise(), [1.0, 2.0]);
    assert!(matches!(
        Gguf::open(Path::new("no/such.gguf")),
        Err(Error::Open { .. })
    ));
}

#[test]
fn every_truncation_is_refused() {
    let whole = good().finish();
    for length in 0..whole.len() {
        assert!(
            Gguf::from_bytes(whole[..length].to_vec()).is_err(),
            "{length} bytes were accepted"
        );
    }
}

#[test]
fn lies_are_refused_with_the_reason() {
    let huge = u64::MAX.to_le_bytes();
    check_refused(b"GGML".to_vec(), "not a GGUF file");
    check_refused(Vec::new(), "not a GGUF file");
    check_refused([&b"GGUF"[..], &9u32.to_le_bytes()].concat(), "version 9");
    check_refused(Draft::new(u64::MAX, 0).finish(), "tensor count");
    check_refused(Draft::new(0, u64::MAX).finish(), "metadata count");
    check_refused(Draft::new(0, 1).raw(&huge).finish(), "a metadata key");
    check_refused(
        Draft::new(0, 1)
            .string("k")
            .raw(&8u32.to_le_bytes())
            .raw(&huge)
            .finish(),
        "a metadata string",
    );
    let array = |kind: u32, count: u64| {
        Draft::new(0, 1)
            .string("k")
            .raw(&9u32.to_le_bytes())
            .raw(&kind.to_le_bytes())
            .raw(&count.to_le_bytes())
            .finish()
    };
    check_refused(array(8, u64::MAX), "array's length");
    check_refused(array(8, 4_000_000), "truncated");
    check_refused(array(9, 1), "type 9");
    check_refused(array(77, 1), "type 77");
    check_refused(
        Draft::new(0, 2)
            .u32_entry("k", 1)
            .u32_entry("k", 2)
            .finish(),
        "metadata key \"k\" appears twice",
    );
    check_refused(
        Draft::new(0, 1).u32_entry("general.alignment", 24).finish(),
        "not a power of two",
    );
    let tensor = |shape: &[u64], format, offset| {
        Draft::new(1, 0)
            .tensor("w", shape, format, offset)
            .data(&[0; 256])
            .finish()
    };
    check_refused(tensor(&[], 0, 0), "0 dimensions");
    check_refused(tensor(&[1; 5], 0, 0), "5 dimensions");
    check_refused(tensor(&[0], 0, 0), "no elements");
    check_refused(tensor(&[33], 8, 0), "not whole blocks");
    check_refused(tensor(&[32, u64::MAX, 2], 8, 0), "shape overflows");
    check_refused(tensor(&[u64::MAX - 31], 0, 0), "size overflows");
    check_refused(tensor(&[32], 0, u64::MAX - 8), "size overflows");
    check_refused(tensor(&[1024], 0, 0), "the file at byte");
    check_refused(tensor(&[32], 12, 0), "Q4_K");
    check_refused(tensor(&[32], 999, 0), "number 999");
}

proptest! {
    #[test]
    fn no_bytes_make_the_parser_panic(bytes in proptest::collection::vec(any::<u8>(), 0..512)) {
        let _refused_or_not = Gguf::from_bytes([&b"GGUF\x03\0\0\0"[..], &bytes].concat());
    }

    #[test]
    fn no_flipped_byte_makes_the_parser_panic(at in 0usize..1024, byte in any::<u8>()) {
        let mut file = good().finish();
        let at = at % file.len();
        file[at] = byte;
        if let Ok(file) = Gguf::from_bytes(file) {
            for (name, _) in file.tensors() {
                let values = file.tensor(name).expect("a listed tensor").dequantise();
                assert!(!values.is_empty());
            }
        }
    }
}
