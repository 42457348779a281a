//! The portal over real HTTP, on a real SQLite store.

mod accounts;
mod bad_input;
mod cors;
mod items;
mod native;
mod oauth;
mod openapi;
mod pages;
mod reference;
mod rights;
mod rights_table;
mod runs;
mod schedules;
mod server;
mod sign_in;
mod tasks;
mod wrong_calls;
