//! The same filters compiled by libseccomp, runc and crun: every decision is
//! compared, by running both programs on the same calls.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by it")]
#![allow(clippy::print_stdout, reason = "what was skipped is said")]
#![cfg(target_arch = "x86_64")]

mod bpf;
mod library;
mod podman;
mod runtimes;

use container_core::seccomp::{Action, Architecture, Program};

/// Numbers that any of the three architectures has, and bounds around them.
fn numbers(architecture: Architecture) -> Vec<u32> {
    let base = if architecture == Architecture::X32 { 0x4000_0000 } else { 0 };
    // What both know: libseccomp of Linux 5.19 and ours.
    let unknown_there = [base + 335, base + 336];
    (base..base + 449).chain([base + 3000]).filter(|n| !unknown_there.contains(n)).collect()
}

const ARCHITECTURES: [(Architecture, u32); 3] = [
    (Architecture::X86_64, 0xc000_003e),
    (Architecture::X86, 0x4000_0003),
    (Architecture::X32, 0xc000_003e),
];

/// Compares the program with another's instructions on every number and these
/// argument values; returns the differences.
fn differences(own: &Program, other: &[bpf::Instruction], words: &[u64]) -> Vec<String> {
    let mut found = Vec::new();
    let mut compare = |architecture, number, arguments: [u64; 6]| {
        let audit = ARCHITECTURES.iter().find(|(a, _)| *a == architecture).unwrap().1;
        let theirs = bpf::run(other, number, audit, arguments);
        let ours = own.decide(architecture, number, arguments).code();
        if ours != theirs && found.len() < 10 {
            found.push(format!(
                "{architecture} {number} {arguments:x?}: {:?} here, {:?} there",
                Action::from_code(ours),
                Action::from_code(theirs)
            ));
        }
    };
    for (architecture, _) in ARCHITECTURES {
        for number in numbers(architecture) {
            compare(architecture, number, [0; 6]);
            for word in words {
                compare(architecture, number, [*word; 6]);
                for at in 0..4 {
                    let mut arguments = [0; 6];
                    arguments[at] = *word;
                    compare(architecture, number, arguments);
                    arguments[(at + 1) % 4] = *word ^ 1;
                    compare(architecture, number, arguments);
                }
            }
        }
    }
    found
}
