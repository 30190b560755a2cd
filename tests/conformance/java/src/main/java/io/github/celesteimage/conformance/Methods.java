package io.github.celesteimage.conformance;

import com.google.protobuf.Message;
import io.github.celesteimage.image.v1.AnalyzeRequest;
import io.github.celesteimage.image.v1.DeleteArtifactRequest;
import io.github.celesteimage.image.v1.EditRequest;
import io.github.celesteimage.image.v1.FindMissingArtifactsRequest;
import io.github.celesteimage.image.v1.GenerateRequest;
import io.github.celesteimage.image.v1.GetArtifactRequest;
import io.github.celesteimage.image.v1.GetModelRequest;
import io.github.celesteimage.image.v1.GetServerInfoRequest;
import io.github.celesteimage.image.v1.ListArtifactsRequest;
import io.github.celesteimage.image.v1.ListLedgerEntriesRequest;
import io.github.celesteimage.image.v1.ListModelsRequest;
import io.github.celesteimage.image.v1.ListProvidersRequest;
import io.github.celesteimage.image.v1.QueryUsageRequest;
import io.github.celesteimage.image.v1.QueryWriteStatusRequest;
import io.github.celesteimage.image.v1.ReadArtifactRequest;
import io.github.celesteimage.image.v1.StreamRequest;
import io.github.celesteimage.image.v1.UpscaleRequest;
import java.util.Map;

/**
 * The methods of the contract, by the names in the plan. A new RPC gets a line here. ArtifactHttpService is left out: it
 * serves proxies that turn HTTP into gRPC.
 */
final class Methods {
  static final Map<String, Method> ALL =
      Map.ofEntries(
          unary(
              "ImageService/Generate",
              call -> call.images().generate(call.read(GenerateRequest.newBuilder()).build())),
          unary("ImageService/Edit", call -> call.images().edit(call.read(EditRequest.newBuilder()).build())),
          unary("ImageService/Upscale", call -> call.images().upscale(call.read(UpscaleRequest.newBuilder()).build())),
          unary("ImageService/Analyze", call -> call.images().analyze(call.read(AnalyzeRequest.newBuilder()).build())),
          Map.entry("ImageService/Stream", Methods::stream),
          unary(
              "ModelService/ListProviders",
              call -> call.models().listProviders(call.read(ListProvidersRequest.newBuilder()).build())),
          unary(
              "ModelService/ListModels",
              call -> call.models().listModels(call.read(ListModelsRequest.newBuilder()).build())),
          unary(
              "ModelService/GetModel", call -> call.models().getModel(call.read(GetModelRequest.newBuilder()).build())),
          unary(
              "ModelService/GetServerInfo",
              call -> call.models().getServerInfo(call.read(GetServerInfoRequest.newBuilder()).build())),
          unary(
              "UsageService/QueryUsage",
              call -> call.usage().queryUsage(call.read(QueryUsageRequest.newBuilder()).build())),
          unary(
              "UsageService/ListLedgerEntries",
              call -> call.usage().listLedgerEntries(call.read(ListLedgerEntriesRequest.newBuilder()).build())),
          unary(
              "ArtifactService/QueryWriteStatus",
              call -> call.artifacts().queryWriteStatus(call.read(QueryWriteStatusRequest.newBuilder()).build())),
          unary(
              "ArtifactService/GetArtifact",
              call -> call.artifacts().getArtifact(call.read(GetArtifactRequest.newBuilder()).build())),
          unary(
              "ArtifactService/ListArtifacts",
              call -> call.artifacts().listArtifacts(call.read(ListArtifactsRequest.newBuilder()).build())),
          unary(
              "ArtifactService/FindMissingArtifacts",
              call ->
                  call.artifacts().findMissingArtifacts(call.read(FindMissingArtifactsRequest.newBuilder()).build())),
          unary(
              "ArtifactService/DeleteArtifact",
              call -> call.artifacts().deleteArtifact(call.read(DeleteArtifactRequest.newBuilder()).build())),
          Map.entry("ArtifactService/ReadArtifact", Methods::readArtifact),
          Map.entry("ArtifactService/WriteArtifact", Upload::stream),
          Map.entry("ArtifactService/WriteArtifactChunk", Upload::unary));

  private Methods() {}

  private static void stream(Call call) throws Exception {
    StreamRequest request = call.read(StreamRequest.newBuilder()).build();
    call.readAll(() -> call.images().stream(request), call::receive);
  }

  private static void readArtifact(Call call) throws Exception {
    ReadArtifactRequest request = call.read(ReadArtifactRequest.newBuilder()).build();
    if (!call.planned().has("download") || !call.planned().get("download").getAsBoolean()) {
      call.readAll(() -> call.artifacts().readArtifact(request), call::receive);
      return;
    }
    Download download = new Download(request.getOffset());
    try {
      call.readAll(() -> call.artifacts().readArtifact(request), download::receive);
    } finally {
      call.report("download", download.report());
    }
  }

  private static Map.Entry<String, Method> unary(String name, Unary method) {
    return Map.entry(name, call -> call.receive(method.call(call)));
  }

  /** Makes one call with the stub of its service, and reports the responses. */
  interface Method {
    void call(Call call) throws Exception;
  }

  /** Makes one unary call and returns the response. */
  private interface Unary {
    Message call(Call call) throws Exception;
  }
}
