//! Pure: dialect codecs, SSE framing, stream release and error bodies.
