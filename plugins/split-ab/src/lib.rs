//! Splits traffic between variants by weight, sticky by conversation.
