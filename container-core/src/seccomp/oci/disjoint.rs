//! Rules in an order, as rules without one.
//!
//! "The first rule that holds decides" becomes "each rule holds where none
//! before it does". What a rule's conditions admit is written as *cubes*: for
//! each argument a mask and a value. Taking one cube from another leaves one
//! smaller cube for each bit that the first pins and the second leaves open.

use super::super::action::Action;
use super::super::condition::{Compare, Condition};
use super::super::section::Try;

/// More pieces than this are no description any more.
const MOST: usize = 1000;

/// For each argument the bits that count, and what they have to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Cube {
    masks: [u64; 6],
    values: [u64; 6],
}

impl Cube {
    fn conditions(&self) -> Vec<Condition> {
        let one = |argument: usize| {
            let (mask, value) = (self.masks[argument], self.values[argument]);
            let compare = match mask {
                0 => return None,
                u64::MAX => Compare::Equal(value),
                _ => Compare::MaskedEqual { mask, value },
            };
            Some(Condition::new(argument as u8, compare))
        };
        (0..6).filter_map(one).collect()
    }

    /// What both admit, if anything.
    fn meet(&self, other: &Self) -> Option<Self> {
        let mut met = *self;
        for at in 0..6 {
            if (self.values[at] ^ other.values[at]) & self.masks[at] & other.masks[at] != 0 {
                return None;
            }
            met.masks[at] |= other.masks[at];
            met.values[at] |= other.values[at];
        }
        Some(met)
    }

    /// What this one admits and the other does not.
    fn without(&self, other: &Self, into: &mut Vec<Self>) {
        if self.meet(other).is_none() {
            into.push(*self);
            return;
        }
        let mut rest = *self;
        for at in 0..6 {
            for bit in (0..64).map(|bit| 1u64 << bit) {
                if other.masks[at] & !rest.masks[at] & bit == 0 {
                    continue;
                }
                rest.masks[at] |= bit;
                let mut piece = rest;
                piece.values[at] |= !other.values[at] & bit;
                into.push(piece);
                rest.values[at] |= other.values[at] & bit;
            }
        }
    }
}

/// The values from `low` to `high`, both included, as masks and values.
fn between(low: u64, high: u64) -> Vec<(u64, u64)> {
    let (mut cubes, mut at) = (Vec::new(), low);
    while at <= high {
        // The largest aligned block that starts here and ends in time.
        let mut size = at.trailing_zeros();
        while size > 0 && (size == 64 || at | ((1 << size) - 1) > high) {
            if size == 64 && at == 0 && high == u64::MAX {
                return vec![(0, 0)];
            }
            size -= 1;
        }
        let below = (1u64 << size) - 1;
        cubes.push((!below, at));
        match (at | below).checked_add(1) {
            Some(next) => at = next,
            None => break,
        }
    }
    cubes
}

fn cubes_of(condition: &Condition) -> Vec<(u64, u64)> {
    match condition.compare {
        Compare::Equal(value) => vec![(u64::MAX, value)],
        Compare::NotEqual(value) => {
            (0..64).map(|bit| (u64::MAX << bit, (value ^ 1 << bit) & (u64::MAX << bit))).collect()
        }
        Compare::Less(0) => Vec::new(),
        Compare::Less(value) => between(0, value - 1),
        Compare::LessOrEqual(value) => between(0, value),
        Compare::Greater(u64::MAX) => Vec::new(),
        Compare::Greater(value) => between(value + 1, u64::MAX),
        Compare::GreaterOrEqual(value) => between(value, u64::MAX),
        Compare::MaskedEqual { mask, value } if value & !mask != 0 => Vec::new(),
        Compare::MaskedEqual { mask, value } => vec![(mask, value)],
    }
}

fn cubes(conditions: &[Condition]) -> Option<Vec<Cube>> {
    let mut all = vec![Cube::default()];
    for condition in conditions {
        let at = usize::from(condition.argument);
        let mut next = Vec::new();
        for (mask, value) in cubes_of(condition) {
            let mut one = Cube::default();
            (one.masks[at], one.values[at]) = (mask, value);
            next.extend(all.iter().filter_map(|cube| cube.meet(&one)));
        }
        all = next;
        if all.len() > MOST {
            return None;
        }
    }
    Some(all)
}

/// Whether a comparison looks at the upper half of an argument: there an order
/// can't be undone for architectures that have none.
fn looks_high(conditions: &[Condition]) -> bool {
    conditions.iter().any(|condition| match condition.compare {
        Compare::MaskedEqual { mask, .. } => mask >> 32 != 0,
        _ => true,
    })
}

/// The same rules, of which each holds only where no earlier one with another
/// action does; `None` if that can't be written. `narrow` says that the rules
/// are for 32-bit architectures too.
pub(super) fn disjoint(tries: &[Try], narrow: bool) -> Option<Vec<Try>> {
    let mut out: Vec<Try> = Vec::new();
    for (index, one) in tries.iter().enumerate() {
        let earlier: Vec<&Try> = tries[..index].iter().filter(|t| t.action != one.action).collect();
        let mut arguments: Vec<u8> = one.conditions.iter().map(|c| c.argument).collect();
        arguments.sort_unstable();
        let twice = arguments.windows(2).any(|pair| pair[0] == pair[1]);
        if earlier.is_empty() && !twice {
            out.push(one.clone());
            continue;
        }
        let high = earlier.iter().any(|t| looks_high(&t.conditions));
        if narrow && (high || looks_high(&one.conditions)) {
            return None;
        }
        let mut left = cubes(&one.conditions)?;
        for other in earlier.iter().map(|t| cubes(&t.conditions)) {
            for other in other? {
                let mut next = Vec::new();
                left.iter().for_each(|cube| cube.without(&other, &mut next));
                left = next;
                if left.len() > MOST {
                    return None;
                }
            }
        }
        let action: Action = one.action;
        out.extend(left.iter().map(|cube| Try { conditions: cube.conditions(), action }));
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn compare() -> impl Strategy<Value = Compare> {
        let word = || prop_oneof![0u64..6, any::<u64>(), Just(u64::MAX)];
        prop_oneof![
            word().prop_map(Compare::Equal),
            word().prop_map(Compare::NotEqual),
            word().prop_map(Compare::Less),
            word().prop_map(Compare::LessOrEqual),
            word().prop_map(Compare::Greater),
            word().prop_map(Compare::GreaterOrEqual),
            (word(), word())
                .prop_map(|(mask, value)| Compare::MaskedEqual { mask, value: value & mask }),
        ]
    }

    fn one() -> impl Strategy<Value = Try> {
        let condition = (0u8..3, compare()).prop_map(|(at, c)| Condition::new(at, c));
        let actions = prop_oneof![Just(Action::Allow), Just(Action::Trap), Just(Action::Errno(5))];
        (proptest::collection::vec(condition, 0..2), actions)
            .prop_map(|(conditions, action)| Try { conditions, action })
    }

    proptest! {
        #[test]
        fn the_order_is_gone_and_the_meaning_is_not(
            tries in proptest::collection::vec(one(), 1..4),
            near in proptest::collection::vec(prop_oneof![0u64..8, any::<u64>()], 3),
        ) {
            let Some(flat) = disjoint(&tries, false) else { return Ok(()) };
            let holds = |one: &&Try| {
                one.conditions.iter().all(|c| c.holds(near[usize::from(c.argument)]))
            };
            let first = tries.iter().find(holds).map(|one| one.action);
            prop_assert_eq!(flat.iter().find(holds).map(|one| one.action), first);
            prop_assert_eq!(flat.iter().rev().find(holds).map(|one| one.action), first);
        }
    }
}
