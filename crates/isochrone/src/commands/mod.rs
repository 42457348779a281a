//! The commands, a file each.

pub(crate) mod audit;
pub(crate) mod config;
pub(crate) mod cron;
pub(crate) mod doctor;
pub(crate) mod explain;
pub(crate) mod export;
pub(crate) mod fleet;
pub(crate) mod healthcheck;
pub(crate) mod import;
pub(crate) mod item;
pub(crate) mod keys;
pub(crate) mod run;
pub(crate) mod sandbox;
pub(crate) mod task;
pub(crate) mod user;
