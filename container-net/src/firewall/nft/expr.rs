//! Rule expressions: the instructions of nf_tables' register machine.
//!
//! A rule is a list of expressions run from left to right. Each loads something into a register,
//! compares one, looks one up in a set, or gives the verdict; the rule ends at the first one
//! that does not match. Sixteen 32-bit registers exist; a concatenated key lies in consecutive
//! ones.

use super::encode::{Attrs, LIST_ELEMENT};

/// A register by number; `REGS[0]` to `REGS[15]` of the kernel's `NFT_REG32_00` to `15`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reg(pub(super) u32);

impl Reg {
    fn number(self) -> u32 {
        8 + self.0
    }
}

const VERDICT: u32 = 0;

/// What the `meta` expression loads (`NFT_META_*`).
#[derive(Debug, Clone, Copy)]
pub(super) enum Meta {
    InputName = 6,
    OutputName = 7,
    Family = 15,
    Protocol = 16,
}

/// What the `ct` expression loads (`NFT_CT_*`).
#[derive(Debug, Clone, Copy)]
pub(super) enum Ct {
    State = 0,
    Status = 2,
}

/// What a rule decides.
#[derive(Debug, Clone, Copy)]
pub(super) enum Verdict {
    Drop,
    Accept,
    Return,
    Jump(&'static str),
}

/// A rule under construction.
#[derive(Debug, Default)]
pub(super) struct Rule(Attrs);

impl Rule {
    pub(super) fn new() -> Self {
        Self::default()
    }

    fn push(mut self, name: &str, fill: impl FnOnce(&mut Attrs)) -> Self {
        self.0.nest(LIST_ELEMENT, |e| {
            e.string(1, name).nest(2, fill);
        });
        self
    }

    pub(super) fn expressions(self) -> Attrs {
        self.0
    }

    pub(super) fn meta(self, what: Meta, to: Reg) -> Self {
        self.push("meta", |a| {
            a.u32(1, to.number()).u32(2, what as u32);
        })
    }

    pub(super) fn ct(self, what: Ct, to: Reg) -> Self {
        self.push("ct", |a| {
            a.u32(1, to.number()).u32(2, what as u32);
        })
    }

    fn payload(self, base: u32, offset: u32, length: u32, to: Reg) -> Self {
        self.push("payload", |a| {
            a.u32(1, to.number()).u32(2, base).u32(3, offset).u32(4, length);
        })
    }

    pub(super) fn source_address(self, to: Reg) -> Self {
        self.payload(1, 12, 4, to)
    }

    pub(super) fn destination_address(self, to: Reg) -> Self {
        self.payload(1, 16, 4, to)
    }

    pub(super) fn destination_port(self, to: Reg) -> Self {
        self.payload(2, 2, 2, to)
    }

    pub(super) fn equal(self, reg: Reg, value: &[u8]) -> Self {
        self.compare(0, reg, value)
    }

    pub(super) fn not_equal(self, reg: Reg, value: &[u8]) -> Self {
        self.compare(1, reg, value)
    }

    fn compare(self, operation: u32, reg: Reg, value: &[u8]) -> Self {
        self.push("cmp", |a| {
            a.u32(1, reg.number()).u32(2, operation).value(3, value);
        })
    }

    /// `reg &= mask`, four bytes.
    pub(super) fn mask(self, reg: Reg, mask: [u8; 4]) -> Self {
        self.push("bitwise", |a| {
            a.u32(1, reg.number()).u32(2, reg.number()).u32(3, 4);
            a.value(4, &mask).value(5, &[0; 4]);
        })
    }

    pub(super) fn found_in(self, reg: Reg, set: &str) -> Self {
        self.push("lookup", |a| {
            a.string(1, set).u32(2, reg.number());
        })
    }

    pub(super) fn missing_from(self, reg: Reg, set: &str) -> Self {
        self.push("lookup", |a| {
            a.string(1, set).u32(2, reg.number()).u32(5, 1);
        })
    }

    /// Replaces the key in `reg` by the value that `map` has for it.
    pub(super) fn look_up(self, reg: Reg, map: &str) -> Self {
        self.push("lookup", |a| {
            a.string(1, map).u32(2, reg.number()).u32(3, reg.number());
        })
    }

    /// Goes on only for packets to an address of the host itself.
    pub(super) fn destination_is_local(self, reg: Reg) -> Self {
        const ADDRESS_TYPE: u32 = 3;
        const BY_DESTINATION: u32 = 2;
        const RTN_LOCAL: u32 = 2;
        self.push("fib", |a| {
            a.u32(1, reg.number()).u32(2, ADDRESS_TYPE).u32(3, BY_DESTINATION);
        })
        .equal(reg, &RTN_LOCAL.to_ne_bytes())
    }

    /// Goes on only for IPv4.
    pub(super) fn ipv4(self) -> Self {
        const NFPROTO_IPV4: u8 = 2;
        self.meta(Meta::Family, Reg(0)).equal(Reg(0), &[NFPROTO_IPV4])
    }

    /// Redirects to the address and port in two registers.
    pub(super) fn dnat(self, address: Reg, port: Reg) -> Self {
        self.push("nat", |a| {
            a.u32(1, 1).u32(2, 2).u32(3, address.number()).u32(5, port.number());
        })
    }

    pub(super) fn masquerade(self) -> Self {
        self.push("masq", |_| {})
    }

    pub(super) fn verdict(self, verdict: Verdict) -> Self {
        let (code, chain): (i32, _) = match verdict {
            Verdict::Drop => (0, None),
            Verdict::Accept => (1, None),
            Verdict::Return => (-5, None),
            Verdict::Jump(chain) => (-3, Some(chain)),
        };
        self.push("immediate", |a| {
            a.u32(1, VERDICT).nest(2, |data| {
                data.nest(2, |v| {
                    v.bytes(1, &code.to_be_bytes());
                    if let Some(chain) = chain {
                        v.string(2, chain);
                    }
                });
            });
        })
    }
}
