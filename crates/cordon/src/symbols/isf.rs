//! The symbol file that volatility3 reads (its intermediate symbol format, version 6.2.0): types, addresses and the banner by
//! which an image finds it.
//!
//! INVARIANT: what is made is bounded, in memory and in the file, whatever the BTF says: each type is written once, what
//! refers to it names it, and depth and number of references are counted.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashSet};

use aws_smithy_types::base64;
use incident::text::sha256;
use serde::Serialize;

use super::btf::{Btf, Kind, Member, Type};
use super::kallsyms::Kallsyms;
use super::known::{KNOWN, Shape};

/// How many pointers, arrays and typedefs may follow each other; kernels have less than ten.
const DEEPEST: u32 = 32;
/// How many references there may be between all types; a distribution's kernel has less than 300,000.
const MOST_REFERENCES: usize = 4_000_000;
/// The most elements of an array whose length is taken from the distance to the next symbol.
const MOST_FILLED: u64 = 1 << 16;
/// The size of a pointer, in bytes.
const POINTER_BYTES: u32 = 8;

/// Why there is no symbol file, though each part could be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum IsfError {
    /// A circle of pointers or typedefs, or what is as good as one.
    #[error("its type {0} is a chain of more than {DEEPEST} types, which no kernel has")]
    Deep(u32),
    /// Too much.
    #[error("it has more than {MOST_REFERENCES} references between types, which no kernel has")]
    TooMany,
    /// Nothing to analyse with.
    #[error("it has no `{0}`, which every analysis begins from: it is not of a whole kernel")]
    Lacks(&'static str),
}

/// The whole file.
#[derive(Debug, Serialize)]
pub(crate) struct Isf<'a> {
    metadata: Metadata,
    pub(crate) base_types: BTreeMap<Cow<'a, str>, Base>,
    pub(crate) user_types: BTreeMap<Cow<'a, str>, User<'a>>,
    pub(crate) enums: BTreeMap<Cow<'a, str>, Enum<'a>>,
    pub(crate) symbols: BTreeMap<&'a str, Symbol<'a>>,
}

#[derive(Debug, Serialize)]
struct Metadata {
    format: &'static str,
    producer: Producer,
    linux: Sources,
}

#[derive(Debug, Serialize)]
struct Producer {
    name: &'static str,
    version: &'static str,
}

#[derive(Debug, Serialize)]
struct Sources {
    symbols: [Source; 1],
    types: [Source; 1],
}

/// The object of the case that something was made from.
#[derive(Debug, Serialize)]
struct Source {
    name: &'static str,
    hash_type: &'static str,
    hash_value: String,
}

/// An integer, a floating-point number, or nothing.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Base {
    size: u32,
    signed: bool,
    kind: &'static str,
    endian: &'static str,
}

/// A structure or union.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(crate) struct User<'a> {
    size: u32,
    kind: &'static str,
    fields: BTreeMap<Cow<'a, str>, Field<'a>>,
}

#[derive(Debug, PartialEq, Eq, Serialize)]
struct Field<'a> {
    offset: u32,
    #[serde(rename = "type")]
    of: Descriptor<'a>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    anonymous: bool,
}

/// An enumeration.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Enum<'a> {
    size: u32,
    base: &'static str,
    constants: BTreeMap<&'a str, i128>,
}

/// A symbol.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Symbol<'a> {
    address: u64,
    #[serde(rename = "type")]
    of: Descriptor<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    constant_data: Option<String>,
}

/// How a field or a symbol refers to its type.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
enum Descriptor<'a> {
    Base {
        name: Cow<'a, str>,
    },
    Struct {
        name: Cow<'a, str>,
    },
    Union {
        name: Cow<'a, str>,
    },
    Enum {
        name: Cow<'a, str>,
    },
    Pointer {
        subtype: Box<Descriptor<'a>>,
    },
    Array {
        count: u64,
        subtype: Box<Descriptor<'a>>,
    },
    Bitfield {
        bit_position: u32,
        bit_length: u32,
        #[serde(rename = "type")]
        of: Box<Descriptor<'a>>,
    },
    Function,
}

impl Descriptor<'_> {
    fn void() -> Self {
        Self::Base { name: Cow::Borrowed("void") }
    }
}

/// The objects of the case that a symbol file is made from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Files<'a> {
    pub(crate) btf: &'a [u8],
    pub(crate) kallsyms: &'a [u8],
    /// The line that stands in the kernel's memory too, with its end of line.
    pub(crate) banner: &'a [u8],
}

impl<'a> Isf<'a> {
    /// Puts it together.
    pub(crate) fn build(btf: &'a Btf<'a>, kallsyms: &Kallsyms<'a>, files: Files<'_>) -> Result<Self, IsfError> {
        let mut builder = Builder { btf, names: names(btf), left: MOST_REFERENCES };
        let (base_types, enums) = (builder.bases(), builder.enums());
        let user_types = builder.users()?;
        if !user_types.contains_key("task_struct") {
            return Err(IsfError::Lacks("struct task_struct"));
        }
        let mut symbols = builder.symbols(kallsyms, &base_types, &user_types)?;
        let banner = [files.banner, &[0]].concat();
        if let Some(symbol) = symbols.get_mut("linux_banner") {
            let count = u64::try_from(banner.len()).unwrap_or_default();
            symbol.of = Descriptor::Array { count, subtype: Box::new(Descriptor::Base { name: "char".into() }) };
            symbol.constant_data = Some(base64::encode(banner));
        }
        let source = |name, bytes: &[u8]| Source { name, hash_type: "sha256", hash_value: sha256(bytes) };
        let linux = Sources { symbols: [source("memory/kallsyms", files.kallsyms)], types: [source("memory/btf", files.btf)] };
        let producer = Producer { name: "cordon", version: env!("CARGO_PKG_VERSION") };
        Ok(Self { metadata: Metadata { format: "6.2.0", producer, linux }, base_types, user_types, enums, symbols })
    }
}

/// What each structure, union and enumeration is called, by its number: the file knows types by name alone.
///
/// Where several have one name (drivers do that), the first that has content keeps it, and the others get their number.
fn names<'a>(btf: &'a Btf<'a>) -> Vec<Cow<'a, str>> {
    let has_content = |kind: &Kind<'_>| match kind {
        Kind::Composite { members, .. } => !members.is_empty(),
        Kind::Enum { values, .. } => !values.is_empty(),
        _ => false,
    };
    let full: HashSet<&str> = btf.types.iter().filter(|one| has_content(&one.kind)).map(|one| one.name).collect();
    let mut taken = HashSet::new();
    let name = |(id, one): (usize, &'a Type<'a>)| match &one.kind {
        Kind::Composite { .. } | Kind::Enum { .. } | Kind::Int { .. } | Kind::Float { .. } if one.name.is_empty() => {
            Cow::Owned(format!("unnamed_{id}"))
        }
        Kind::Composite { .. } | Kind::Enum { .. }
            if (has_content(&one.kind) || !full.contains(one.name)) && !taken.insert(one.name) =>
        {
            Cow::Owned(format!("{}_{id}", one.name))
        }
        _ => Cow::Borrowed(one.name),
    };
    btf.types.iter().enumerate().map(name).collect()
}

struct Builder<'a> {
    btf: &'a Btf<'a>,
    names: Vec<Cow<'a, str>>,
    /// How many references may still be made.
    left: usize,
}

impl<'a> Builder<'a> {
    fn named(&self) -> impl Iterator<Item = (Cow<'a, str>, &'a Type<'a>)> + '_ {
        self.names.iter().cloned().zip(&self.btf.types)
    }

    fn name(&self, id: u32) -> Cow<'a, str> {
        usize::try_from(id).ok().and_then(|id| self.names.get(id)).cloned().unwrap_or_default()
    }

    fn bases(&self) -> BTreeMap<Cow<'a, str>, Base> {
        let base = |size, signed, kind| Base { size, signed, kind, endian: "little" };
        let own =
            [("void", base(0, false, "void")), ("pointer", base(POINTER_BYTES, false, "int")), ("char", base(1, true, "char"))];
        let mut bases: BTreeMap<Cow<'a, str>, Base> = own.into_iter().map(|(name, base)| (name.into(), base)).collect();
        for (name, one) in self.named() {
            match &one.kind {
                Kind::Int { size, encoding, .. } => {
                    let char = encoding.char || matches!(&*name, "char" | "signed char" | "unsigned char");
                    let kind = if encoding.bool {
                        "bool"
                    } else if char {
                        "char"
                    } else {
                        "int"
                    };
                    bases.entry(name).or_insert_with(|| base(*size, encoding.signed, kind));
                }
                Kind::Float { size } => {
                    bases.entry(name).or_insert_with(|| base(*size, true, "float"));
                }
                _ => {}
            }
        }
        for (name, size, signed) in ENUM_BASES {
            let kind = if name.ends_with("char") { "char" } else { "int" };
            bases.entry(name.into()).or_insert_with(|| base(size, signed, kind));
        }
        bases
    }

    fn enums(&self) -> BTreeMap<Cow<'a, str>, Enum<'a>> {
        let mut enums = BTreeMap::new();
        for (name, one) in self.named() {
            if let Kind::Enum { size, signed, values } = &one.kind {
                let fits = |base: &&(&str, u32, bool)| base.1 == *size && base.2 == *signed;
                let Some((base, _, _)) = ENUM_BASES.iter().find(fits) else { continue };
                let made = || Enum { size: *size, base, constants: values.iter().copied().collect() };
                if values.is_empty() {
                    enums.entry(name).or_insert_with(made);
                } else {
                    enums.insert(name, made());
                }
            }
        }
        enums
    }

    fn users(&mut self) -> Result<BTreeMap<Cow<'a, str>, User<'a>>, IsfError> {
        let kind = |union: bool| if union { "union" } else { "struct" };
        let mut users: BTreeMap<Cow<'a, str>, User<'a>> = BTreeMap::new();
        let btf = self.btf;
        for (id, one) in (0_u32..).zip(&btf.types) {
            let user = match &one.kind {
                Kind::Composite { union, size, members } => {
                    User { size: *size, kind: kind(*union), fields: self.fields(members)? }
                }
                Kind::Forward { union } => User { size: 0, kind: kind(*union), fields: BTreeMap::new() },
                _ => continue,
            };
            let known = users.entry(self.name(id)).or_insert(User { size: 0, kind: user.kind, fields: BTreeMap::new() });
            if known.fields.is_empty() && (known.size == 0 || !user.fields.is_empty()) {
                *known = user;
            }
        }
        Ok(users)
    }

    fn fields(&mut self, members: &[Member<'a>]) -> Result<BTreeMap<Cow<'a, str>, Field<'a>>, IsfError> {
        let mut fields = BTreeMap::new();
        for (number, member) in members.iter().enumerate() {
            let Some((offset, of)) = self.place(member)? else { continue };
            let anonymous = member.name.is_empty();
            let name = if anonymous { format!("unnamed_field_{number}").into() } else { Cow::Borrowed(member.name) };
            fields.entry(name).or_insert(Field { offset, of, anonymous });
        }
        Ok(fields)
    }

    /// Where a member is, in bytes, and what. A bit field that no unit of its own type holds cannot be said in this format.
    fn place(&mut self, member: &Member<'a>) -> Result<Option<(u32, Descriptor<'a>)>, IsfError> {
        let of = self.describe(member.of, 0)?;
        let target = self.target(member.of)?;
        let (mut offset, mut bits) = (member.offset, member.bits);
        let width = match target.map(|one| &one.kind) {
            Some(Kind::Int { size, offset: inner, bits: narrow, .. }) => {
                let width = size.saturating_mul(8);
                if bits == 0 && *narrow < width {
                    (offset, bits) = (offset.saturating_add(*inner), *narrow);
                }
                width
            }
            Some(Kind::Enum { size, .. }) => size.saturating_mul(8),
            _ => 0,
        };
        if bits == 0 {
            return Ok(Some((offset / 8, of)));
        }
        // In the units of its type as compilers lay it out, else (in packed structures) from the byte that it begins in.
        let units = [offset.checked_div(width).map(|unit| unit * width), Some(offset / 8 * 8)];
        let holds = |begin: &u32| offset - begin + bits <= width;
        Ok(units
            .into_iter()
            .flatten()
            .find(holds)
            .map(|begin| (begin / 8, Descriptor::Bitfield { bit_position: offset - begin, bit_length: bits, of: Box::new(of) })))
    }

    /// The type behind typedefs and qualifiers.
    fn target(&self, id: u32) -> Result<Option<&'a Type<'a>>, IsfError> {
        let mut at = id;
        for _ in 0..DEEPEST {
            match self.btf.get(at) {
                Some(Type { kind: Kind::Alias(to), .. }) => at = *to,
                other => return Ok(other),
            }
        }
        Err(IsfError::Deep(id))
    }

    fn describe(&mut self, id: u32, depth: u32) -> Result<Descriptor<'a>, IsfError> {
        if depth > DEEPEST {
            return Err(IsfError::Deep(id));
        }
        self.left = self.left.checked_sub(1).ok_or(IsfError::TooMany)?;
        let btf = self.btf;
        Ok(match btf.get(id).map(|one| &one.kind) {
            Some(Kind::Int { .. } | Kind::Float { .. }) => Descriptor::Base { name: self.name(id) },
            Some(Kind::Pointer(to)) => Descriptor::Pointer { subtype: Box::new(self.describe(*to, depth + 1)?) },
            Some(Kind::Array { element, count }) => {
                Descriptor::Array { count: u64::from(*count), subtype: Box::new(self.describe(*element, depth + 1)?) }
            }
            Some(Kind::Composite { union: false, .. } | Kind::Forward { union: false }) => {
                Descriptor::Struct { name: self.name(id) }
            }
            Some(Kind::Composite { union: true, .. } | Kind::Forward { union: true }) => {
                Descriptor::Union { name: self.name(id) }
            }
            Some(Kind::Enum { .. }) => Descriptor::Enum { name: self.name(id) },
            Some(Kind::Alias(to)) => self.describe(*to, depth + 1)?,
            Some(Kind::Function) => Descriptor::Function,
            Some(Kind::Void | Kind::Variable(_) | Kind::Other) | None => Descriptor::void(),
        })
    }

    fn symbols(
        &mut self,
        kallsyms: &Kallsyms<'a>,
        bases: &BTreeMap<Cow<'a, str>, Base>,
        users: &BTreeMap<Cow<'a, str>, User<'a>>,
    ) -> Result<BTreeMap<&'a str, Symbol<'a>>, IsfError> {
        let untyped = |(name, address): (&&'a str, &u64)| {
            (*name, Symbol { address: *address, of: Descriptor::void(), constant_data: None })
        };
        let mut symbols: BTreeMap<&'a str, Symbol<'a>> = kallsyms.symbols.iter().map(untyped).collect();
        for (name, shape) in KNOWN {
            if let Some(symbol) = symbols.get_mut(name) {
                let room = kallsyms.room(name).unwrap_or_default();
                symbol.of = shaped(shape, room, bases, users).unwrap_or_else(Descriptor::void);
            }
        }
        let btf = self.btf;
        for one in &btf.types {
            if let (Kind::Variable(of), Some(symbol)) = (&one.kind, symbols.get_mut(one.name)) {
                symbol.of = self.describe(*of, 0)?;
            }
        }
        Ok(symbols)
    }
}

/// The type of a known symbol, if this kernel has it. `room` is in bytes.
fn shaped<'a>(
    shape: &Shape,
    room: u64,
    bases: &BTreeMap<Cow<'a, str>, Base>,
    users: &BTreeMap<Cow<'a, str>, User<'a>>,
) -> Option<Descriptor<'a>> {
    let inner = |shape| Some(Box::new(shaped(shape, room, bases, users)?));
    Some(match shape {
        Shape::Struct(name) => Descriptor::Struct { name: users.get_key_value(*name)?.0.clone() },
        Shape::With(members) => {
            let has_all = |user: &User<'_>| {
                members.len() == user.fields.len() && members.iter().all(|name| user.fields.contains_key(*name))
            };
            Descriptor::Struct { name: users.iter().find(|(_, user)| has_all(user))?.0.clone() }
        }
        Shape::Base(name) => Descriptor::Base { name: bases.get_key_value(*name)?.0.clone() },
        Shape::Pointer(to) => Descriptor::Pointer { subtype: inner(to)? },
        Shape::Array(count, of) => Descriptor::Array { count: u64::from(*count), subtype: inner(of)? },
        Shape::Fill(of) => {
            let subtype = inner(of)?;
            let size = match &*subtype {
                Descriptor::Struct { name } => users.get(name)?.size,
                Descriptor::Base { name } => bases.get(name)?.size,
                _ => POINTER_BYTES,
            };
            Descriptor::Array { count: room.checked_div(u64::from(size))?.min(MOST_FILLED), subtype }
        }
    })
}

/// The integers that enumerations are made of: name, size in bytes, whether signed.
const ENUM_BASES: [(&str, u32, bool); 8] = [
    ("unsigned char", 1, false),
    ("short unsigned int", 2, false),
    ("unsigned int", 4, false),
    ("long unsigned int", 8, false),
    ("signed char", 1, true),
    ("short int", 2, true),
    ("int", 4, true),
    ("long int", 8, true),
];

#[cfg(test)]
mod tests {
    use super::super::made::{Made, bits, kernel};
    use super::*;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    const LIST: &str = "ffffffff91000000 T _text\nffffffff92000000 D init_task\nffffffff92000080 D cap_last_cap\n\
                        ffffffff92000090 d __start___tracepoints_ptrs\nffffffff92000098 D taint_flags\nffffffff920000a0 D linux_banner\n0000000000001000 A current_task\n";
    const BANNER: &[u8] = b"Linux version 6.1.0 (b@h) (cc) #1 SMP\n";

    fn built(btf: &[u8]) -> Result<Value, IsfError> {
        let btf = Btf::parse(btf).expect("the test's own BTF is read");
        let kallsyms = Kallsyms::parse(LIST.as_bytes()).unwrap();
        let files = Files { btf: b"b", kallsyms: b"k", banner: BANNER };
        Isf::build(&btf, &kallsyms, files).map(|isf| serde_json::to_value(isf).unwrap())
    }

    #[test]
    fn a_kernel_is_described() {
        let isf = built(&kernel().bytes()).unwrap();
        let base = |name: &str| json!({"kind": "base", "name": name});
        let cases = [
            ("/metadata/format", json!("6.2.0")),
            ("/metadata/linux/symbols/0/hash_value", json!(sha256(b"k"))),
            ("/metadata/linux/types/0/hash_value", json!(sha256(b"b"))),
            ("/base_types/int", json!({"size": 4, "signed": true, "kind": "int", "endian": "little"})),
            ("/base_types/_Bool/kind", json!("bool")),
            ("/base_types/double/kind", json!("float")),
            ("/base_types/pointer/size", json!(8)),
            ("/base_types/unsigned int/signed", json!(false)),
            ("/enums/state", json!({"size": 4, "base": "int", "constants": {"RUNNING": 0, "DEAD": -1}})),
            ("/enums/wide/constants/HUGE", json!(0x8000_0000_0000_0005_u64)),
            ("/user_types/cred", json!({"size": 0, "kind": "struct", "fields": {}})),
            ("/user_types/unnamed_15/kind", json!("union")),
            ("/user_types/task_struct/size", json!(96)),
            ("/user_types/task_struct/fields/pid", json!({"offset": 4, "type": base("int")})),
            ("/user_types/task_struct/fields/comm/type", json!({"kind": "array", "count": 16, "subtype": base("char")})),
            (
                "/user_types/task_struct/fields/unnamed_field_3",
                json!({"offset": 24, "type": {"kind": "union", "name": "unnamed_15"}, "anonymous": true}),
            ),
            (
                "/user_types/task_struct/fields/high",
                json!({"offset": 32, "type": {"kind": "bitfield", "bit_position": 3, "bit_length": 5, "type": base("int")}}),
            ),
            ("/user_types/task_struct/fields/far/offset", json!(36)),
            ("/user_types/task_struct/fields/exit/type", json!({"kind": "pointer", "subtype": {"kind": "function"}})),
            (
                "/user_types/task_struct/fields/cred/type",
                json!({"kind": "pointer", "subtype": {"kind": "struct", "name": "cred"}}),
            ),
            ("/user_types/task_struct/fields/path/type", json!({"kind": "pointer", "subtype": base("char")})),
            ("/user_types/task_struct/fields/state/type", json!({"kind": "enum", "name": "state"})),
            (
                "/symbols/init_task",
                json!({"address": 0xffff_ffff_8200_0000_u64, "type": {"kind": "struct", "name": "task_struct"}}),
            ),
            ("/symbols/cap_last_cap/type", base("int")),
            ("/symbols/taint_flags/type", base("void")),
            ("/symbols/_text/type", base("void")),
            ("/symbols/current_task", json!({"address": 0x1000, "type": {"kind": "struct", "name": "task_struct"}})),
            ("/symbols/linux_banner/constant_data", json!(base64::encode([BANNER, &[0]].concat()))),
            ("/symbols/linux_banner/type/count", json!(BANNER.len() + 1)),
        ];
        for (pointer, expected) in cases {
            assert_eq!(isf.pointer(pointer), Some(&expected), "{pointer}");
        }
    }

    #[test]
    fn types_of_one_name_are_kept_apart() {
        let mut made = kernel();
        made.add("info", 7, false, 0, 0, &[]);
        let first = made.composite("info", 4, false, 4, &[("a", 1, 0)]);
        let second = made.composite("info", 4, false, 8, &[("b", 2, 0)]);
        made.composite("both", 4, false, 12, &[("first", first, 0), ("second", second, 32)]);
        let isf = built(&made.bytes()).unwrap();
        let fields = isf.pointer("/user_types/both/fields").unwrap();
        assert_eq!(fields.pointer("/first/type/name"), Some(&json!("info")));
        assert_eq!(fields.pointer("/second/type/name"), Some(&json!(format!("info_{second}"))));
        assert!(isf.pointer("/user_types/info/fields/a").is_some(), "the declaration must not hide the definition");
        assert!(isf.pointer(&format!("/user_types/info_{second}/fields/b")).is_some());
    }

    #[test]
    fn an_array_of_unknown_length_fills_the_room_until_the_next_symbol() {
        let isf = built(&kernel().bytes()).unwrap();
        assert_eq!(isf.pointer("/symbols/__start___tracepoints_ptrs/type/count"), Some(&json!(2)), "8 bytes of 4 each");
    }

    #[test]
    fn a_bit_field_that_no_unit_holds_is_left_out_and_its_neighbours_are_not() {
        let mut made = kernel();
        let nibble = made.add("nibble", 1, false, 0, 4, &[(4 << 16) | 3]);
        let members = [("a", 1, bits(30, 0)), ("b", 1, bits(4, 30)), ("c", 1, bits(32, 34)), ("old", nibble, 96)];
        made.composite("packed", 4, true, 16, &members);
        let isf = built(&made.bytes()).unwrap();
        let field = |name: &str| isf.pointer(&format!("/user_types/packed/fields/{name}"));
        assert_eq!(field("b").unwrap().pointer("/offset"), Some(&json!(3)), "from the byte that it begins in");
        assert!(field("a").is_some() && field("c").is_none(), "bits 34 to 65 do not fit into 32 from any byte on");
        let old = field("old").unwrap();
        assert_eq!((old.pointer("/type/bit_position"), old.pointer("/type/bit_length")), (Some(&json!(4)), Some(&json!(3))));
    }

    #[test]
    fn circles_and_masses_are_refused() {
        let mut circle = kernel();
        circle.add("self", 8, false, 0, 25, &[]);
        circle.composite("s", 4, false, 8, &[("m", 25, 0)]);
        assert_eq!(built(&circle.bytes()).unwrap_err(), IsfError::Deep(25));

        let mut pointers = kernel();
        pointers.add("", 2, false, 0, 25, &[]);
        pointers.composite("s", 4, false, 8, &[("m", 25, 0)]);
        assert_eq!(built(&pointers.bytes()).unwrap_err(), IsfError::Deep(25));

        let mut masses = kernel();
        let mut of = 1;
        for _ in 0..30 {
            of = masses.add("", 2, false, 0, of, &[]);
        }
        let members: Vec<(&str, u32, u32)> = vec![("m", of, 0); 0xffff];
        masses.composite("s", 4, false, 8, &members);
        masses.composite("t", 4, false, 8, &members);
        masses.composite("u", 4, false, 8, &members);
        assert_eq!(built(&masses.bytes()).unwrap_err(), IsfError::TooMany);

        let mut no_kernel = Made::new();
        no_kernel.int("int", 4, 1);
        assert!(matches!(built(&no_kernel.bytes()), Err(IsfError::Lacks(_))));
    }

    proptest! {
        #[test]
        fn whatever_is_read_can_be_written(changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6)) {
            let mut bytes = kernel().bytes();
            for (at, byte) in changes {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
            let Ok(btf) = Btf::parse(&bytes) else { return Ok(()) };
            let kallsyms = Kallsyms::parse(LIST.as_bytes()).unwrap();
            if let Ok(isf) = Isf::build(&btf, &kallsyms, Files { btf: &bytes, kallsyms: b"", banner: BANNER }) {
                prop_assert!(serde_json::to_vec(&isf).is_ok());
            }
        }
    }
}
