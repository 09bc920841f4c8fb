//! Memory and swap.

use super::{Place, Present, Undo, Writes, max, minus_one, no_such_limit};
use crate::cgroup::controller::{Controller, Version};
use crate::cgroup::resources::{Memory, Resources, field};
use crate::cgroup::values::{Limit, SwapLimit};
use crate::error::{Error, Result};

impl Writes {
    pub(super) fn memory_v2(&mut self, limits: &Resources, present: &Present) -> Result<()> {
        let memory = &limits.memory;
        if memory.swappiness.is_some() {
            return Err(no_such_limit("memory.swappiness", Version::V2, "leave it out"));
        }
        if memory.kernel_tcp.is_some() {
            let hint = "leave it out; the limit of memory counts these buffers";
            return Err(no_such_limit("memory.kernelTCP", Version::V2, hint));
        }
        if memory.disable_oom_killer == Some(true) {
            let hint = "leave it out; memory.high slows processes down instead of killing them";
            return Err(no_such_limit("memory.disableOOMKiller", Version::V2, hint));
        }
        for (file, limit) in
            [("memory.low", memory.low), ("memory.high", memory.high), ("memory.max", memory.max)]
        {
            if let Some(limit) = limit {
                self.add(Controller::Memory, file, max(limit));
            }
        }
        if let Some(swap) = swap_alone(memory, present)? {
            self.add(Controller::Memory, "memory.swap.max", max(swap));
            // Without accounting of swap there is no limit, and mostly no swap.
            if matches!(swap, Limit::Unlimited | Limit::At(0)) {
                self.optionally();
            }
        }
        Ok(())
    }

    pub(super) fn memory_v1(&mut self, limits: &Resources, present: &Present) -> Result<()> {
        let memory = &limits.memory;
        if memory.high.is_some() {
            let hint =
                "use memory_max or memory_low, or boot with systemd.unified_cgroup_hierarchy=1";
            return Err(no_such_limit("memory.high", Version::V1, hint));
        }
        if let Some(low) = memory.low {
            self.add(Controller::Memory, "memory.soft_limit_in_bytes", minus_one(low));
        }
        let to_be = memory.max.unwrap_or(present.memory);
        let both = memory_and_swap(memory, present, to_be)?;
        let one = memory.max.map(|limit| ("memory.limit_in_bytes", limit));
        let two = both.map(|limit| ("memory.memsw.limit_in_bytes", limit));
        // The kernel keeps memory <= memory+swap at every moment.
        let raises = over(to_be, present.memory_and_swap.unwrap_or(Limit::Unlimited));
        let order = if raises { [two, one] } else { [one, two] };
        for (file, limit) in order.into_iter().flatten() {
            self.add(Controller::Memory, file, minus_one(limit));
        }
        if let Some(limit) = memory.kernel_tcp {
            self.add(Controller::Memory, "memory.kmem.tcp.limit_in_bytes", minus_one(limit));
        }
        if let Some(percent) = memory.swappiness {
            self.add(Controller::Memory, "memory.swappiness", percent.to_string());
        }
        if let Some(disable) = memory.disable_oom_killer {
            let value = u8::from(disable).to_string();
            let undo = Undo::Flag("oom_kill_disable");
            self.push(Place::Of(Controller::Memory), "memory.oom_control", value, undo);
        }
        Ok(())
    }
}

/// v2 limits swap by itself.
fn swap_alone(memory: &Memory, present: &Present) -> Result<Option<Limit>> {
    match memory.swap {
        Some(SwapLimit::Alone(swap)) => Ok(Some(swap)),
        Some(SwapLimit::Total(Limit::Unlimited)) => Ok(Some(Limit::Unlimited)),
        Some(SwapLimit::Total(Limit::At(total))) => {
            swap_within(total, memory.max.unwrap_or(present.memory))
                .map(|swap| Some(Limit::At(swap)))
        }
        // As on v1, where the sum is not limited either then.
        None => Ok((memory.max == Some(Limit::Unlimited)).then_some(Limit::Unlimited)),
    }
}

/// v1 limits the sum: what to write so that the swap alone is as asked for, or as it was.
fn memory_and_swap(memory: &Memory, present: &Present, to_be: Limit) -> Result<Option<Limit>> {
    let swap = match (memory.swap, present.memory_and_swap) {
        (Some(SwapLimit::Total(Limit::At(total))), _) => {
            return swap_within(total, to_be).map(|_| Some(Limit::At(total)));
        }
        (Some(SwapLimit::Total(Limit::Unlimited)), _) => return Ok(Some(Limit::Unlimited)),
        (Some(SwapLimit::Alone(swap)), _) => swap,
        (None, Some(Limit::At(both))) if memory.max.is_some() => {
            Limit::At(both.saturating_sub(present.memory.value().unwrap_or(both)))
        }
        _ => return Ok(None),
    };
    match (to_be, swap) {
        (Limit::At(memory), Limit::At(swap)) => Ok(Some(Limit::At(memory.saturating_add(swap)))),
        (_, Limit::Unlimited) => Ok(Some(Limit::Unlimited)),
        (Limit::Unlimited, Limit::At(_)) if memory.swap.is_none() => Ok(Some(Limit::Unlimited)),
        (Limit::Unlimited, Limit::At(swap)) => Err(needs_memory(swap)),
    }
}

/// The swap alone, of memory and swap together.
fn swap_within(total: u64, memory: Limit) -> Result<u64> {
    let Limit::At(max) = memory else {
        return Err(needs_memory(total));
    };
    total.checked_sub(max).ok_or_else(|| {
        let reason = format!("is memory and swap together, and the limit of memory is {max}");
        Error::invalid(field("memory.swap"), total.to_string(), reason)
    })
}

fn needs_memory(swap: u64) -> Error {
    let reason = "swap is limited only together with memory, which is unlimited";
    Error::invalid(field("memory.swap"), swap.to_string(), reason)
        .hint("set the limit of memory as well")
}

fn over(a: Limit, b: Limit) -> bool {
    match (a, b) {
        (Limit::At(a), Limit::At(b)) => a > b,
        (Limit::Unlimited, Limit::At(_)) => true,
        (_, Limit::Unlimited) => false,
    }
}
