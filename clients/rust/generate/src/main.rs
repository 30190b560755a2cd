//! Generates the Rust code of the contract. `make generate` calls it, from the root of the repository:
//!
//! ```sh
//! cargo run --locked --manifest-path clients/rust/generate/Cargo.toml -- THIN_IMAGE OUT_FOLDER
//! ```
//!
//! THIN_IMAGE is a `FileDescriptorSet` with comments: the contract without custom options, and its imports. The program
//! creates OUT_FOLDER if it is missing, and writes `celeste.image.v1.rs` there. It leaves other files alone. Types of
//! `google.rpc` come from the crate `tonic-types`, well-known types from `prost-types`.

use std::{env, error::Error, ffi::OsString, fs, path::PathBuf, process::ExitCode};

use prost::Message;
use prost_types::FileDescriptorSet;

fn generate(image: PathBuf, out: PathBuf) -> Result<(), Box<dyn Error>> {
    let files = FileDescriptorSet::decode(fs::read(image)?.as_slice())?;
    fs::create_dir_all(&out)?;
    tonic_prost_build::configure()
        .build_server(false)
        .bytes(".")
        .extern_path(".google.rpc", "::tonic_types::pb")
        .out_dir(out)
        .compile_fds(files)?;
    Ok(())
}

fn main() -> ExitCode {
    let arguments: Vec<OsString> = env::args_os().skip(1).collect();
    let [image, out] = arguments.as_slice() else {
        eprintln!("usage: generate THIN_IMAGE OUT_FOLDER");
        return ExitCode::from(2);
    };
    match generate(image.into(), out.into()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("generate: {error}");
            ExitCode::FAILURE
        }
    }
}
