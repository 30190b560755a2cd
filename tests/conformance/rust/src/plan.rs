//! The plan: which calls to make.

use std::{collections::HashMap, error::Error, fs, path::PathBuf};

use base64::{Engine, prelude::BASE64_STANDARD};
use celeste_image::v1::ArtifactChunk;
use prost::bytes::Bytes;
use serde::Deserialize;
use serde_json::Value;
use sha2::{Digest, Sha256};
use tonic::{
    metadata::{
        AsciiMetadataKey, AsciiMetadataValue, BinaryMetadataKey, BinaryMetadataValue, MetadataMap,
    },
    transport::{Certificate, ClientTlsConfig, Endpoint, Identity},
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    pub transport: String,
    pub cases: Vec<Case>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Case {
    pub name: String,
    pub address: String,
    #[serde(default)]
    tls: Option<Tls>,
    pub call: String,
    #[serde(default)]
    pub request: Option<Value>,
    #[serde(default)]
    metadata: HashMap<String, String>,
    #[serde(default = "default_deadline_seconds")]
    pub deadline_seconds: f64,
    #[serde(default)]
    pub cancel_after: Option<usize>,
    #[serde(default = "once")]
    pub at_once: usize,
    #[serde(default)]
    pub upload: Option<Upload>,
    #[serde(default)]
    pub download: bool,
}

fn default_deadline_seconds() -> f64 {
    60.0
}

fn once() -> usize {
    1
}

/// Files in PEM: the authorities to trust, and the certificate to show with its key.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Tls {
    ca: PathBuf,
    #[serde(default)]
    cert: Option<PathBuf>,
    #[serde(default)]
    key: Option<PathBuf>,
}

impl Case {
    /// Returns the server as tonic takes it.
    pub fn endpoint(&self) -> Result<Endpoint, Box<dyn Error>> {
        let Some(tls) = &self.tls else {
            return Ok(Endpoint::try_from(format!("http://{}", self.address))?);
        };
        let authorities = Certificate::from_pem(fs::read(&tls.ca)?);
        let mut config = ClientTlsConfig::new().ca_certificate(authorities);
        if let (Some(cert), Some(key)) = (&tls.cert, &tls.key) {
            config = config.identity(Identity::from_pem(fs::read(cert)?, fs::read(key)?));
        }
        Ok(Endpoint::try_from(format!("https://{}", self.address))?.tls_config(config)?)
    }

    /// Returns the request metadata.
    pub fn metadata(&self) -> Result<MetadataMap, Box<dyn Error>> {
        let mut map = MetadataMap::new();
        for (key, value) in &self.metadata {
            if key.ends_with("-bin") {
                let value = BinaryMetadataValue::from_bytes(&BASE64_STANDARD.decode(value)?);
                map.append_bin(key.parse::<BinaryMetadataKey>()?, value);
            } else {
                let value = value.parse::<AsciiMetadataValue>()?;
                map.append(key.parse::<AsciiMetadataKey>()?, value);
            }
        }
        Ok(map)
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Upload {
    path: PathBuf,
    chunk_bytes: usize,
    #[serde(default)]
    offset: usize,
    #[serde(default)]
    stop_after: Option<usize>,
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    size_bytes: Option<i64>,
}

/// A file to upload.
pub struct File {
    pub name: String,
    pub size_bytes: i64,
    pub chunks: Vec<ArtifactChunk>,
}

impl Upload {
    /// Reads the file. The chunks share its bytes.
    pub fn read(&self) -> Result<File, Box<dyn Error>> {
        let data = Bytes::from(fs::read(&self.path)?);
        let digest = || format!("artifacts/sha256-{}", hex(&Sha256::digest(&data)));
        let offsets = (self.offset..data.len()).step_by(self.chunk_bytes);
        let chunk = |offset: usize| {
            let end = data.len().min(offset + self.chunk_bytes);
            Ok(ArtifactChunk {
                offset: offset.try_into()?,
                data: data.slice(offset..end),
            })
        };
        Ok(File {
            name: self.name.clone().unwrap_or_else(digest),
            size_bytes: self.size_bytes.map_or_else(|| data.len().try_into(), Ok)?,
            chunks: offsets
                .take(self.stop_after.unwrap_or(usize::MAX))
                .map(chunk)
                .collect::<Result<_, Box<dyn Error>>>()?,
        })
    }
}

/// Returns lower-case hex digits.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
