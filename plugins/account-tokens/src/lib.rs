//! Prices the meters of each attempt from the catalogue.
