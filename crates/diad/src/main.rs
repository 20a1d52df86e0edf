//! The program `diad`. Everything it does is in the library.

use std::env;
use std::io::Write;
use std::panic;
use std::process::ExitCode;

use diad::chain::chain;
use diad::cli::Cli;
use diad::exit::Exit;
use diad::{command, logging};

/// What is logged unless DIAD_LOG says otherwise. The runtime library is chatty, and the demonstration's broker reports
/// every connection.
const DEFAULT_LOG_FILTER: &str = "info,ort=warn,rumqttd=off";

fn main() -> ExitCode {
    let cli = match Cli::read() {
        Ok(cli) => cli,
        Err(error) => {
            // A reader that has hung up needs neither help nor error.
            let _ = error.print();
            return if error.use_stderr() { Exit::Usage } else { Exit::Done }.into();
        }
    };
    let filter =
        env::var("DIAD_LOG").or_else(|_| env::var("RUST_LOG")).unwrap_or_else(|_| DEFAULT_LOG_FILTER.to_owned());
    let log = match logging::start(&filter) {
        Ok(log) => log,
        Err(error) => return fail(&chain(&error), Exit::Usage),
    };
    let variables: Vec<_> = env::vars_os().collect();
    let work = || command::run(&cli.command, &variables).map_err(|error| (chain(&error), error.exit()));
    let ended = panic::catch_unwind(work);
    // What was logged stands before the last word.
    drop(log);
    match ended {
        Ok(Ok(())) => Exit::Done.into(),
        Ok(Err((message, exit))) => fail(&message, exit),
        // The panic has said what and where.
        Err(_) => fail("this is a bug", Exit::Bug),
    }
}

fn fail(message: &str, exit: Exit) -> ExitCode {
    // Where standard error is closed, the exit code must do.
    let _ = writeln!(std::io::stderr(), "diad: {message}");
    exit.into()
}
