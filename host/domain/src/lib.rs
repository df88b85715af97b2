//! The nouns that every part of the host shares: no I/O, no clock.
