use std::fmt;
use std::sync::{Arc, OnceLock};

use super::action::Action;
use super::architecture::Architecture;
use super::decide;
use super::filter::Filter;
use super::target::Target;
use crate::error::Result;

/// `struct sock_filter`: one instruction of classic BPF.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Instruction {
    pub(super) code: u16,
    pub(super) jump_true: u8,
    pub(super) jump_false: u8,
    pub(super) k: u32,
}

/// Operation codes of classic BPF (`linux/bpf_common.h`).
pub(super) mod code {
    /// Load the word at offset `k` of `struct seccomp_data`.
    pub(crate) const LOAD: u16 = 0x20;
    /// `A &= k`.
    pub(crate) const AND: u16 = 0x54;
    /// Jump by `k`.
    pub(crate) const JUMP: u16 = 0x05;
    /// Jump if `A == k`.
    pub(crate) const EQUAL: u16 = 0x15;
    /// Jump if `A > k`.
    pub(crate) const GREATER: u16 = 0x25;
    /// Jump if `A >= k`.
    pub(crate) const GREATER_EQUAL: u16 = 0x35;
    /// Return `k`.
    pub(crate) const RETURN: u16 = 0x06;
}

impl Instruction {
    /// The size of `struct sock_filter` in bytes.
    pub(super) const SIZE: usize = 8;

    fn to_bytes(self) -> [u8; Self::SIZE] {
        let [c0, c1] = self.code.to_ne_bytes();
        let [k0, k1, k2, k3] = self.k.to_ne_bytes();
        [c0, c1, self.jump_true, self.jump_false, k0, k1, k2, k3]
    }

    fn from_bytes(bytes: [u8; Self::SIZE]) -> Self {
        let [c0, c1, jump_true, jump_false, k0, k1, k2, k3] = bytes;
        Self {
            code: u16::from_ne_bytes([c0, c1]),
            jump_true,
            jump_false,
            k: u32::from_ne_bytes([k0, k1, k2, k3]),
        }
    }
}

/// A compiled filter: what `seccomp(SECCOMP_SET_MODE_FILTER)` takes.
///
/// Its `Display` lists the instructions. Cloning shares the bytes: compile once,
/// and give the program to as many processes as you like.
#[derive(Clone, PartialEq, Eq, Hash)]
#[must_use]
pub struct Program {
    bytes: Arc<[u8]>,
    details: Arc<Details>,
}

/// What is known of a program besides its instructions.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Details {
    pub(super) flags: u32,
    pub(super) notifies: bool,
    pub(super) ignored: Vec<String>,
    pub(super) passed_over: Vec<Architecture>,
}

impl Program {
    /// The kernel takes this many instructions (`BPF_MAXINSNS`).
    pub const MAX_INSTRUCTIONS: usize = 4096;

    /// [`Filter::container_default`] compiled, which happens once.
    ///
    /// # Errors
    ///
    /// [`Unsupported`](crate::ErrorKind::Unsupported) as [`Filter::compile`].
    pub fn container_default() -> Result<Self> {
        static DEFAULT: OnceLock<Program> = OnceLock::new();
        if let Some(program) = DEFAULT.get() {
            return Ok(program.clone());
        }
        let program = Filter::container_default().compile()?;
        Ok(DEFAULT.get_or_init(|| program).clone())
    }

    pub(super) fn new(instructions: &[Instruction], details: Details) -> Self {
        let bytes = instructions.iter().flat_map(|i| i.to_bytes()).collect();
        Self { bytes, details: Arc::new(details) }
    }

    /// The instructions as an array of `struct sock_filter` in the byte order
    /// of this machine, eight bytes each.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The number of instructions, for `struct sock_fprog`.
    #[must_use]
    #[allow(clippy::len_without_is_empty, reason = "a program is never empty")]
    pub fn len(&self) -> u16 {
        (self.bytes.len() / Instruction::SIZE) as u16
    }

    /// The flags for `seccomp(2)`, `SECCOMP_FILTER_FLAG_*`; without
    /// `NEW_LISTENER`, see [`needs_listener`](Self::needs_listener).
    #[must_use]
    pub fn flags(&self) -> u32 {
        self.details.flags
    }

    /// Whether an action is [`Action::Notify`], so that the filter has to be
    /// installed with `SECCOMP_FILTER_FLAG_NEW_LISTENER` and somebody has to
    /// listen.
    #[must_use]
    pub fn needs_listener(&self) -> bool {
        self.details.notifies
    }

    /// The names that none of the filter's architectures knows, where the
    /// filter [skips](Filter::skip_unknown) them.
    #[must_use]
    pub fn ignored(&self) -> &[String] {
        &self.details.ignored
    }

    /// The listed architectures whose calls no kernel of this build's
    /// architecture takes.
    #[must_use]
    pub fn passed_over(&self) -> &[Architecture] {
        &self.details.passed_over
    }

    /// What it answers to a system call: the program is run as the kernel runs
    /// it.
    ///
    /// ```
    /// use container_core::seccomp::{Action, Architecture, Program};
    ///
    /// let program = Program::container_default()?;
    /// let native = Architecture::native().expect("one that is known");
    /// let number = 100_000; // no kernel has it yet
    /// let answer = program.decide(native, number, [0; 6]);
    /// assert_eq!(answer, Action::Errno(libc::ENOSYS as u16));
    /// # Ok::<(), container_core::Error>(())
    /// ```
    #[must_use]
    pub fn decide(&self, architecture: Architecture, number: u32, arguments: [u64; 6]) -> Action {
        let arch = Target::of(architecture).map_or(0, |target| target.audit_arch);
        let call = decide::Call { number, arch, arguments };
        let native = Target::native().is_none_or(|target| target.little_endian);
        let (code, _) = decide::run(self, &call, native);
        Action::from_code(code).unwrap_or(Action::KillProcess)
    }

    /// Everything that it may answer to a native call, whatever the arguments.
    pub(crate) fn answers(&self, name: &str) -> Vec<Action> {
        decide::answers(self, name)
    }

    pub(super) fn instruction(&self, at: usize) -> Option<Instruction> {
        let all = self.bytes.as_chunks::<{ Instruction::SIZE }>().0;
        all.get(at).copied().map(Instruction::from_bytes)
    }

    pub(super) fn instructions(&self) -> impl Iterator<Item = Instruction> {
        self.bytes
            .as_chunks::<{ Instruction::SIZE }>()
            .0
            .iter()
            .copied()
            .map(Instruction::from_bytes)
    }
}

impl fmt::Debug for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Program")
            .field("instructions", &self.len())
            .field("flags", &format_args!("{:#x}", self.details.flags))
            .finish_non_exhaustive()
    }
}

impl fmt::Display for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, instruction) in self.instructions().enumerate() {
            write!(f, "{at:4}  ")?;
            list(f, at, instruction)?;
            f.write_str("\n")?;
        }
        Ok(())
    }
}

fn list(f: &mut fmt::Formatter<'_>, at: usize, instruction: Instruction) -> fmt::Result {
    let Instruction { code, jump_true, jump_false, k } = instruction;
    let condition = |f: &mut fmt::Formatter<'_>, sign| {
        let (yes, no) = (at + 1 + usize::from(jump_true), at + 1 + usize::from(jump_false));
        write!(f, "if A {sign} {k:#x} goto {yes} else {no}")
    };
    match code {
        code::LOAD => match k {
            0 => f.write_str("A = number"),
            4 => f.write_str("A = architecture"),
            _ => {
                let argument = (k.wrapping_sub(16)) / 8;
                let upper = (k % 8 == 4) == cfg!(target_endian = "little");
                write!(f, "A = argument {argument}, {} half", if upper { "upper" } else { "lower" })
            }
        },
        code::AND => write!(f, "A &= {k:#x}"),
        code::JUMP => write!(f, "goto {}", at + 1 + k as usize),
        code::EQUAL => condition(f, "=="),
        code::GREATER => condition(f, ">"),
        code::GREATER_EQUAL => condition(f, ">="),
        code::RETURN => match Action::from_code(k) {
            Some(action) => write!(f, "return {action}"),
            None => write!(f, "return {k:#x}"),
        },
        _ => write!(f, "code {code:#x} {k:#x}"),
    }
}
