//! The outcomes: what came back from the calls.

use std::error::Error as _;

use prost::Message;
use serde::Serialize;
use serde_json::Value;
use tonic::{Code, Status, TimeoutExpired};
use tonic_types::pb;

use crate::{
    calls::Failure,
    json::Json,
    wire::{Pairs, Seen},
};

#[derive(Default, Serialize)]
pub struct Outcome {
    name: String,
    code: String,
    message: String,
    pub messages: Vec<Value>,
    details: Vec<Value>,
    headers: Pairs,
    trailers: Pairs,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub download: Option<Download>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sent_bytes: Option<usize>,
    pub seconds: f64,
}

/// The chunks of an artifact.
#[derive(Serialize)]
pub struct Download {
    pub size_bytes: i64,
    pub sha256: String,
    pub contiguous: bool,
}

impl Outcome {
    pub fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            ..Self::default()
        }
    }

    pub fn set_metadata(&mut self, seen: Seen) {
        (self.headers, self.trailers) = (seen.headers, seen.trailers);
    }

    pub fn set_result(&mut self, json: &Json, result: Result<(), Failure>) {
        let result = match result {
            Ok(()) => {
                self.code = "OK".to_owned();
                return;
            }
            Err(Failure::Status(status)) => self.set_status(json, &status),
            Err(Failure::Client(error)) => Err(error),
        };
        if let Err(error) = result {
            self.code = "CLIENT_ERROR".to_owned();
            self.message = error.to_string();
            self.details.clear();
        }
    }

    fn set_status(
        &mut self,
        json: &Json,
        status: &Status,
    ) -> Result<(), Box<dyn std::error::Error>> {
        self.code = name(status).to_owned();
        self.message = status.message().to_owned();
        let details = pb::Status::decode(status.details())?.details;
        self.details = details
            .iter()
            .map(|detail| json.write_detail(detail))
            .collect::<Result<_, _>>()?;
        Ok(())
    }
}

/// Returns the name of a status code. tonic calls its own timeout a cancellation.
fn name(status: &Status) -> &'static str {
    let mut source = status.source();
    while let Some(error) = source {
        if error.is::<TimeoutExpired>() {
            return "DEADLINE_EXCEEDED";
        }
        source = error.source();
    }
    match status.code() {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}
