//! From a plugin crate to a component: cargo build, then wit-component.
