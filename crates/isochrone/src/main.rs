//! The binary: arguments, configuration, wiring, nothing else.

mod args;
mod commands;
mod config;
mod crashes;
mod demo;
mod logging;
mod output;
mod serve;
mod wiring;

use std::process::ExitCode;

use clap::Parser;
use isochrone_store::Role;
use rustix::fs::Mode;

use crate::args::{Args, Command};

fn main() -> ExitCode {
    crashes::report_panics();
    args::secrets::hide();
    let args = Args::parse();
    keep_files_private();
    crashes::keep_memory_private();
    isochrone_arcgis::choose_cryptography();
    let done = match args.command {
        // Pure and often called in a pipe: no configuration, no runtime.
        Command::Cron { command } => commands::cron::run(&command, args.output),
        command => with_runtime(command, &args.global, args.output),
    };
    match done {
        Ok(code) => code,
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("isochrone: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Whatever this process makes (the store and its log, keys, artifacts, uploads) is its user's alone, whoever started
/// it with whichever mask.
fn keep_files_private() {
    rustix::process::umask(Mode::RWXG | Mode::RWXO);
}

fn with_runtime(
    command: Command,
    global: &args::Global,
    output: args::OutputFormat,
) -> anyhow::Result<ExitCode> {
    let loaded = config::load(global, &command)?;
    match command {
        Command::Config { command } => return commands::config::run(&command, &loaded, output),
        Command::Healthcheck { ready } => return commands::healthcheck::run(&loaded.config, ready),
        _ => {}
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let done = runtime.block_on(async {
        match command {
            Command::Up(up) => {
                serve::run(loaded, &[Role::Portal, Role::Scheduler, Role::Worker], up.demo).await
            }
            Command::Scheduler(scheduler) if scheduler.no_portal => {
                serve::run(loaded, &[Role::Scheduler], false).await
            }
            Command::Scheduler(_) => serve::run(loaded, &[Role::Portal, Role::Scheduler], false).await,
            Command::Worker(_) => serve::run(loaded, &[Role::Worker], false).await,
            Command::Portal(_) => serve::run(loaded, &[Role::Portal], false).await,
            Command::Fleet => commands::fleet::run(&loaded, output).await,
            Command::Task { command } => commands::task::run(&loaded, command, output).await,
            Command::Run { command } => commands::run::run(&loaded, command, output).await,
            Command::User { command } => commands::user::run(&loaded, command, output).await,
            Command::Item { command } => commands::item::run(&loaded, command, output).await,
            Command::Audit { command } => commands::audit::run(&loaded, command, output).await,
            Command::Keys { command } => commands::keys::run(&loaded, command, output).await,
            Command::Export(export) => commands::export::run(&loaded, export).await,
            Command::Import(import) => commands::import::run(&loaded, import, output).await,
            Command::Sandbox(sandbox) => commands::sandbox::run(&loaded, &sandbox.write).await,
            Command::Doctor => commands::doctor::run(&loaded, output).await,
            Command::Cron { .. } | Command::Config { .. } | Command::Healthcheck { .. } => {
                unreachable!("answered above")
            }
        }
    });
    runtime.shutdown_timeout(std::time::Duration::from_secs(2));
    done
}

/// `isochrone run list | head` is no error.
fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error
        .chain()
        .filter_map(|cause| match cause.downcast_ref::<std::io::Error>() {
            Some(io) => Some(io.kind()),
            None => cause.downcast_ref::<serde_json::Error>()?.io_error_kind(),
        })
        .any(|kind| kind == std::io::ErrorKind::BrokenPipe)
}
