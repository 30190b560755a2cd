//! Generates the Rust code of the contract. `make generate` calls it, from the root of the repository:
//!
//! ```sh
//! cargo run --locked --manifest-path clients/rust/generate/Cargo.toml -- THIN_IMAGE OUT_FOLDER
//! ```
//!
//! THIN_IMAGE is a `FileDescriptorSet` with comments: the contract without custom options, and its imports. The program
//! creates OUT_FOLDER if it is missing, and writes `celeste.image.v1.rs` there. It leaves other files alone. Types of
//! `google.rpc` come from the crate `tonic-types`, well-known types from `prost-types`.

use std::{env, error::Error, ffi::OsString, fs, path::Path, process::ExitCode};

use prost::Message;
use prost_types::FileDescriptorSet;
use tonic_prost_build::Config;

fn generate(image: &Path, out: &Path) -> Result<(), Box<dyn Error>> {
    let files = FileDescriptorSet::decode(fs::read(image)?.as_slice())?;
    fs::create_dir_all(out)?;
    let mut config = Config::new();
    config.enable_type_names(); // so that details of a status unpack by their type
    tonic_prost_build::configure()
        .build_server(false)
        .bytes(".")
        // New enum values and kinds of events break no client, so a match needs an arm for unknown ones.
        .enum_attribute(".", "#[non_exhaustive]")
        .extern_path(".google.rpc", "::tonic_types::pb")
        .out_dir(out)
        .compile_fds_with_config(files, config)?;
    let contract = out.join("celeste.image.v1.rs");
    let text: String = fs::read_to_string(&contract)?
        .split_inclusive('\n')
        .map(without_escapes)
        .collect();
    fs::write(contract, text)?;
    Ok(())
}

/// Returns a line without the backslashes that prost-build adds to brackets in code spans, where they show.
fn without_escapes(line: &str) -> String {
    if !line.trim_start().starts_with("///") {
        return line.to_owned();
    }
    let spans = line.split('`').enumerate();
    let plain = spans.map(|(index, span)| match index % 2 {
        1 => span.replace("\\[", "[").replace("\\]", "]"),
        _ => span.to_owned(),
    });
    plain.collect::<Vec<_>>().join("`")
}

fn main() -> ExitCode {
    let arguments: Vec<OsString> = env::args_os().skip(1).collect();
    let [image, out] = arguments.as_slice() else {
        eprintln!("usage: generate THIN_IMAGE OUT_FOLDER");
        return ExitCode::from(2);
    };
    match generate(image.as_ref(), out.as_ref()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("generate: {error}");
            ExitCode::FAILURE
        }
    }
}
