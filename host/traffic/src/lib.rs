//! Pure: retries, breakers and limits; takes the time, returns actions.
