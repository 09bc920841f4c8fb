//! Side-by-side measurements: `cargo run --release -p container-benches --bin versus -- spawn`.

// What a program is for.
#![allow(clippy::print_stdout, clippy::print_stderr)]

use std::env;
use std::process::ExitCode;

use container_benches::{Result, command, worker};

fn main() -> ExitCode {
    let mut words = env::args().skip(1);
    let name = words.next().unwrap_or_default();
    let result: Result<String> = match name.as_str() {
        worker::WORD => worker::serve(&words.collect::<Vec<_>>()).map(|()| String::new()),
        "" | "-h" | "--help" | "help" => Ok(command::help()),
        _ => command::run(&name, words),
    };
    match result {
        Ok(text) => {
            print!("{text}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("versus: {error}");
            ExitCode::FAILURE
        }
    }
}
