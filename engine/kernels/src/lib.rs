//! CPU kernels with run-time dispatch; the only unsafe code of the engine.
