//! The HTTP client side: connections, egress rules, provider auth, health.
