package io.github.celesteimage.conformance;

import com.google.gson.JsonObject;
import com.google.gson.JsonPrimitive;
import com.google.protobuf.ByteString;
import com.google.protobuf.UnsafeByteOperations;
import io.github.celesteimage.image.v1.ArtifactChunk;
import io.github.celesteimage.image.v1.ArtifactServiceGrpc;
import io.github.celesteimage.image.v1.WriteArtifactChunkRequest;
import io.github.celesteimage.image.v1.WriteArtifactChunkResponse;
import io.github.celesteimage.image.v1.WriteArtifactRequest;
import io.github.celesteimage.image.v1.WriteArtifactResponse;
import io.grpc.stub.ClientCallStreamObserver;
import io.grpc.stub.ClientResponseObserver;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.util.HexFormat;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;

/** Sends a file in chunks. */
final class Upload {
  private final byte[] bytes;
  private final String name;
  private final long size;
  private final int chunkSize;
  private final long chunkLimit;
  private int offset;
  private long chunks;
  private long sent;

  private Upload(JsonObject planned) throws Exception {
    bytes = Files.readAllBytes(Path.of(planned.get("path").getAsString()));
    name =
        planned.has("name")
            ? planned.get("name").getAsString()
            : "artifacts/sha256-" + HexFormat.of().formatHex(MessageDigest.getInstance("SHA-256").digest(bytes));
    size = planned.has("size_bytes") ? planned.get("size_bytes").getAsLong() : bytes.length;
    chunkSize = planned.get("chunk_bytes").getAsInt();
    chunkLimit = planned.has("stop_after") ? planned.get("stop_after").getAsLong() : Long.MAX_VALUE;
    offset = planned.has("offset") ? planned.get("offset").getAsInt() : 0;
  }

  /** Returns whether a chunk is left. An empty file has one chunk, which is empty. */
  private boolean hasNext() {
    return chunks < chunkLimit && (offset < bytes.length || chunks == 0);
  }

  private ArtifactChunk next() {
    int length = Math.max(0, Math.min(chunkSize, bytes.length - offset));
    // `wrap` copies nothing. `ByteString.copyFrom` would copy every chunk.
    ByteString data = UnsafeByteOperations.unsafeWrap(ByteBuffer.wrap(bytes, Math.min(offset, bytes.length), length));
    ArtifactChunk chunk = ArtifactChunk.newBuilder().setOffset(offset).setData(data).build();
    offset += length;
    sent += length;
    chunks++;
    return chunk;
  }

  /** Sends the chunks in one stream, as fast as the transport takes them, until the server answers. */
  static void stream(Call call) throws Exception {
    Upload upload = new Upload(call.member("upload"));
    CompletableFuture<Void> end = new CompletableFuture<>();
    call.artifactsAsync().writeArtifact(upload.new Exchange(call, end));
    try {
      end.get();
    } catch (ExecutionException error) {
      throw error.getCause() instanceof Exception cause ? cause : error;
    } finally {
      call.report("sent_bytes", new JsonPrimitive(upload.sent));
    }
  }

  /** Sends each chunk in a call of its own, until a response has the artifact. */
  static void unary(Call call) throws Exception {
    Upload upload = new Upload(call.member("upload"));
    ArtifactServiceGrpc.ArtifactServiceBlockingStub stub = call.artifacts();
    try {
      while (upload.hasNext()) {
        WriteArtifactChunkRequest request =
            WriteArtifactChunkRequest.newBuilder()
                .setName(upload.name)
                .setSizeBytes(upload.size)
                .setChunk(upload.next())
                .build();
        WriteArtifactChunkResponse response = stub.writeArtifactChunk(request);
        call.receive(response);
        if (response.hasArtifact()) {
          return;
        }
      }
    } finally {
      call.report("sent_bytes", new JsonPrimitive(upload.sent));
    }
  }

  /** The stream of an upload. grpc-java calls its methods one at a time. */
  private final class Exchange implements ClientResponseObserver<WriteArtifactRequest, WriteArtifactResponse> {
    private final Call call;
    private final CompletableFuture<Void> end;
    private boolean halfClosed;
    private boolean answered;

    Exchange(Call call, CompletableFuture<Void> end) {
      this.call = call;
      this.end = end;
    }

    @Override
    public void beforeStart(ClientCallStreamObserver<WriteArtifactRequest> requests) {
      requests.setOnReadyHandler(() -> send(requests));
    }

    private void send(ClientCallStreamObserver<WriteArtifactRequest> requests) {
      while (requests.isReady() && !answered && !halfClosed) {
        if (hasNext()) {
          WriteArtifactRequest.Builder request = WriteArtifactRequest.newBuilder();
          if (chunks == 0) {
            request.setName(name).setSizeBytes(size);
          }
          requests.onNext(request.setChunk(next()).build());
        } else {
          halfClosed = true;
          requests.onCompleted();
        }
      }
    }

    @Override
    public void onNext(WriteArtifactResponse response) {
      answered = true;
      call.receive(response);
    }

    @Override
    public void onError(Throwable error) {
      end.completeExceptionally(error);
    }

    @Override
    public void onCompleted() {
      end.complete(null);
    }
  }
}
