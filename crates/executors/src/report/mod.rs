//! ExecuteReport: administrative reports on this server, as CSV.
