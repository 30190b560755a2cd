//! A channel that keeps the response metadata. tonic itself merges headers and trailers of unary calls.

use std::{
    collections::BTreeMap,
    future::Future,
    mem,
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll},
};

use base64::{Engine, prelude::BASE64_STANDARD};
use http_body_util::BodyExt;
use tonic::{
    body::Body,
    codegen::{Service, http},
    metadata::{KeyAndValueRef, MetadataMap},
    transport::{Channel, Error},
};

const OF_TRANSPORT: [&str; 7] = [
    "content-type",
    "date",
    "grpc-accept-encoding",
    "grpc-encoding",
    "grpc-message",
    "grpc-status",
    "grpc-status-details-bin",
];

/// Metadata as outcomes report them.
pub type Pairs = BTreeMap<String, Vec<String>>;

/// Metadata of one response.
#[derive(Default)]
pub struct Seen {
    pub headers: Pairs,
    pub trailers: Pairs,
}

#[derive(Clone)]
pub struct Wire {
    channel: Channel,
    seen: Arc<Mutex<Seen>>,
}

impl Wire {
    pub fn new(channel: Channel) -> Self {
        let seen = Arc::default();
        Self { channel, seen }
    }

    /// Returns the metadata of the last response.
    pub fn take(&self) -> Seen {
        mem::take(&mut self.seen.lock().expect("no thread panicked"))
    }
}

impl Service<http::Request<Body>> for Wire {
    type Response = http::Response<Body>;
    type Error = Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.channel.poll_ready(context)
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let response = self.channel.call(request);
        let seen = self.seen.clone();
        Box::pin(async move {
            let response = response.await?;
            let headers = pairs(response.headers());
            let is_whole = response.headers().contains_key("grpc-status");
            *seen.lock().expect("no thread panicked") = match is_whole {
                // A response without messages has one block of headers, and gRPC calls them trailers.
                true => Seen {
                    trailers: headers,
                    ..Seen::default()
                },
                false => Seen {
                    headers,
                    ..Seen::default()
                },
            };
            Ok(response.map(|body| {
                Body::new(body.map_frame(move |frame| {
                    if let Some(trailers) = frame.trailers_ref() {
                        seen.lock().expect("no thread panicked").trailers = pairs(trailers);
                    }
                    frame
                }))
            }))
        })
    }
}

fn pairs(headers: &http::HeaderMap) -> Pairs {
    let mut pairs = Pairs::new();
    for pair in MetadataMap::from_headers(headers.clone()).iter() {
        let (key, value) = match pair {
            KeyAndValueRef::Ascii(key, value) => {
                let text = String::from_utf8_lossy(value.as_encoded_bytes()).into_owned();
                (key.as_str(), text)
            }
            KeyAndValueRef::Binary(key, value) => {
                let encoded = value.to_bytes().map(|data| BASE64_STANDARD.encode(data));
                (
                    key.as_str(),
                    encoded.unwrap_or_else(|_| "not base64".to_owned()),
                )
            }
        };
        if !OF_TRANSPORT.contains(&key) {
            pairs.entry(key.to_owned()).or_default().push(value);
        }
    }
    pairs
}
