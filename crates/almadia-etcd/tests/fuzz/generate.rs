//! Messages by the protocol files: mostly of the right shape, with values that matter and values that nobody expects, and now
//! and then with damaged bytes.

use std::collections::BTreeMap;
use std::path::Path;

/// Messages inside each other at most; the product reads no deeper than 100.
const DEPTH_MAX: u32 = 12;

/// Of a hundred messages, so many have damaged bytes.
const DAMAGED_PERCENT: u64 = 10;

/// The numbers of protobuf's field types, as its descriptors have them.
mod kind {
    pub const DOUBLE: i32 = 1;
    pub const FLOAT: i32 = 2;
    pub const FIXED64: i32 = 6;
    pub const FIXED32: i32 = 7;
    pub const BOOL: i32 = 8;
    pub const STRING: i32 = 9;
    pub const MESSAGE: i32 = 11;
    pub const BYTES: i32 = 12;
    pub const SFIXED32: i32 = 15;
    pub const SFIXED64: i32 = 16;
}

/// Repeated, as descriptors have it.
const REPEATED: i32 = 3;

/// Numbers that make a difference somewhere.
const NUMBERS: [i64; 18] = [
    0,
    1,
    2,
    3,
    4,
    5,
    7,
    10,
    100,
    127,
    128,
    1 << 31,
    (1 << 31) - 1,
    -1,
    -2,
    i64::MAX,
    i64::MIN,
    9_000_000_001,
];

/// Few keys, so that requests meet each other, and odd ones.
const KEYS: [&[u8]; 12] = [
    b"",
    b"\0",
    b"a",
    b"b",
    b"c",
    b"k",
    b"k/1",
    b"root",
    b"3.6.0",
    b"http://127.0.0.1:1",
    b"\xff\xff",
    b"a\0b",
];

/// A stream of numbers from a seed (SplitMix64).
pub struct Chance(u64);

impl Chance {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    /// 0 to `bound` - 1.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.draw() % bound
    }

    fn is_lucky(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }
}

/// A method.
#[derive(Clone)]
pub struct Method {
    pub path: String,
    pub input: String,
    pub takes_stream: bool,
}

struct Field {
    number: u64,
    kind: i32,
    is_repeated: bool,
    /// The name of its message.
    message: String,
}

/// What the protocol files say.
pub struct Protocol {
    messages: BTreeMap<String, Vec<Field>>,
    methods: BTreeMap<String, Vec<Method>>,
}

impl Protocol {
    pub fn read() -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../proto");
        let files = [
            "etcdserverpb/rpc.proto",
            "v3lockpb/v3lock.proto",
            "v3electionpb/v3election.proto",
        ];
        let set = protox::compile(files, [root]).expect("the protocol files are right");
        let (mut messages, mut methods) = (BTreeMap::new(), BTreeMap::new());
        for file in &set.file {
            let package = file.package();
            for message in &file.message_type {
                let fields = message.field.iter().map(|field| Field {
                    number: u64::try_from(field.number()).expect("field numbers are positive"),
                    kind: field.r#type.unwrap_or(0),
                    is_repeated: field.label == Some(REPEATED),
                    message: field.type_name().trim_start_matches('.').to_owned(),
                });
                messages.insert(format!("{package}.{}", message.name()), fields.collect());
            }
            for service in &file.service {
                let name = format!("{package}.{}", service.name());
                let of_service = service.method.iter().map(|method| Method {
                    path: format!("/{name}/{}", method.name()),
                    input: method.input_type().trim_start_matches('.').to_owned(),
                    takes_stream: method.client_streaming(),
                });
                methods.insert(name.clone(), of_service.collect());
            }
        }
        Self { messages, methods }
    }

    pub fn methods_of(&self, service: &str) -> Vec<Method> {
        self.methods.get(service).cloned().unwrap_or_default()
    }

    /// One message of this name.
    pub fn message(&self, name: &str, chance: &mut Chance) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.put(name, chance, 0, &mut bytes);
        if chance.is_lucky(DAMAGED_PERCENT) {
            damage(&mut bytes, chance);
        }
        bytes
    }

    fn put(&self, name: &str, chance: &mut Chance, depth: u32, into: &mut Vec<u8>) {
        let fields = self.messages.get(name).map_or(&[][..], Vec::as_slice);
        // Small messages are as telling as full ones.
        let filled = [15, 40, 80][chance.below(3) as usize];
        for field in fields {
            let count = match field.is_repeated {
                true => chance.below(4),
                false => 1,
            };
            for _ in 0..count {
                if chance.is_lucky(filled) {
                    self.put_field(field, chance, depth, into);
                }
            }
        }
    }

    fn put_field(&self, field: &Field, chance: &mut Chance, depth: u32, into: &mut Vec<u8>) {
        match field.kind {
            kind::MESSAGE if depth >= DEPTH_MAX => {}
            kind::MESSAGE => {
                let mut inner = Vec::new();
                self.put(&field.message, chance, depth + 1, &mut inner);
                put_bytes(field.number, &inner, into);
            }
            kind::BYTES | kind::STRING => {
                let mut key = KEYS[chance.below(KEYS.len() as u64) as usize];
                if field.kind == kind::STRING && std::str::from_utf8(key).is_err() && !chance.is_lucky(5) {
                    key = b"a";
                }
                put_bytes(field.number, key, into);
            }
            kind::FIXED64 | kind::SFIXED64 | kind::DOUBLE => {
                put_varint(field.number << 3 | 1, into);
                into.extend_from_slice(&number(chance).to_le_bytes());
            }
            kind::FIXED32 | kind::SFIXED32 | kind::FLOAT => {
                put_varint(field.number << 3 | 5, into);
                into.extend_from_slice(&number(chance).to_le_bytes()[..4]);
            }
            kind::BOOL => {
                put_varint(field.number << 3, into);
                put_varint(chance.below(2), into);
            }
            _ => {
                put_varint(field.number << 3, into);
                put_varint(number(chance), into);
            }
        }
    }
}

fn number(chance: &mut Chance) -> u64 {
    if chance.is_lucky(3) {
        return chance.draw();
    }
    NUMBERS[chance.below(NUMBERS.len() as u64) as usize].cast_unsigned()
}

fn put_bytes(number: u64, bytes: &[u8], into: &mut Vec<u8>) {
    put_varint(number << 3 | 2, into);
    put_varint(bytes.len() as u64, into);
    into.extend_from_slice(bytes);
}

fn put_varint(mut number: u64, into: &mut Vec<u8>) {
    while number >= 0x80 {
        into.push(number as u8 | 0x80);
        number >>= 7;
    }
    into.push(number as u8);
}

fn damage(bytes: &mut Vec<u8>, chance: &mut Chance) {
    for _ in 0..=chance.below(3) {
        let at = chance.below(bytes.len() as u64 + 1) as usize;
        match chance.below(4) {
            0 => bytes.truncate(at),
            1 => bytes.insert(at, chance.draw() as u8),
            2 if at < bytes.len() => bytes[at] ^= 1 << chance.below(8),
            2 => {}
            _ => bytes.splice(at..at, [0xff; 11]).for_each(drop),
        }
    }
}
