//! A waPC host.
