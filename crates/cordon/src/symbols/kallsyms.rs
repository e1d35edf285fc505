//! `/proc/kallsyms`: the addresses of the kernel's symbols on that boot, and how far they were moved (KASLR).
//!
//! INVARIANT: every line of the kernel itself is understood or the file is refused: of a list with holes nobody could tell
//! which symbols it lacks. Modules' lines are left out, since a symbol file is of the kernel alone.

use std::collections::BTreeMap;
use std::str;

/// The most symbols; Debian's kernel has about 100,000.
const MOST_SYMBOLS: usize = 1 << 20;
/// The longest name, in bytes; the kernel's own limit (`KSYM_NAME_LEN`).
const LONGEST_NAME: usize = 512;
/// Where an x86-64 kernel begins when it is not moved: `__START_KERNEL_map` and the default of `CONFIG_PHYSICAL_START`.
///
/// With another `CONFIG_PHYSICAL_START` every address is off by the same amount. Tools that find the kernel by its first task
/// make up for that; those that go by the `KERNELOFFSET` of the kernel's own crash notes do not.
const X86_TEXT: u64 = 0xffff_ffff_8100_0000;
/// The top 2 GiB of the address space, where only an x86-64 kernel lies.
const X86_KERNEL: u64 = 0xffff_ffff_8000_0000;
/// Below this there are constants and, on x86-64, offsets into each processor's own memory: they do not move.
const KERNEL_HALF: u64 = 1 << 63;
/// What KASLR moves a kernel by is a multiple of this on every architecture (x86-64: 2 MiB, arm64: at least 64 KiB).
const SLIDE_UNIT: u64 = 1 << 16;

/// What is wrong with a list of symbols.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum KallsymsError {
    /// A line is not one of the kernel's.
    #[error("its line {0} is not an address, a letter and a name: it was cut, or is not what the kernel wrote")]
    Line(usize),
    /// It ends within a line.
    #[error("it ends within a line: it was cut")]
    Cut,
    /// No kernel has as much.
    #[error("it has more than {MOST_SYMBOLS} symbols, which no kernel has")]
    TooMany,
    /// The kernel hid the addresses.
    #[error("every address in it is zero: the kernel hid them from the collector (kernel.kptr_restrict)")]
    Hidden,
    /// A symbol that every kernel has.
    #[error(
        "it has no `{0}`: the kernel lists functions only (it was built without CONFIG_KALLSYMS_ALL), or this is not its whole list"
    )]
    Lacks(&'static str),
    /// A kernel that is elsewhere than kernels are.
    #[error("its kernel begins at {0:#x}, where no 64-bit kernel does")]
    Text(u64),
}

/// The symbols of a kernel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Kallsyms<'a> {
    /// By name: where it is when the kernel is not moved. Of several of one name the first global one counts, else the first.
    pub(crate) symbols: BTreeMap<&'a str, u64>,
    /// By how much the kernel was moved; [`None`] where that cannot be told, and the addresses are those of that boot.
    pub(crate) slide: Option<u64>,
    /// Every address once, ascending.
    addresses: Vec<u64>,
}

impl<'a> Kallsyms<'a> {
    /// Reads all of it.
    pub(crate) fn parse(bytes: &'a [u8]) -> Result<Self, KallsymsError> {
        let mut found: BTreeMap<&str, (u64, bool)> = BTreeMap::new();
        let body = bytes.strip_suffix(b"\n").ok_or(KallsymsError::Cut)?;
        for (number, line) in (1..).zip(body.split(|byte| *byte == b'\n')) {
            let Some(symbol) = symbol(line).map_err(|NoLine| KallsymsError::Line(number))? else { continue };
            let one = found.entry(symbol.name).or_insert((symbol.address, symbol.global));
            if symbol.global && !one.1 {
                *one = (symbol.address, true);
            }
            if found.len() > MOST_SYMBOLS {
                return Err(KallsymsError::TooMany);
            }
        }
        if found.values().all(|(address, _)| *address == 0) {
            return Err(KallsymsError::Hidden);
        }
        let (text, _) = found.get("_text").ok_or(KallsymsError::Lacks("_text"))?;
        let slide = slide(*text)?;
        let home = |address: u64| if address < KERNEL_HALF { address } else { address.wrapping_sub(slide.unwrap_or(0)) };
        let symbols: BTreeMap<&str, u64> = found.into_iter().map(|(name, (address, _))| (name, home(address))).collect();
        let mut addresses: Vec<u64> = symbols.values().copied().collect();
        addresses.sort_unstable();
        addresses.dedup();
        Ok(Self { symbols, slide, addresses })
    }

    /// How many bytes there are from this symbol to the next: at least as many as it has.
    pub(crate) fn room(&self, name: &str) -> Option<u64> {
        let address = *self.symbols.get(name)?;
        let next = self.addresses.partition_point(|other| *other <= address);
        self.addresses.get(next).map(|next| next - address)
    }
}

struct Symbol<'a> {
    address: u64,
    global: bool,
    name: &'a str,
}

/// It is not one of the kernel's.
struct NoLine;

/// The symbol in a line; none where it is a module's.
fn symbol(line: &[u8]) -> Result<Option<Symbol<'_>>, NoLine> {
    let line = str::from_utf8(line).map_err(|_| NoLine)?;
    let fields: Vec<&str> = line.split_ascii_whitespace().take(5).collect();
    let (address, letter, name, module) = match *fields.as_slice() {
        [address, letter, name] => (address, letter, name, None),
        [address, letter, name, module] => (address, letter, name, Some(module)),
        _ => return Err(NoLine),
    };
    let &[letter] = letter.as_bytes() else { return Err(NoLine) };
    let plain = address.len() == 16 && address.bytes().all(|byte| byte.is_ascii_hexdigit());
    if !plain || !letter.is_ascii_alphabetic() || name.len() > LONGEST_NAME {
        return Err(NoLine);
    }
    match module {
        Some(module) if module.starts_with('[') && module.ends_with(']') => Ok(None),
        Some(_) => Err(NoLine),
        None => {
            let address = u64::from_str_radix(address, 16).map_err(|_| NoLine)?;
            Ok(Some(Symbol { address, global: letter.is_ascii_uppercase(), name }))
        }
    }
}

/// By how much a kernel was moved that begins at `text`.
///
/// Where an arm64 kernel begins unmoved depends on its version, page size and address bits, and nothing in a case says so:
/// its addresses stay as they are. Unverified: no arm64 kernel was looked at.
fn slide(text: u64) -> Result<Option<u64>, KallsymsError> {
    if text >= X86_KERNEL {
        // A kernel may be built to lie lower than the default: the difference then wraps, and is undone by wrapping.
        let slide = text.wrapping_sub(X86_TEXT);
        return if slide.is_multiple_of(SLIDE_UNIT) { Ok(Some(slide)) } else { Err(KallsymsError::Text(text)) };
    }
    if text >= KERNEL_HALF && text.is_multiple_of(SLIDE_UNIT) { Ok(None) } else { Err(KallsymsError::Text(text)) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const LIST: &str = "0000000000000000 A __per_cpu_start\n0000000000001000 a cpu_offset\nffffffff9a200000 T _text\n\
                        ffffffff9a200040 t twice\nffffffff9a200080 T twice\nffffffff9a2000c0 T twice\n\
                        ffffffff9b000000 D init_task\nffffffffc0000000 t probe\t[virtio_net]\n";

    #[test]
    fn a_kernel_is_moved_back_and_modules_are_left_out() {
        let list = Kallsyms::parse(LIST.as_bytes()).unwrap();
        assert_eq!(list.slide, Some(0x1920_0000));
        let expected = [
            ("__per_cpu_start", 0),
            ("_text", X86_TEXT),
            ("cpu_offset", 0x1000),
            ("init_task", 0xffff_ffff_81e0_0000),
            ("twice", X86_TEXT + 0x80),
        ];
        assert_eq!(list.symbols, BTreeMap::from(expected), "the first global one of a name counts");
        for (name, room) in [("_text", Some(0x80)), ("init_task", None), ("none", None)] {
            assert_eq!(list.room(name), room, "{name}");
        }
    }

    #[test]
    fn an_arm64_kernel_stays_where_it_was() {
        let list = Kallsyms::parse(b"ffffa5d2c8000000 T _text\nffffa5d2c9000000 D init_task\n").unwrap();
        assert_eq!((list.slide, list.symbols.get("init_task")), (None, Some(&0xffff_a5d2_c900_0000)));
    }

    #[test]
    fn a_list_that_is_none_is_refused_with_the_reason() {
        let long = format!("ffffffff81000000 T {}\n", "x".repeat(LONGEST_NAME + 1));
        let cases: &[(&[u8], KallsymsError)] = &[
            (b"", KallsymsError::Cut),
            (b"ffffffff81000000 T _text\nffffffff8", KallsymsError::Cut),
            (b"ffffffff81000000 T _text\nffffffff8\n", KallsymsError::Line(2)),
            (b"ffffffff81000000 T _text\n\n", KallsymsError::Line(2)),
            (b"ffffffff81000000 T\n", KallsymsError::Line(1)),
            (b"fffffff81000000 T _text\n", KallsymsError::Line(1)),
            (b"+fffffff81000000 T _text\n", KallsymsError::Line(1)),
            (b"ffffffff81000000 TT _text\n", KallsymsError::Line(1)),
            (b"ffffffff81000000 T _text module\n", KallsymsError::Line(1)),
            (b"ffffffff81000000 T _text [module] more\n", KallsymsError::Line(1)),
            (b"ffffffff81000000 T _t\xffxt\n", KallsymsError::Line(1)),
            (long.as_bytes(), KallsymsError::Line(1)),
            (b"0000000000000000 T _text\n0000000000000000 D init_task\n", KallsymsError::Hidden),
            (b"ffffffff81000000 T _stext\n", KallsymsError::Lacks("_text")),
            (b"ffffffff81000001 T _text\n", KallsymsError::Text(0xffff_ffff_8100_0001)),
            (b"00000000c0000000 T _text\n", KallsymsError::Text(0xc000_0000)),
        ];
        for (bytes, expected) in cases {
            assert_eq!(Kallsyms::parse(bytes).unwrap_err(), *expected, "{:?}", String::from_utf8_lossy(bytes));
        }
    }

    proptest! {
        #[test]
        fn what_is_cut_within_a_line_is_refused(cut in 0..LIST.len()) {
            if !LIST.as_bytes()[..cut].ends_with(b"\n") {
                prop_assert_eq!(Kallsyms::parse(&LIST.as_bytes()[..cut]), Err(KallsymsError::Cut));
            }
        }

        #[test]
        fn changed_bytes_never_panic(at in 0..LIST.len(), byte: u8) {
            let mut bytes = LIST.as_bytes().to_vec();
            bytes[at] = byte;
            let _ = Kallsyms::parse(&bytes);
        }
    }
}
