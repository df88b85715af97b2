//! Policy bundles: format, validation, digests, conditions, prices (pure).
