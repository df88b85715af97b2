//! Writing one output from several threads, each thread its own elements.

#![expect(
    unsafe_code,
    reason = "matrix outputs interleave the rows of different threads, which slices cannot split"
)]

use std::marker::PhantomData;

/// A mutable slice that several threads write at places they alone own.
pub(crate) struct Scatter<'a> {
    start: *mut f32,
    length: usize,
    owner: PhantomData<&'a mut [f32]>,
}

// SAFETY: the pointer comes from an exclusive borrow that lives as long as `Scatter`, and `write` asks its
// callers never to touch one element from two threads.
unsafe impl Send for Scatter<'_> {}
// SAFETY: as above.
unsafe impl Sync for Scatter<'_> {}

impl<'a> Scatter<'a> {
    pub(crate) fn new(slice: &'a mut [f32]) -> Self {
        Self {
            start: slice.as_mut_ptr(),
            length: slice.len(),
            owner: PhantomData,
        }
    }

    /// Sets one element.
    ///
    /// # Safety
    /// No other thread writes element `at` while this `Scatter` lives.
    pub(crate) unsafe fn write(&self, at: usize, value: f32) {
        assert!(at < self.length, "a write outside the output");
        // SAFETY: in bounds by the assertion, exclusive by the caller's promise.
        unsafe { self.start.add(at).write(value) }
    }

    /// A part of the output as a slice.
    ///
    /// # Safety
    /// No other thread touches these elements, and no second slice of them is taken, while the slice lives.
    #[expect(
        clippy::mut_from_ref,
        reason = "exclusive by the caller's promise, like UnsafeCell"
    )]
    pub(crate) unsafe fn part(&self, at: usize, length: usize) -> &mut [f32] {
        assert!(
            at <= self.length && length <= self.length - at,
            "a part outside the output"
        );
        // SAFETY: in bounds by the assertion, exclusive by the caller's promise.
        unsafe { std::slice::from_raw_parts_mut(self.start.add(at), length) }
    }
}
