//! From a JSON object to the bytes of a message, guided by the message's descriptor.
//!
//! It reads what etcd's own gateways have read in all their releases: fields by their name in the protocol file or in
//! camel case, 64-bit numbers as strings or numbers, enums by name or number, bytes in either base64 alphabet with or
//! without padding, the members of a choice (`oneof`) flat or inside the object that Go's first gateway put around them
//! (`"TargetUnion"`, `"Request"`). Fields that nobody knows are ignored. It writes as it reads and keeps no tree, so its
//! memory is bounded by the length of the JSON; what the message means is not its business.

use super::choice::same_name;
use base64::Engine;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use prost_reflect::{EnumDescriptor, FieldDescriptor, Kind, MessageDescriptor, OneofDescriptor};
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use std::collections::BTreeSet;
use std::fmt;

const LENIENT: GeneralPurposeConfig = GeneralPurposeConfig::new()
    .with_decode_padding_mode(DecodePaddingMode::Indifferent)
    .with_decode_allow_trailing_bits(true);
const STANDARD: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, LENIENT);
const URL_SAFE: GeneralPurpose = GeneralPurpose::new(&alphabet::URL_SAFE, LENIENT);

/// How values stand in a message's encoding.
const VARINT: u32 = 0;
const LENGTH_DELIMITED: u32 = 2;

/// Beyond this, a number that was written with a point or an exponent may not be the one that was meant.
const EXACT_MAX: f64 = 9_007_199_254_740_992.0;

/// Characters of a wrong value that are shown.
const SHOWN_CHARACTERS: usize = 40;

/// The encoded message that `json` describes.
///
/// # Errors
/// In one line, what is wrong and where.
pub(super) fn message(json: &[u8], kind: &MessageDescriptor) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    let mut reader = serde_json::Deserializer::from_slice(json);
    let seed = MessageSeed {
        kind,
        into: &mut bytes,
    };
    seed.deserialize(&mut reader).map_err(|error| error.to_string())?;
    reader.end().map_err(|error| error.to_string())?;
    Ok(bytes)
}

/// Reads an object as a message.
struct MessageSeed<'a> {
    kind: &'a MessageDescriptor,
    into: &'a mut Vec<u8>,
}

impl<'de> DeserializeSeed<'de> for MessageSeed<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for MessageSeed<'_> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "an object ({})", self.kind.name())
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<(), A::Error> {
        let mut fields = Fields {
            kind: self.kind,
            into: self.into,
            seen: BTreeSet::new(),
        };
        fields.read(map, None)
    }
}

/// The fields of one message while they are read.
struct Fields<'a> {
    kind: &'a MessageDescriptor,
    into: &'a mut Vec<u8>,
    /// Numbers of the fields that stood there.
    seen: BTreeSet<u32>,
}

impl Fields<'_> {
    /// Reads an object's members; inside the object around a choice, only those of that choice.
    fn read<'de, A: MapAccess<'de>>(
        &mut self,
        mut map: A,
        choice: Option<&OneofDescriptor>,
    ) -> Result<(), A::Error> {
        while let Some(name) = map.next_key::<String>()? {
            let field = match choice {
                Some(choice) => choice.fields().find(|field| same_name(field.name(), &name)),
                None => self
                    .kind
                    .get_field_by_name(&name)
                    .or_else(|| self.kind.get_field_by_json_name(&name)),
            };
            if let Some(field) = field {
                self.note::<A::Error>(&field)?;
                let value = ValueSeed {
                    field: &field,
                    into: self.into,
                    is_element: false,
                };
                map.next_value_seed(value)?;
                continue;
            }
            let around = self.kind.oneofs().find(|oneof| same_name(oneof.name(), &name));
            match around.filter(|_| choice.is_none()) {
                Some(choice) => map.next_value_seed(ChoiceSeed {
                    fields: self,
                    choice: &choice,
                })?,
                None => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(())
    }

    /// A field stands once, and one of a choice.
    fn note<E: Error>(&mut self, field: &FieldDescriptor) -> Result<(), E> {
        if !self.seen.insert(field.number()) {
            return Err(E::custom(format!("duplicate field \"{}\"", field.name())));
        }
        let Some(choice) = field.containing_oneof() else {
            return Ok(());
        };
        let other = choice
            .fields()
            .find(|other| other.number() != field.number() && self.seen.contains(&other.number()));
        match other {
            Some(other) => Err(E::custom(format!(
                "\"{}\" and \"{}\" exclude each other",
                other.name(),
                field.name()
            ))),
            None => Ok(()),
        }
    }
}

/// Reads the object around the members of a choice.
struct ChoiceSeed<'a, 'b> {
    fields: &'a mut Fields<'b>,
    choice: &'a OneofDescriptor,
}

impl<'de> DeserializeSeed<'de> for ChoiceSeed<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for ChoiceSeed<'_, '_> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "an object with one member of \"{}\"",
            self.choice.name()
        )
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<(), A::Error> {
        self.fields.read(map, Some(self.choice))
    }
}

/// Reads the value of a field, or an element of it.
struct ValueSeed<'a> {
    field: &'a FieldDescriptor,
    into: &'a mut Vec<u8>,
    is_element: bool,
}

impl<'de> DeserializeSeed<'de> for ValueSeed<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl ValueSeed<'_> {
    fn takes_list(&self) -> bool {
        self.field.is_list() && !self.is_element
    }

    fn wrong<E: Error>(&self, value: impl fmt::Display) -> E {
        let value: String = value.to_string().chars().take(SHOWN_CHARACTERS).collect();
        E::custom(format!(
            "invalid value for field \"{}\": {value}",
            self.field.name()
        ))
    }

    fn key(&mut self, wire_type: u32) {
        put_varint(self.into, u64::from(self.field.number() << 3 | wire_type));
    }

    fn put_number<E: Error>(mut self, number: i128) -> Result<(), E> {
        let bits = match self.field.kind() {
            _ if self.takes_list() => None,
            Kind::Int64 => i64::try_from(number).ok().map(i64::cast_unsigned),
            Kind::Uint64 => u64::try_from(number).ok(),
            Kind::Uint32 => u32::try_from(number).ok().map(u64::from),
            // Negative ones are laid down as the 64-bit number they are.
            Kind::Int32 | Kind::Enum(_) => i32::try_from(number)
                .ok()
                .map(|number| i64::from(number).cast_unsigned()),
            _ => None,
        };
        let bits = bits.ok_or_else(|| self.wrong(number))?;
        self.key(VARINT);
        put_varint(self.into, bits);
        Ok(())
    }

    fn put_bytes(mut self, bytes: &[u8]) {
        self.key(LENGTH_DELIMITED);
        put_varint(self.into, bytes.len() as u64);
        self.into.extend_from_slice(bytes);
    }
}

impl<'de> Visitor<'de> for ValueSeed<'_> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.field.kind() {
            _ if self.takes_list() => "a list",
            Kind::Bool => "true or false",
            Kind::String => "a string",
            Kind::Bytes => "bytes in base64",
            Kind::Message(_) => "an object",
            Kind::Enum(_) => "a name or number",
            _ => "a number",
        };
        write!(formatter, "{what} for field \"{}\"", self.field.name())
    }

    /// `null` is what a field has that is not there; a list has no such elements.
    fn visit_unit<E: Error>(self) -> Result<(), E> {
        if self.is_element {
            return Err(self.wrong("null"));
        }
        Ok(())
    }

    fn visit_bool<E: Error>(mut self, value: bool) -> Result<(), E> {
        if self.takes_list() || self.field.kind() != Kind::Bool {
            return Err(self.wrong(value));
        }
        self.key(VARINT);
        self.into.push(u8::from(value));
        Ok(())
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<(), E> {
        self.put_number(i128::from(value))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<(), E> {
        self.put_number(i128::from(value))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<(), E> {
        if value.fract() != 0.0 || value.abs() > EXACT_MAX {
            return Err(self.wrong(value));
        }
        // Exact: it is a whole number that a 64-bit float holds.
        self.put_number(value as i128)
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<(), E> {
        match self.field.kind() {
            _ if self.takes_list() => Err(self.wrong(format_args!("\"{value}\""))),
            Kind::String => {
                self.put_bytes(value.as_bytes());
                Ok(())
            }
            Kind::Bytes => {
                let bytes = from_base64(value).ok_or_else(|| self.wrong(format_args!("\"{value}\"")))?;
                self.put_bytes(&bytes);
                Ok(())
            }
            Kind::Enum(kind) => {
                let number =
                    enum_number(&kind, value).ok_or_else(|| self.wrong(format_args!("\"{value}\"")))?;
                self.put_number(i128::from(number))
            }
            _ => {
                let number = value
                    .parse::<i128>()
                    .map_err(|_| self.wrong(format_args!("\"{value}\"")))?;
                self.put_number(number)
            }
        }
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        if !self.takes_list() {
            return Err(self.wrong("a list"));
        }
        loop {
            let element = ValueSeed {
                field: self.field,
                into: &mut *self.into,
                is_element: true,
            };
            if list.next_element_seed(element)?.is_none() {
                return Ok(());
            }
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<(), A::Error> {
        let Kind::Message(kind) = self.field.kind() else {
            return Err(self.wrong("an object"));
        };
        if self.takes_list() {
            return Err(self.wrong("an object"));
        }
        let mut bytes = Vec::new();
        let message = MessageSeed {
            kind: &kind,
            into: &mut bytes,
        };
        message.visit_map(map)?;
        self.put_bytes(&bytes);
        Ok(())
    }
}

fn enum_number(kind: &EnumDescriptor, name: &str) -> Option<i32> {
    kind.get_value_by_name(name).map(|value| value.number())
}

fn from_base64(text: &str) -> Option<Vec<u8>> {
    let engine = if text.contains(['-', '_']) {
        &URL_SAFE
    } else {
        &STANDARD
    };
    engine.decode(text).ok()
}

fn put_varint(into: &mut Vec<u8>, mut bits: u64) {
    while bits >= 0x80 {
        into.push(bits as u8 | 0x80);
        bits >>= 7;
    }
    into.push(bits as u8);
}

#[cfg(test)]
#[path = "read_tests.rs"]
mod tests;
