//! BTF made by hand, for tests: what a small kernel would say of itself, with every kind of type in it.

/// BTF while it is being put together.
pub(crate) struct Made {
    types: Vec<u8>,
    strings: Vec<u8>,
    count: u32,
}

impl Made {
    pub(crate) fn new() -> Self {
        Self { types: Vec::new(), strings: vec![0], count: 0 }
    }

    /// The offset of a name among the strings.
    pub(crate) fn name(&mut self, name: &str) -> u32 {
        if name.is_empty() {
            return 0;
        }
        let at = u32::try_from(self.strings.len()).unwrap();
        self.strings.extend(name.bytes().chain([0]));
        at
    }

    /// Adds a type, with the words that its kind has behind the first three; gives its number.
    pub(crate) fn add(&mut self, name: &str, kind: u32, flag: bool, entries: u32, word: u32, more: &[u32]) -> u32 {
        let name = self.name(name);
        let info = (u32::from(flag) << 31) | (kind << 24) | entries;
        self.types.extend([name, info, word].iter().chain(more).flat_map(|word| word.to_le_bytes()));
        self.count += 1;
        self.count
    }

    /// Adds an integer; `encoding` is 1 for signed, 2 for char, 4 for bool.
    pub(crate) fn int(&mut self, name: &str, size: u32, encoding: u32) -> u32 {
        self.add(name, 1, false, 0, size, &[(encoding << 24) | (size * 8)])
    }

    /// Adds a structure (4) or union (5) whose members are name, type and place.
    pub(crate) fn composite(&mut self, name: &str, kind: u32, flag: bool, size: u32, members: &[(&str, u32, u32)]) -> u32 {
        let words: Vec<u32> = members.iter().flat_map(|(name, of, place)| [self.name(name), *of, *place]).collect();
        self.add(name, kind, flag, u32::try_from(members.len()).unwrap(), size, &words)
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        let (types, strings) = (u32::try_from(self.types.len()).unwrap(), u32::try_from(self.strings.len()).unwrap());
        let header = [0x0001_eb9f, 24, 0, types, types, strings];
        header.iter().flat_map(|word| word.to_le_bytes()).chain(self.types.clone()).chain(self.strings.clone()).collect()
    }
}

/// The place of a bit field of so many bits, in a structure whose flag says that it has some.
pub(crate) fn bits(length: u32, offset: u32) -> u32 {
    (length << 24) | offset
}

/// A kernel with one type of each kind: 24 types, so that the next one added is number 25.
pub(crate) fn kernel() -> Made {
    let mut made = Made::new();
    let int = made.int("int", 4, 1);
    let long = made.int("long unsigned int", 8, 0);
    let char = made.int("char", 1, 2);
    let bool = made.int("_Bool", 1, 4);
    let float = made.add("double", 16, false, 0, 8, &[]);
    let comm = made.add("", 3, false, 0, 0, &[char, int, 16]);
    let constant = made.add("", 10, false, 0, char, &[]);
    let text = made.add("", 2, false, 0, constant, &[]);
    let parameter = [made.name("code"), int];
    let prototype = made.add("", 13, false, 1, 0, &parameter);
    let callback = made.add("", 2, false, 0, prototype, &[]);
    let values = [made.name("RUNNING"), 0, made.name("DEAD"), u32::MAX];
    let state = made.add("state", 6, true, 2, 4, &values);
    let value = [made.name("HUGE"), 5, 0x8000_0000];
    let wide = made.add("wide", 19, false, 1, 8, &value);
    let forward = made.add("cred", 7, false, 0, 0, &[]);
    let cred = made.add("", 2, false, 0, forward, &[]);
    let either = made.composite("", 5, false, 8, &[("number", long, 0), ("text", text, 0)]);
    let typedef = made.add("pid_t", 8, false, 0, int, &[]);
    let volatile = made.add("", 9, false, 0, typedef, &[]);
    let restrict = made.add("", 11, false, 0, text, &[]);
    let tag = made.add("user", 18, false, 0, int, &[]);
    let task = made.composite(
        "task_struct",
        4,
        true,
        96,
        &[
            ("state", state, 0),
            ("pid", volatile, 32),
            ("comm", comm, 64),
            ("", either, 192),
            ("low", int, bits(3, 256)),
            ("high", int, bits(5, 259)),
            ("far", bool, bits(1, 288)),
            ("cred", cred, 320),
            ("exit", callback, 384),
            ("wide", wide, 448),
            ("load", float, 512),
            ("path", restrict, 576),
            ("user", tag, 640),
        ],
    );
    let function = made.add("schedule", 12, false, 1, prototype, &[]);
    let variable = made.add("current_task", 14, false, 0, task, &[1]);
    made.add(".data..percpu", 15, false, 1, 64, &[variable, 0, 8]);
    made.add("kfunc", 17, false, 0, function, &[u32::MAX]);
    made
}
