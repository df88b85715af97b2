//! Releases an answer piece by piece, as its guards allow.
