//! Makes the call of a case, by the typed client of its service.

use std::{
    error::Error,
    mem,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use celeste_image::v1::{
    ReadArtifactRequest, ReadArtifactResponse, WriteArtifactChunkRequest,
    WriteArtifactChunkResponse, WriteArtifactRequest, WriteArtifactResponse,
    artifact_service_client::ArtifactServiceClient, image_service_client::ImageServiceClient,
    model_service_client::ModelServiceClient, usage_service_client::UsageServiceClient,
};
use prost::{Message, Name};
use sha2::{Digest, Sha256};
use tonic::{Request, Response, Status, Streaming};

use crate::{
    json::Json,
    outcome::{Download, Outcome},
    plan::{Case, File, Upload, hex},
    wire::Wire,
};

/// The failure of a call: its status, or an error of this program.
pub enum Failure {
    Status(Status),
    Client(Box<dyn Error>),
}

impl From<Status> for Failure {
    fn from(status: Status) -> Self {
        Self::Status(status)
    }
}

impl From<Box<dyn Error>> for Failure {
    fn from(error: Box<dyn Error>) -> Self {
        Self::Client(error)
    }
}

type Result<T> = std::result::Result<T, Failure>;

/// Makes the call of a case and returns its outcome.
pub async fn run(json: &Json, case: &Case) -> Outcome {
    let mut outcome = Outcome::new(&case.name);
    let start = Instant::now();
    let result = make(json, case, &mut outcome).await;
    outcome.seconds = start.elapsed().as_secs_f64();
    outcome.set_result(json, result);
    outcome
}

async fn make(json: &Json, case: &Case, outcome: &mut Outcome) -> Result<()> {
    let deadline = Duration::try_from_secs_f64(case.deadline_seconds).map_err(client)?;
    let wire = Wire::new(case.endpoint()?.connect_lazy());
    let sent = Arc::new(AtomicUsize::new(0));
    let mut call = Call {
        json,
        case,
        deadline,
        file: case.upload.as_ref().map(Upload::read).transpose()?,
        wire: wire.clone(),
        sent: sent.clone(),
        outcome,
    };
    // tonic itself stops waiting only for the headers of a response, not for its messages.
    let result = tokio::time::timeout(deadline, call.dispatch()).await;
    outcome.set_metadata(wire.take());
    outcome.sent_bytes = case.upload.is_some().then(|| sent.load(Ordering::Relaxed));
    result.unwrap_or_else(|_| Err(Status::deadline_exceeded("the deadline of the case").into()))
}

fn client(error: impl Error + 'static) -> Failure {
    Failure::Client(error.into())
}

/// A case under way.
struct Call<'a> {
    json: &'a Json,
    case: &'a Case,
    deadline: Duration,
    file: Option<File>,
    wire: Wire,
    sent: Arc<AtomicUsize>, // bytes of chunks
    outcome: &'a mut Outcome,
}

/// Writes `dispatch`, which makes the call of a case. A new RPC needs a line here; a test finds a missing line.
macro_rules! methods {
    ($($name:literal => $client:ident.$method:ident by $kind:ident,)*) => {
        #[cfg(test)]
        const METHODS: &[&str] = &[$($name),*];

        impl Call<'_> {
            async fn dispatch(&mut self) -> Result<()> {
                match self.case.call.as_str() {
                    $($name => {
                        let client = $client::new(self.wire.clone());
                        self.$kind(async |request| client.clone().$method(request).await).await
                    })*
                    name => Err(Failure::Client(format!("this runner has no call {name}").into())),
                }
            }
        }
    };
}

methods! {
    "ArtifactService/DeleteArtifact" => ArtifactServiceClient.delete_artifact by unary,
    "ArtifactService/FindMissingArtifacts" => ArtifactServiceClient.find_missing_artifacts by unary,
    "ArtifactService/GetArtifact" => ArtifactServiceClient.get_artifact by unary,
    "ArtifactService/ListArtifacts" => ArtifactServiceClient.list_artifacts by unary,
    "ArtifactService/QueryWriteStatus" => ArtifactServiceClient.query_write_status by unary,
    "ArtifactService/ReadArtifact" => ArtifactServiceClient.read_artifact by download,
    "ArtifactService/WriteArtifact" => ArtifactServiceClient.write_artifact by upload,
    "ArtifactService/WriteArtifactChunk" => ArtifactServiceClient.write_artifact_chunk by upload_by_chunk,
    "ImageService/Analyze" => ImageServiceClient.analyze by unary,
    "ImageService/Edit" => ImageServiceClient.edit by unary,
    "ImageService/Generate" => ImageServiceClient.generate by unary,
    "ImageService/Stream" => ImageServiceClient.stream by server_stream,
    "ImageService/Upscale" => ImageServiceClient.upscale by unary,
    "ModelService/GetModel" => ModelServiceClient.get_model by unary,
    "ModelService/GetServerInfo" => ModelServiceClient.get_server_info by unary,
    "ModelService/ListModels" => ModelServiceClient.list_models by unary,
    "ModelService/ListProviders" => ModelServiceClient.list_providers by unary,
    "UsageService/ListLedgerEntries" => UsageServiceClient.list_ledger_entries by unary,
    "UsageService/QueryUsage" => UsageServiceClient.query_usage by unary,
}

type Requests = tokio_stream::Iter<Box<dyn Iterator<Item = WriteArtifactRequest> + Send>>;
type Answer<R> = std::result::Result<Response<R>, Status>;

impl Call<'_> {
    /// Reads the request of the case.
    fn request<M: Message + Name + Default>(&self) -> Result<M> {
        match &self.case.request {
            Some(request) => Ok(self.json.read(request)?),
            None => Ok(M::default()),
        }
    }

    /// Adds metadata and deadline to a request.
    fn wrap<M>(&self, message: M) -> Result<Request<M>> {
        let mut request = Request::new(message);
        *request.metadata_mut() = self.case.metadata()?;
        request.set_timeout(self.deadline);
        Ok(request)
    }

    /// Adds a response to the outcome.
    fn keep<R: Message + Name>(&mut self, response: &R) -> Result<()> {
        self.outcome.messages.push(self.json.write(response)?);
        Ok(())
    }

    async fn unary<M, R>(&mut self, rpc: impl AsyncFn(Request<M>) -> Answer<R>) -> Result<()>
    where
        M: Message + Name + Default,
        R: Message + Name,
    {
        let request = self.wrap(self.request()?)?;
        self.keep(rpc(request).await?.get_ref())
    }

    async fn server_stream<M, R>(
        &mut self,
        rpc: impl AsyncFn(Request<M>) -> Answer<Streaming<R>>,
    ) -> Result<()>
    where
        M: Message + Name + Default,
        R: Message + Name,
    {
        let request = self.wrap(self.request()?)?;
        let mut stream = rpc(request).await?.into_inner();
        self.receive(&mut stream, |call, response| call.keep(&response))
            .await
    }

    /// Takes all responses of a stream, or the planned number. The caller cancels the call by dropping the stream.
    async fn receive<R>(
        &mut self,
        stream: &mut Streaming<R>,
        mut take: impl FnMut(&mut Self, R) -> Result<()>,
    ) -> Result<()> {
        let mut received = 0;
        while let Some(response) = stream.message().await? {
            take(self, response)?;
            received += 1;
            if self.case.cancel_after == Some(received) {
                return Err(Status::cancelled("the case cancels the call here").into());
            }
        }
        Ok(())
    }

    /// Reads an artifact: checks the order of its chunks and keeps none.
    async fn download(
        &mut self,
        rpc: impl AsyncFn(Request<ReadArtifactRequest>) -> Answer<Streaming<ReadArtifactResponse>>,
    ) -> Result<()> {
        if !self.case.download {
            return self.server_stream(rpc).await;
        }
        let request: ReadArtifactRequest = self.request()?;
        let offset = request.offset;
        let mut stream = rpc(self.wrap(request)?).await?.into_inner();
        let (mut size, mut contiguous, mut digest) = (0, true, Sha256::new());
        let result = self
            .receive(&mut stream, |_, response| {
                let chunk = response.chunk.unwrap_or_default();
                contiguous &= chunk.offset == offset + size;
                size += i64::try_from(chunk.data.len()).map_err(client)?;
                digest.update(&chunk.data);
                Ok(())
            })
            .await;
        self.outcome.download = Some(Download {
            size_bytes: size,
            sha256: hex(&digest.finalize()),
            contiguous,
        });
        result
    }

    fn take_file(&mut self) -> Result<File> {
        let file = self.file.take();
        file.ok_or_else(|| Failure::Client("the case needs an upload".into()))
    }

    /// Sends a file in one stream. When the server answers early, tonic drops the rest of the stream.
    async fn upload(
        &mut self,
        rpc: impl AsyncFn(Request<Requests>) -> Answer<WriteArtifactResponse>,
    ) -> Result<()> {
        let file = self.take_file()?;
        let sent = self.sent.clone();
        let mut request = WriteArtifactRequest {
            name: file.name,
            size_bytes: file.size_bytes,
            ..Default::default()
        };
        let requests = file.chunks.into_iter().map(move |chunk| {
            sent.fetch_add(chunk.data.len(), Ordering::Relaxed);
            request.chunk = Some(chunk);
            mem::take(&mut request)
        });
        let requests: Box<dyn Iterator<Item = _> + Send> = Box::new(requests);
        self.keep(
            rpc(self.wrap(tokio_stream::iter(requests))?)
                .await?
                .get_ref(),
        )
    }

    /// Sends a file in one unary call per chunk.
    async fn upload_by_chunk(
        &mut self,
        rpc: impl AsyncFn(Request<WriteArtifactChunkRequest>) -> Answer<WriteArtifactChunkResponse>,
    ) -> Result<()> {
        if self.case.upload.is_none() {
            return self.unary(rpc).await;
        }
        let file = self.take_file()?;
        for chunk in file.chunks {
            self.sent.fetch_add(chunk.data.len(), Ordering::Relaxed);
            let request = WriteArtifactChunkRequest {
                name: file.name.clone(),
                size_bytes: file.size_bytes,
                chunk: Some(chunk),
            };
            let response = rpc(self.wrap(request)?).await?;
            self.keep(response.get_ref())?;
            if response.get_ref().artifact.is_some() {
                break;
            }
        }
        Ok(())
    }
}

#[test]
fn every_method_of_the_contract_has_a_line() {
    let mut contract = Json::new().unwrap().calls();
    contract.retain(|name| !name.starts_with("ArtifactHttpService/")); // for HTTP clients only
    contract.sort();
    assert_eq!(contract, METHODS);
}
