//! From the bytes of a message to JSON, by prost-reflect's mapping: names as in the protocol file, bytes in base64, 64-bit
//! numbers as strings, enums by name, what has its default left out; without blanks, as etcd 3.5 prints it.

use bytes::Bytes;
use prost_reflect::{DynamicMessage, MessageDescriptor, SerializeOptions};
use tonic::Status;

const OPTIONS: SerializeOptions = SerializeOptions::new()
    .use_proto_field_name(true)
    .stringify_64_bit_integers(true)
    .skip_default_fields(true);

/// Appends the message as JSON.
///
/// # Errors
/// Only a bug in the edge makes bytes that are not its own message; the client is told, nothing ends.
pub(super) fn message(bytes: Bytes, kind: &MessageDescriptor, into: &mut Vec<u8>) -> Result<(), Status> {
    let wrong =
        |error: &dyn std::fmt::Display| Status::internal(format!("an answer cannot be shown: {error}"));
    let message = DynamicMessage::decode(kind.clone(), bytes).map_err(|error| wrong(&error))?;
    let mut writer = serde_json::Serializer::new(into);
    message
        .serialize_with_options(&mut writer, &OPTIONS)
        .map_err(|error| wrong(&error))
}
