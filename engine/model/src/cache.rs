//! What sequences remember: keys and values per layer and position, f16, one contiguous store per sequence.
//!
//! Memory follows what is used: a store grows with its sequence and is freed with it. (The paged pool with shared
//! prefixes replaces the inside of this module; the batch's shape stays.)

use half::f16;
use half::slice::HalfFloatSliceExt as _;
use pointsman_kernels::Past;

use crate::Config;

/// Names a sequence in use. Given out by [`KvCache::open`], ended by [`KvCache::close`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Slot(usize);

/// Positions a store grows by.
const GROWTH_TOKENS: usize = 256;

/// Keys and values of all sequences.
#[derive(Debug)]
pub struct KvCache {
    row: usize,
    layers: usize,
    context_tokens: usize,
    slots: Vec<Option<Store>>,
}

#[derive(Debug)]
struct Store {
    tokens: usize,
    layers: Vec<Layer>,
}

#[derive(Clone, Debug, Default)]
struct Layer {
    keys: Vec<f16>,
    values: Vec<f16>,
}

impl KvCache {
    /// Room for `sequences_max` sequences of up to `context_tokens` tokens.
    #[must_use]
    pub fn new(config: &Config, sequences_max: usize, context_tokens: usize) -> Self {
        Self {
            row: config.kv_elements(),
            layers: config.layers,
            context_tokens,
            slots: (0..sequences_max).map(|_| None).collect(),
        }
    }

    /// Starts a sequence, if there is room.
    pub fn open(&mut self) -> Option<Slot> {
        let free = self.slots.iter().position(Option::is_none)?;
        self.slots[free] = Some(Store {
            tokens: 0,
            layers: vec![Layer::default(); self.layers],
        });
        Some(Slot(free))
    }

    /// Ends a sequence and frees its memory at once.
    pub fn close(&mut self, slot: Slot) {
        if let Some(store) = self.slots.get_mut(slot.0) {
            *store = None;
        }
    }

    /// Tokens a sequence remembers; none if it is not in use.
    #[must_use]
    pub fn tokens(&self, slot: Slot) -> Option<usize> {
        self.slots.get(slot.0)?.as_ref().map(|store| store.tokens)
    }

    /// Tokens a sequence may grow to.
    #[must_use]
    pub fn context_tokens(&self) -> usize {
        self.context_tokens
    }

    /// Sequences in use.
    #[must_use]
    pub fn in_use(&self) -> usize {
        self.slots.iter().flatten().count()
    }

    /// Bytes one token takes.
    #[must_use]
    pub fn token_bytes(&self) -> usize {
        2 * self.layers * self.row * size_of::<f16>()
    }

    /// Writes the key and value of `position` in one layer. Invariant: the step was checked, so the slot is in use
    /// and the position is at most one beyond what the layer holds.
    pub(crate) fn put(
        &mut self,
        slot: Slot,
        layer: usize,
        position: usize,
        key: &[f32],
        value: &[f32],
    ) {
        let Some(store) = &mut self.slots[slot.0] else {
            return;
        };
        store.tokens = store.tokens.max(position + 1);
        let layer = &mut store.layers[layer];
        for (rows, row) in [(&mut layer.keys, key), (&mut layer.values, value)] {
            let end = (position + 1) * self.row;
            if rows.len() < end {
                if rows.capacity() < end {
                    rows.reserve_exact(GROWTH_TOKENS * self.row);
                }
                rows.resize(end, f16::ZERO);
            }
            rows[end - self.row..end].convert_from_f32_slice(row);
        }
    }

    /// What the token at `position` may look at. The same invariant.
    pub(crate) fn past(&self, slot: Slot, layer: usize, position: usize) -> Past<'_> {
        let (keys, values) = self.slots[slot.0]
            .as_ref()
            .map_or((&[][..], &[][..]), |store| {
                let layer = &store.layers[layer];
                (&layer.keys[..], &layer.values[..])
            });
        Past {
            keys,
            values,
            positions: position + 1,
        }
    }
}
