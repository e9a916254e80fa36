//! Builds the protocol files with a compiler written in Rust, so that no machine needs `protoc`, and lays them down for
//! clients that ask the server what it serves.

use protox::prost::Message;
use protox::prost_reflect::{DescriptorPool, FileDescriptor, MessageDescriptor};
use std::fmt::Write;
use std::path::Path;

const FILES: [&str; 8] = [
    "mvccpb/kv.proto",
    "authpb/auth.proto",
    "etcdserverpb/rpc.proto",
    "v3lockpb/v3lock.proto",
    "v3electionpb/v3election.proto",
    "almadia.proto",
    "grpc/health/v1/health.proto",
    "grpc/reflection/v1/reflection.proto",
];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    // Asked at run time: a build directory that moves to another checkout must not look at the old one's files.
    let root = Path::new(&std::env::var("CARGO_MANIFEST_DIR")?).join("../../proto");
    for file in FILES {
        println!("cargo:rerun-if-changed={}", root.join(file).display());
    }
    let descriptors = protox::compile(FILES, [&root])?;
    let pool = DescriptorPool::from_file_descriptor_set(descriptors.clone())?;
    let described: String = pool.files().map(|file| describe(&file)).collect();
    let out = std::env::var("OUT_DIR")?;
    std::fs::write(
        Path::new(&out).join("described.rs"),
        format!("&[\n{described}]\n"),
    )?;
    tonic_prost_build::configure()
        .bytes(".")
        .emit_rerun_if_changed(false)
        .compile_fds(descriptors)?;
    Ok(())
}

/// A `reflection::Described` as source text.
fn describe(file: &FileDescriptor) -> String {
    let mut services = Vec::new();
    let mut symbols = Vec::new();
    for service in file.services() {
        services.push(service.full_name().to_owned());
        symbols.extend(service.methods().map(|method| method.full_name().to_owned()));
    }
    symbols.extend(services.iter().cloned());
    symbols.extend(file.enums().map(|kind| kind.full_name().to_owned()));
    file.messages().for_each(|message| gather(&message, &mut symbols));
    let needs: Vec<String> = file
        .dependencies()
        .map(|needed| needed.name().to_owned())
        .collect();
    let bytes = file.file_descriptor_proto().encode_to_vec();
    let mut text = String::new();
    let _ = writeln!(
        text,
        "Described {{ name: {:?}, needs: &{needs:?}, services: &{services:?}, symbols: &{symbols:?}, bytes: &{bytes:?} }},",
        file.name()
    );
    text
}

/// The full names that a message declares.
fn gather(message: &MessageDescriptor, symbols: &mut Vec<String>) {
    symbols.push(message.full_name().to_owned());
    symbols.extend(message.fields().map(|field| field.full_name().to_owned()));
    symbols.extend(message.child_enums().map(|kind| kind.full_name().to_owned()));
    message.child_messages().for_each(|child| gather(&child, symbols));
}
