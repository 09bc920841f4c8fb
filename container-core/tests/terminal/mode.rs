//! Raw mode is entered whole and left on every way out.

use std::os::fd::AsFd;

use container_core::ErrorKind;
use container_core::terminal::RawMode;
use nix::sys::termios::{InputFlags, LocalFlags, OutputFlags, tcgetattr};

use super::pair;

/// Every flag and control character.
fn settings(of: impl AsFd) -> String {
    let mut termios = tcgetattr(of).unwrap();
    // Set by the kernel while input waits, by nobody else.
    termios.local_flags.remove(LocalFlags::PENDIN);
    format!("{termios:?}")
}

#[test]
fn raw_mode_is_entered_and_restored() {
    let (_master, slave) = pair();
    let before = settings(&slave);
    let raw = RawMode::enter(&slave).unwrap();
    let termios = tcgetattr(&slave).unwrap();
    let off = LocalFlags::ECHO | LocalFlags::ICANON | LocalFlags::ISIG | LocalFlags::IEXTEN;
    assert!(!termios.local_flags.intersects(off));
    assert!(!termios.output_flags.contains(OutputFlags::OPOST));
    assert!(!termios.input_flags.intersects(InputFlags::ICRNL | InputFlags::IXON));
    raw.restore().unwrap();
    assert_eq!(settings(&slave), before);
    drop(RawMode::enter(&slave).unwrap());
    assert_eq!(settings(&slave), before);
}

#[test]
fn a_panic_and_an_early_return_restore_too() {
    let (_master, slave) = pair();
    let before = settings(&slave);
    let result = std::panic::catch_unwind(|| {
        let _raw = RawMode::enter(&slave).unwrap();
        assert_ne!(settings(&slave), before);
        std::panic::resume_unwind(Box::new("on purpose"));
    });
    assert!(result.is_err());
    assert_eq!(settings(&slave), before);
    let fails = || -> Result<(), container_core::Error> {
        let _raw = RawMode::enter(&slave)?;
        container_core::terminal::window_size(std::fs::File::open("/dev/null").unwrap())?;
        Ok(())
    };
    assert!(fails().is_err());
    assert_eq!(settings(&slave), before);
}

#[test]
fn it_holds_the_terminal_by_itself_and_survives_its_end() {
    let (master, slave) = pair();
    let raw = RawMode::enter(&slave).unwrap();
    drop((master, slave));
    // Hung up: there is nothing left to restore, which is told, not fatal.
    assert!(raw.restore().is_err());
}

#[test]
fn what_is_no_terminal_is_refused() {
    let null = std::fs::File::open("/dev/null").unwrap();
    let error = RawMode::enter(&null).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
}
