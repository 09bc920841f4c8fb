//! A second classic BPF machine, for what the other programs use beyond ours.

/// `struct sock_filter`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Instruction {
    code: u16,
    yes: u8,
    no: u8,
    k: u32,
}

pub(crate) fn parse(bytes: &[u8]) -> Vec<Instruction> {
    let (chunks, rest) = bytes.as_chunks::<8>();
    assert!(rest.is_empty() && !chunks.is_empty());
    let one = |c: &[u8; 8]| Instruction {
        code: u16::from_ne_bytes([c[0], c[1]]),
        yes: c[2],
        no: c[3],
        k: u32::from_ne_bytes([c[4], c[5], c[6], c[7]]),
    };
    chunks.iter().map(one).collect()
}

fn word(offset: u32, number: u32, audit: u32, arguments: [u64; 6]) -> u32 {
    match offset {
        0 => number,
        4 => audit,
        16..64 => {
            let value = arguments[(offset as usize - 16) / 8];
            if offset.is_multiple_of(8) { value as u32 } else { (value >> 32) as u32 }
        }
        _ => panic!("load at {offset}"),
    }
}

pub(crate) fn run(program: &[Instruction], number: u32, audit: u32, arguments: [u64; 6]) -> u32 {
    let (mut at, mut a) = (0, 0u32);
    loop {
        let i = program[at];
        at += 1;
        let jump = |holds: bool| usize::from(if holds { i.yes } else { i.no });
        match i.code {
            0x20 => a = word(i.k, number, audit, arguments),
            0x54 => a &= i.k,
            0x05 => at += i.k as usize,
            0x15 => at += jump(a == i.k),
            0x25 => at += jump(a > i.k),
            0x35 => at += jump(a >= i.k),
            0x45 => at += jump(a & i.k != 0),
            0x06 => return i.k,
            other => panic!("code {other:#x}"),
        }
    }
}
