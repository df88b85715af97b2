//! Routes by ordered conditions, with weights and fallbacks.
