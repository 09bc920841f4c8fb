//! The story on the terminal: a line for each step with its time, and what was made.

use std::env;
use std::fmt::Display;
use std::io::{IsTerminal, Write, stderr, stdout};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use crate::{Result, interrupt};

/// How many steps the whole story has, for the progress bar.
const STEPS: u64 = 17;
/// How wide the story is, and where its text begins, in columns.
const WIDTH: usize = 100;
const MARGIN: usize = 21;
/// A step that takes longer shows the bar.
const LONG: Duration = Duration::from_secs(1);

/// Prints the story.
#[derive(Debug)]
pub(crate) struct Story {
    start: Instant,
    done: u64,
    colours: bool,
}

/// What a step has to tell.
#[derive(Debug, Default)]
pub(crate) struct Told(Vec<String>);

impl Told {
    /// Adds a line: the first stands beside the step's name, the others below.
    pub(crate) fn say(&mut self, line: impl Display) {
        self.0.push(line.to_string());
    }
}

impl Story {
    /// Starts the clock.
    pub(crate) fn begin() -> Self {
        let colours = stdout().is_terminal() && env::var_os("NO_COLOR").is_none();
        Self { start: Instant::now(), done: 0, colours }
    }

    /// Does a step, and prints its time, its name and what it told.
    pub(crate) fn step<T>(
        &mut self,
        name: &'static str,
        work: impl FnOnce(&mut Told) -> Result<T>,
    ) -> Result<T> {
        interrupt::check()?;
        let mut told = Told::default();
        let bar = Bar::show_later(self.done, name);
        let start = Instant::now();
        let result = work(&mut told);
        let time = start.elapsed();
        drop(bar);
        self.done += 1;
        let (mark, first) = match &result {
            Ok(_) => ("1", told.0.first().map_or("", String::as_str)),
            Err(_) => ("1;31", "FAILED"),
        };
        let time = self.paint("2", &format!("{:>8}", duration(time)));
        let head = format!("{time}  {}", self.paint(mark, &format!("{name:<10}")));
        let below = told.0.iter().skip(usize::from(result.is_ok())).map(String::as_str);
        let mut lines = std::iter::once(first).chain(below).flat_map(wrapped);
        self.line(&format!("{head} {}", lines.next().unwrap_or_default()));
        lines.for_each(|line| self.line(&format!("{:MARGIN$}{line}", "")));
        result.map_err(|error| format!("{name}: {error}").into())
    }

    /// A line as it is. Nobody reads on when the pipe is closed, so that is no failure.
    pub(crate) fn line(&self, line: &str) {
        let _ = writeln!(stdout(), "{}", line.trim_end());
    }

    /// A heading.
    pub(crate) fn heading(&self, line: &str) {
        self.line(&self.paint("1", line));
    }

    /// The time since the beginning.
    pub(crate) fn total(&self) -> String {
        duration(self.start.elapsed())
    }

    fn paint(&self, code: &str, text: &str) -> String {
        if self.colours { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

/// A time for people.
pub(crate) fn duration(time: Duration) -> String {
    match time.as_secs_f64() {
        seconds if seconds < 1.0 => format!("{:.1} ms", seconds * 1e3),
        seconds => format!("{seconds:.2} s "),
    }
}

/// Breaks a long line between words.
fn wrapped(text: &str) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let full = lines.last().is_some_and(|line| line.len() + word.len() >= WIDTH - MARGIN);
        match lines.last_mut() {
            Some(line) if !full || line.is_empty() => {
                if !line.is_empty() {
                    line.push(' ');
                }
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

/// A progress bar on standard error that appears when a step takes long; only on a terminal.
struct Bar(Option<(Sender<()>, JoinHandle<()>)>);

impl Bar {
    fn show_later(done: u64, name: &'static str) -> Self {
        if !stderr().is_terminal() {
            return Self(None);
        }
        let (stop, stopped) = channel();
        let show = move || {
            if stopped.recv_timeout(LONG) == Err(RecvTimeoutError::Timeout) {
                let bar = ProgressBar::new(STEPS).with_position(done).with_message(name);
                let style = "{spinner} step {pos} of {len} [{bar:24}] {msg}, {elapsed} so far";
                if let Ok(style) = ProgressStyle::with_template(style) {
                    bar.set_style(style);
                }
                bar.enable_steady_tick(Duration::from_millis(100));
                let _ = stopped.recv();
                bar.finish_and_clear();
            }
        };
        let thread = thread::Builder::new().name("progress".into()).spawn(show);
        Self(thread.ok().map(|thread| (stop, thread)))
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        if let Some((stop, thread)) = self.0.take() {
            drop(stop);
            let _ = thread.join();
        }
    }
}
