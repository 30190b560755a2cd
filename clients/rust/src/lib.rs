//! Messages and clients of `celeste.image.v1`, the API of the image gateway Celeste, for [tonic].
//!
//! Everything is in [`v1`]: messages, enums, and a module with the client of each service, such as
//! `v1::image_service_client`. The page `docs/clients/rust.md` of the repository shows programs.
//!
//! [tonic]: https://docs.rs/tonic

/// Messages and clients of `celeste.image.v1`.
#[allow(missing_docs, clippy::all, rustdoc::all)]
pub mod v1 {
    include!("gen/celeste.image.v1.rs");
}
