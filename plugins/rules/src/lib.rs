//! CEL conditions that allow, deny, label or set parameters.
