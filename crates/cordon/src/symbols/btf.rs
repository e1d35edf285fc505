//! BTF, the kernel's own type information, as `/sys/kernel/btf/vmlinux` gives it
//! (<https://docs.kernel.org/bpf/btf.html>).
//!
//! INVARIANT: the target chose every byte. Each read is checked, nothing is allocated by a count that the file only claims,
//! and every type that is referred to exists. Chains of types may still be circles: who follows them counts.

use std::str;

/// The most types; the kernel's own limit (`BTF_MAX_TYPE`).
const MOST_TYPES: usize = 0x000f_ffff;
/// The longest name, in bytes; the kernel's own limit (`KSYM_NAME_LEN`).
const LONGEST_NAME: usize = 512;
const MAGIC: [u8; 2] = [0x9f, 0xeb];
const BIG_ENDIAN_MAGIC: [u8; 2] = [0xeb, 0x9f];
/// Up to `str_len`; later kernels may have a longer header and say so in `hdr_len`.
const SHORTEST_HEADER: usize = 24;

/// What is wrong with BTF.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BtfError {
    /// Another kind of file.
    #[error("it is no BTF: it does not begin with 0xeb9f")]
    NotBtf,
    /// Another byte order.
    #[error("it is BTF of a big-endian machine, and only little-endian ones are read")]
    BigEndian,
    /// Another version.
    #[error("it is BTF of version {0}, and only version 1 is read")]
    Version(u8),
    /// There are fewer bytes than the file itself says.
    #[error("it ends within {0}: it was cut, or is not what the kernel wrote")]
    Short(&'static str),
    /// The strings are not a list of strings.
    #[error("its strings do not begin and end with a zero byte")]
    Strings,
    /// A name leads nowhere, or is none.
    #[error("the name at {0} of its strings is not text of at most {LONGEST_NAME} bytes")]
    Name(u32),
    /// Too much of it.
    #[error("it has more than {MOST_TYPES} types, which no kernel has")]
    TooMany,
    /// A kind that this version does not know, and whose length it therefore cannot tell.
    #[error("its type {id} is of the kind {kind}, which this version of cordon does not know: look for a later one")]
    Kind {
        /// The type.
        id: u32,
        /// Its kind.
        kind: u32,
    },
    /// A type that is not there.
    #[error("its type {id} refers to the type {to}, which does not exist")]
    Reference {
        /// The type.
        id: u32,
        /// What it refers to.
        to: u32,
    },
}

/// All types; number 0 is `void`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Btf<'a> {
    pub(crate) types: Vec<Type<'a>>,
}

/// A type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Type<'a> {
    /// Empty where it has none.
    pub(crate) name: &'a str,
    pub(crate) kind: Kind<'a>,
}

/// What kind of type it is. Sizes are in bytes; the numbers of types are indices into [`Btf::types`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Kind<'a> {
    Void,
    /// `bits` of `size` bytes, from bit `offset` on: old compilers say bit fields so.
    Int {
        size: u32,
        encoding: Encoding,
        offset: u32,
        bits: u32,
    },
    Float {
        size: u32,
    },
    Pointer(u32),
    Array {
        element: u32,
        count: u32,
    },
    Composite {
        union: bool,
        size: u32,
        members: Vec<Member<'a>>,
    },
    Enum {
        size: u32,
        signed: bool,
        values: Vec<(&'a str, i128)>,
    },
    /// A structure or union that is declared and not defined.
    Forward {
        union: bool,
    },
    /// A typedef, a qualifier or a tag: the other type by another name.
    Alias(u32),
    Function,
    Variable(u32),
    /// A section of variables, or a tag of a declaration: no type.
    Other,
}

/// How the bits of an integer are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Encoding {
    pub(crate) signed: bool,
    pub(crate) char: bool,
    pub(crate) bool: bool,
}

/// A member of a structure or union.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Member<'a> {
    /// Empty where it has none.
    pub(crate) name: &'a str,
    pub(crate) of: u32,
    /// In bits, from the structure's beginning.
    pub(crate) offset: u32,
    /// 0 where it is no bit field.
    pub(crate) bits: u32,
}

impl<'a> Btf<'a> {
    /// Reads all of it.
    pub(crate) fn parse(bytes: &'a [u8]) -> Result<Self, BtfError> {
        let (types, strings) = sections(bytes)?;
        let mut reader = Reader { bytes: types };
        let mut found = vec![Type { name: "", kind: Kind::Void }];
        while !reader.bytes.is_empty() {
            if found.len() > MOST_TYPES {
                return Err(BtfError::TooMany);
            }
            // At most MOST_TYPES, so that this holds.
            let id = u32::try_from(found.len()).unwrap_or(u32::MAX);
            found.push(reader.read(id, &strings)?);
        }
        let btf = Self { types: found };
        btf.check()?;
        Ok(btf)
    }

    /// The type of this number, which is there if the number is from this BTF.
    pub(crate) fn get(&self, id: u32) -> Option<&Type<'a>> {
        self.types.get(usize::try_from(id).ok()?)
    }

    fn check(&self) -> Result<(), BtfError> {
        for (id, one) in (0_u32..).zip(&self.types) {
            let exists = |to: u32| if self.get(to).is_some() { Ok(()) } else { Err(BtfError::Reference { id, to }) };
            match &one.kind {
                Kind::Pointer(to) | Kind::Alias(to) | Kind::Variable(to) | Kind::Array { element: to, .. } => exists(*to)?,
                Kind::Composite { members, .. } => members.iter().try_for_each(|member| exists(member.of))?,
                _ => {}
            }
        }
        Ok(())
    }
}

/// The types and the strings, as the header says where they are.
fn sections(bytes: &[u8]) -> Result<(&[u8], Strings<'_>), BtfError> {
    match bytes.get(..2) {
        Some(magic) if magic == MAGIC => {}
        Some(magic) if magic == BIG_ENDIAN_MAGIC => return Err(BtfError::BigEndian),
        _ => return Err(BtfError::NotBtf),
    }
    let mut header = Reader { bytes };
    let [_, _, version, _] = header.u32("its header")?.to_le_bytes();
    if version != 1 {
        return Err(BtfError::Version(version));
    }
    let length = header.length("its header")?;
    let (type_offset, type_length) = (header.length("its header")?, header.length("its header")?);
    let (string_offset, string_length) = (header.length("its header")?, header.length("its header")?);
    if length < SHORTEST_HEADER {
        return Err(BtfError::Short("its header"));
    }
    let body = bytes.get(length..).ok_or(BtfError::Short("its header"))?;
    let section = |offset: usize, length: usize| body.get(offset..)?.get(..length);
    let types = section(type_offset, type_length).ok_or(BtfError::Short("its types"))?;
    let strings = section(string_offset, string_length).ok_or(BtfError::Short("its strings"))?;
    if strings.first() != Some(&0) || strings.last() != Some(&0) {
        return Err(BtfError::Strings);
    }
    Ok((types, Strings(strings)))
}

struct Strings<'a>(&'a [u8]);

impl<'a> Strings<'a> {
    fn at(&self, offset: u32) -> Result<&'a str, BtfError> {
        let wrong = BtfError::Name(offset);
        let from = usize::try_from(offset).ok().and_then(|offset| self.0.get(offset..)).ok_or(wrong.clone())?;
        let near = from.get(..LONGEST_NAME).unwrap_or(from);
        let name = near.iter().position(|byte| *byte == 0).and_then(|end| near.get(..end)).ok_or(wrong.clone())?;
        str::from_utf8(name).map_err(|_| wrong)
    }
}

struct Reader<'a> {
    bytes: &'a [u8],
}

impl Reader<'_> {
    fn u32(&mut self, what: &'static str) -> Result<u32, BtfError> {
        let (word, rest) = self.bytes.split_first_chunk::<4>().ok_or(BtfError::Short(what))?;
        self.bytes = rest;
        Ok(u32::from_le_bytes(*word))
    }

    fn length(&mut self, what: &'static str) -> Result<usize, BtfError> {
        usize::try_from(self.u32(what)?).map_err(|_| BtfError::Short(what))
    }

    fn skip(&mut self, words: u32) -> Result<(), BtfError> {
        (0..words).try_for_each(|_| self.u32("a type").map(drop))
    }

    /// The next type: three words, and what its kind adds to them.
    fn read<'a>(&mut self, id: u32, strings: &Strings<'a>) -> Result<Type<'a>, BtfError> {
        let (name, info, word) = (strings.at(self.u32("a type")?)?, self.u32("a type")?, self.u32("a type")?);
        let (entries, flag) = (info & 0xffff, info >> 31 == 1);
        let kind = match (info >> 24) & 0x1f {
            1 => {
                let [bits, _, offset, encoding] = self.u32("a type")?.to_le_bytes();
                let has = |bit: u8| encoding & bit != 0;
                let encoding = Encoding { signed: has(1), char: has(2), bool: has(4) };
                Kind::Int { size: word, encoding, offset: u32::from(offset), bits: u32::from(bits) }
            }
            2 => Kind::Pointer(word),
            3 => {
                let (element, _index, count) = (self.u32("a type")?, self.u32("a type")?, self.u32("a type")?);
                Kind::Array { element, count }
            }
            kind @ (4 | 5) => {
                let members = (0..entries).map(|_| self.member(flag, strings)).collect::<Result<_, _>>()?;
                Kind::Composite { union: kind == 5, size: word, members }
            }
            6 => {
                let values = (0..entries).map(|_| self.value(strings)).collect::<Result<Vec<_>, _>>()?;
                // Before the flag was introduced (6.0) each value was said to be signed.
                Kind::Enum { size: word, signed: flag || values.iter().any(|(_, value)| *value < 0), values }
            }
            7 => Kind::Forward { union: flag },
            8..=11 | 18 => Kind::Alias(word),
            12 => Kind::Function,
            13 => self.skip(entries * 2).map(|()| Kind::Function)?,
            14 => self.skip(1).map(|()| Kind::Variable(word))?,
            15 => self.skip(entries * 3).map(|()| Kind::Other)?,
            16 => Kind::Float { size: word },
            17 => self.skip(1).map(|()| Kind::Other)?,
            19 => {
                let values = (0..entries).map(|_| self.long_value(flag, strings)).collect::<Result<_, _>>()?;
                Kind::Enum { size: word, signed: flag, values }
            }
            kind => return Err(BtfError::Kind { id, kind }),
        };
        Ok(Type { name, kind })
    }

    /// With the type's flag an offset has the bit field's length in its highest byte.
    fn member<'a>(&mut self, flag: bool, strings: &Strings<'a>) -> Result<Member<'a>, BtfError> {
        let (name, of, place) = (strings.at(self.u32("a type")?)?, self.u32("a type")?, self.u32("a type")?);
        let (offset, bits) = if flag { (place & 0x00ff_ffff, place >> 24) } else { (place, 0) };
        Ok(Member { name, of, offset, bits })
    }

    fn value<'a>(&mut self, strings: &Strings<'a>) -> Result<(&'a str, i128), BtfError> {
        let (name, value) = (strings.at(self.u32("a type")?)?, self.u32("a type")?);
        Ok((name, i128::from(value.cast_signed())))
    }

    fn long_value<'a>(&mut self, signed: bool, strings: &Strings<'a>) -> Result<(&'a str, i128), BtfError> {
        let (name, low, high) = (strings.at(self.u32("a type")?)?, self.u32("a type")?, self.u32("a type")?);
        let value = u64::from(low) | (u64::from(high) << 32);
        Ok((name, if signed { i128::from(value.cast_signed()) } else { i128::from(value) }))
    }
}

#[cfg(test)]
mod tests {
    use super::super::made::{Made, kernel};
    use super::*;
    use proptest::prelude::*;

    fn kind_of(btf: &Btf<'_>, name: &str) -> String {
        let one = btf.types.iter().find(|one| one.name == name).unwrap_or_else(|| panic!("there is no `{name}`"));
        format!("{:?}", one.kind)
    }

    #[test]
    fn every_kind_is_read() {
        let bytes = kernel().bytes();
        let btf = Btf::parse(&bytes).unwrap();
        assert_eq!(btf.types.len(), 25, "void and the 24 of the small kernel");
        for (name, has) in [
            ("int", "Int { size: 4, encoding: Encoding { signed: true, char: false, bool: false }, offset: 0, bits: 32 }"),
            ("_Bool", "bool: true"),
            ("char", "char: true"),
            ("double", "Float { size: 8 }"),
            ("state", "Enum { size: 4, signed: true, values: [(\"RUNNING\", 0), (\"DEAD\", -1)] }"),
            ("wide", "Enum { size: 8, signed: false, values: [(\"HUGE\", 9223372036854775813)] }"),
            ("cred", "Forward { union: false }"),
            ("pid_t", "Alias(1)"),
            ("user", "Alias(1)"),
            ("task_struct", "Member { name: \"high\", of: 1, offset: 259, bits: 5 }"),
            ("task_struct", "Composite { union: false, size: 96"),
            ("schedule", "Function"),
            ("current_task", "Variable(20)"),
            (".data..percpu", "Other"),
            ("kfunc", "Other"),
        ] {
            assert!(kind_of(&btf, name).contains(has), "`{name}` must be {has} and is {}", kind_of(&btf, name));
        }
        let unnamed: Vec<String> =
            btf.types.iter().filter(|one| one.name.is_empty()).map(|one| format!("{:?}", one.kind)).collect();
        for has in ["Void", "Array { element: 3, count: 16 }", "Pointer(7)", "Alias(3)", "Function", "Composite { union: true"] {
            assert!(unnamed.iter().any(|kind| kind.starts_with(has)), "{has} is missing in {unnamed:?}");
        }
    }

    #[test]
    fn what_is_cut_anywhere_is_refused() {
        let bytes = kernel().bytes();
        for length in 0..bytes.len() {
            assert!(
                Btf::parse(&bytes[..length]).is_err(),
                "the first {length} of {} bytes must not be taken for all",
                bytes.len()
            );
        }
    }

    #[test]
    fn what_is_no_btf_is_refused_with_the_reason() {
        type Change = fn(&mut Vec<u8>);
        let cases: [(Change, BtfError); 9] = [
            (|bytes| bytes[0] = 0x7f, BtfError::NotBtf),
            (|bytes| bytes[..2].copy_from_slice(&[0xeb, 0x9f]), BtfError::BigEndian),
            (|bytes| bytes[2] = 2, BtfError::Version(2)),
            (|bytes| bytes[4] = 23, BtfError::Short("its header")),
            (|bytes| bytes[4..8].fill(0xff), BtfError::Short("its header")),
            (|bytes| bytes[12..16].fill(0xff), BtfError::Short("its types")),
            (|bytes| bytes[16..20].fill(0xff), BtfError::Short("its strings")),
            (|bytes| *bytes.last_mut().unwrap() = 1, BtfError::Strings),
            (|bytes| bytes[24..28].fill(0xff), BtfError::Name(u32::MAX)),
        ];
        for (change, expected) in cases {
            let mut bytes = kernel().bytes();
            change(&mut bytes);
            assert_eq!(Btf::parse(&bytes).unwrap_err(), expected);
        }
    }

    #[test]
    fn hostile_types_are_refused_with_the_reason() {
        type Add<'a> = &'a dyn Fn(&mut Made) -> u32;
        let long = "x".repeat(LONGEST_NAME);
        let cases: [(Add<'_>, BtfError); 6] = [
            (&|made| made.add("later", 20, false, 0, 0, &[]), BtfError::Kind { id: 1, kind: 20 }),
            (&|made| made.add("", 2, false, 0, 2, &[]), BtfError::Reference { id: 1, to: 2 }),
            (&|made| made.add("", 3, false, 0, 0, &[u32::MAX, 0, 1]), BtfError::Reference { id: 1, to: u32::MAX }),
            (&|made| made.composite("s", 4, false, 4, &[("m", 9, 0)]), BtfError::Reference { id: 1, to: 9 }),
            (&|made| made.add("s", 4, false, 0xffff, 4, &[0, 0, 0]), BtfError::Short("a type")),
            (&|made| made.add(&long, 7, false, 0, 0, &[]), BtfError::Name(1)),
        ];
        for (add, expected) in cases {
            let mut made = Made::new();
            add(&mut made);
            assert_eq!(Btf::parse(&made.bytes()).unwrap_err(), expected);
        }
    }

    #[test]
    fn there_are_not_more_types_than_a_kernel_may_have() {
        let mut made = Made::new();
        for _ in 0..=MOST_TYPES {
            made.add("", 7, false, 0, 0, &[]);
        }
        assert_eq!(Btf::parse(&made.bytes()).unwrap_err(), BtfError::TooMany);
    }

    proptest! {
        #[test]
        fn changed_bytes_never_panic(changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8), cut in any::<prop::sample::Index>()) {
            let mut bytes = kernel().bytes();
            for (at, byte) in changes {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
            let _ = Btf::parse(&bytes);
            let _ = Btf::parse(&bytes[..cut.index(bytes.len())]);
        }
    }
}
