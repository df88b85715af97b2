//! Masks, denies or labels personal data in requests and streamed responses.
