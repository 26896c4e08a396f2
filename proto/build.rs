//! Compiles the .proto files without protoc.

use std::path::Path;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let files = ["ingest", "tags", "query", "admin"].map(|name| format!("tagus/v1/{name}.proto"));
    println!("cargo:rerun-if-changed=tagus");
    let descriptors = protox::compile(&files, ["."])?;
    let out = std::env::var("OUT_DIR")?;
    std::fs::write(Path::new(&out).join("tagus.bin"), prost_bytes(&descriptors))?;
    tonic_prost_build::configure()
        .bytes(".tagus.v1.SqlResponse")
        .codec_path("crate::codec::BoundedCodec")
        .compile_fds(descriptors)?;
    Ok(())
}

fn prost_bytes(message: &impl prost::Message) -> Vec<u8> {
    message.encode_to_vec()
}
