//! What reports read.
