//! Operations on what the kernel keeps about the process: scheduling, memory
//! placement, keys.

use super::super::encode::Encoder;
use super::super::wire::{self, code};
use super::{Op, op, shown};
use crate::scheduling::mask;

impl Op {
    pub(super) fn encode_attribute(&self, to: &mut Encoder) -> Option<wire::Op> {
        let mut words = |words: Vec<u64>| {
            to.raw(&words.iter().flat_map(|word| word.to_ne_bytes()).collect::<Vec<_>>())
        };
        Some(match self {
            Self::Affinity(cpus) => wire::Op { s: words(mask(cpus)), ..op(code::AFFINITY) },
            Self::MemoryPolicy(policy) => wire::Op {
                a: policy.mode_bits(),
                s: words(policy.node_mask()),
                ..op(code::MEMORY_POLICY)
            },
            Self::Scheduler(scheduler) => {
                wire::Op { s: to.raw(&scheduler.attributes()), ..op(code::SCHEDULER) }
            }
            Self::IoPriority(priority) => wire::Op { a: priority.bits(), ..op(code::IO_PRIORITY) },
            Self::Personality(personality) => {
                wire::Op { a: personality.number(), ..op(code::PERSONALITY) }
            }
            Self::Keyring(name) => wire::Op { s: to.text(name), ..op(code::KEYRING) },
            _ => return None,
        })
    }

    /// The call and its object.
    pub(super) fn name_attribute(&self) -> Option<(&'static str, String)> {
        Some(match self {
            Self::Scheduler(scheduler) => ("sched_setattr", scheduler.to_string()),
            Self::IoPriority(priority) => ("ioprio_set", priority.to_string()),
            Self::Affinity(cpus) => ("sched_setaffinity", cpus.to_string()),
            Self::MemoryPolicy(policy) => ("set_mempolicy", policy.to_string()),
            Self::Personality(personality) => ("personality", personality.name().into()),
            Self::Keyring(name) => ("keyctl", shown(name)),
            _ => return None,
        })
    }
}
