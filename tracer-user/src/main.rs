//! The `tracer` command: parse, run, exit code.
//!
//! Whatever goes wrong is one line on standard error that begins with `tracer:`, never a backtrace.

use std::process::ExitCode;

use clap::Parser;
use tracer::cli::{self, Cli, Task};
use tracer::config::{Config, Variables};
use tracer::run::{self, Signals};
use tracer::{doctor, messages};

/// Wrong usage.
const USAGE: u8 = 2;

fn main() -> ExitCode {
    std::panic::set_hook(Box::new(|panic| {
        // Without the message's own line breaks: one line, whatever it is.
        let text = panic.to_string().replace('\n', " ");
        messages::line(&format!("tracer: a bug, please report it: {text}"));
        std::process::exit(1);
    }));
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) if error.use_stderr() => return failed(USAGE, &cli::usage_line(&error)),
        // --help and --version.
        Err(asked) => {
            return asked
                .print()
                .map_or(ExitCode::FAILURE, |()| ExitCode::SUCCESS);
        }
    };
    if let Some(Task::Doctor { json }) = cli.task {
        return doctor::run(json);
    }
    // Before there is a second thread.
    let signals = match Signals::block(!cli.command.is_empty()) {
        Ok(signals) => signals,
        Err(error) => return failed(1, &format!("cannot block signals: {error}")),
    };
    let config = match Config::new(cli, Variables::new(std::env::vars_os())) {
        Ok(config) => config,
        Err(usage) => return failed(USAGE, &usage),
    };
    messages::install(config.messages);
    match run::run(config, signals) {
        Ok(code) => ExitCode::from(code),
        Err(error) => failed(error.exit_code(), &error.to_string()),
    }
}

fn failed(code: u8, line: &str) -> ExitCode {
    messages::line(&format!("tracer: {line}"));
    ExitCode::from(code)
}
