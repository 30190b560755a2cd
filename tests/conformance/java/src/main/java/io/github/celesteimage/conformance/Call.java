package io.github.celesteimage.conformance;

import com.google.gson.JsonArray;
import com.google.gson.JsonElement;
import com.google.gson.JsonNull;
import com.google.gson.JsonObject;
import com.google.protobuf.InvalidProtocolBufferException;
import com.google.protobuf.Message;
import io.github.celesteimage.image.v1.ArtifactServiceGrpc;
import io.github.celesteimage.image.v1.ImageServiceGrpc;
import io.github.celesteimage.image.v1.ModelServiceGrpc;
import io.github.celesteimage.image.v1.UsageServiceGrpc;
import io.grpc.Channel;
import io.grpc.Context;
import io.grpc.Metadata;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import io.grpc.protobuf.StatusProto;
import io.grpc.stub.AbstractStub;
import io.grpc.stub.MetadataUtils;
import java.util.Base64;
import java.util.Iterator;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicReference;
import java.util.function.Consumer;

/** One call of the plan, and its outcome. */
final class Call {
  private final JsonObject planned;
  private final Channel channel;
  private final AtomicReference<Metadata> headers = new AtomicReference<>();
  private final AtomicReference<Metadata> trailers = new AtomicReference<>();
  private final JsonArray messages = new JsonArray();
  private final JsonObject outcome = new JsonObject();

  Call(JsonObject planned, Channel channel) {
    this.planned = planned;
    this.channel = channel;
  }

  /** Makes the call. Returns its outcome, also of a failure. */
  JsonObject run() {
    outcome.add("name", planned.get("name"));
    long start = System.nanoTime();
    try {
      exchange();
    } catch (Exception error) {
      String cause = error.getCause() == null ? "" : ": " + error.getCause();
      end("CLIENT_ERROR", error + cause, new JsonArray());
    }
    outcome.addProperty("seconds", (System.nanoTime() - start) / 1e9);
    outcome.add("messages", messages);
    outcome.add("headers", Json.metadata(headers.get()));
    outcome.add("trailers", Json.metadata(trailers.get()));
    return outcome;
  }

  private void exchange() throws Exception {
    String name = planned.get("call").getAsString();
    Methods.Method method = Methods.ALL.get(name);
    if (method == null) {
      throw new IllegalArgumentException("the Java runner does not know " + name);
    }
    try {
      method.call(this);
      end("OK", "", new JsonArray());
    } catch (StatusRuntimeException error) {
      if (unreadable(error)) {
        throw error;
      }
      Status status = error.getStatus();
      String message = status.getDescription() == null ? "" : status.getDescription();
      end(status.getCode().name(), message, Json.details(StatusProto.fromThrowable(error)));
    }
  }

  private void end(String code, String message, JsonArray details) {
    outcome.addProperty("code", code);
    outcome.addProperty("message", message);
    outcome.add("details", details);
  }

  /** Returns whether the client could not read a response. grpc-java reports this as a status, with the cause. */
  private static boolean unreadable(Throwable error) {
    for (Throwable cause = error; cause != null; cause = cause.getCause()) {
      if (cause instanceof InvalidProtocolBufferException) {
        return true;
      }
    }
    return false;
  }

  ImageServiceGrpc.ImageServiceBlockingStub images() {
    return prepare(ImageServiceGrpc.newBlockingStub(channel));
  }

  ModelServiceGrpc.ModelServiceBlockingStub models() {
    return prepare(ModelServiceGrpc.newBlockingStub(channel));
  }

  UsageServiceGrpc.UsageServiceBlockingStub usage() {
    return prepare(UsageServiceGrpc.newBlockingStub(channel));
  }

  ArtifactServiceGrpc.ArtifactServiceBlockingStub artifacts() {
    return prepare(ArtifactServiceGrpc.newBlockingStub(channel));
  }

  ArtifactServiceGrpc.ArtifactServiceStub artifactsAsync() {
    return prepare(ArtifactServiceGrpc.newStub(channel));
  }

  /** Returns the stub with the deadline and metadata of the plan, which keeps the metadata of the response. */
  private <S extends AbstractStub<S>> S prepare(S stub) {
    double seconds = planned.has("deadline_seconds") ? planned.get("deadline_seconds").getAsDouble() : 60;
    return stub.withDeadlineAfter(Math.round(seconds * 1e9), TimeUnit.NANOSECONDS)
        .withInterceptors(
            MetadataUtils.newAttachHeadersInterceptor(requestMetadata()),
            MetadataUtils.newCaptureMetadataInterceptor(headers, trailers));
  }

  private Metadata requestMetadata() {
    Metadata metadata = new Metadata();
    for (Map.Entry<String, JsonElement> entry : member("metadata").entrySet()) {
      String value = entry.getValue().getAsString();
      if (entry.getKey().endsWith(Metadata.BINARY_HEADER_SUFFIX)) {
        metadata.put(
            Metadata.Key.of(entry.getKey(), Metadata.BINARY_BYTE_MARSHALLER), Base64.getDecoder().decode(value));
      } else {
        metadata.put(Metadata.Key.of(entry.getKey(), Metadata.ASCII_STRING_MARSHALLER), value);
      }
    }
    return metadata;
  }

  JsonObject planned() {
    return planned;
  }

  /** Returns a member of the planned case that is an object; empty if missing. */
  JsonObject member(String name) {
    return planned.has(name) ? planned.getAsJsonObject(name) : new JsonObject();
  }

  /** Reads the planned request into a builder of its type. */
  <B extends Message.Builder> B read(B builder) throws InvalidProtocolBufferException {
    Json.PARSER.merge(member("request").toString(), builder);
    return builder;
  }

  /** Reports a response message. */
  void receive(Message message) {
    messages.add(Json.of(message));
  }

  /**
   * Reads a server stream to its end, or cancels the call after the planned number of messages.
   *
   * @param open makes the call
   * @param each gets each message that came before the cancellation
   */
  <M extends Message> void readAll(Opening<M> open, Consumer<M> each) throws Exception {
    JsonElement limit = planned.has("cancel_after") ? planned.get("cancel_after") : JsonNull.INSTANCE;
    try (Context.CancellableContext context = Context.current().withCancellation()) {
      context.call(
          () -> {
            Iterator<M> stream = open.open();
            for (int count = 0; limit.isJsonNull() || count < limit.getAsInt(); count++) {
              if (!stream.hasNext()) {
                return null;
              }
              each.accept(stream.next());
            }
            context.cancel(null);
            while (stream.hasNext()) {
              stream.next(); // a message that was already here; the end is the status CANCELLED
            }
            return null;
          });
    }
  }

  /** Reports a member of the outcome that only some calls have. */
  void report(String name, JsonElement value) {
    outcome.add(name, value);
  }

  /** Makes a call with a server stream. */
  interface Opening<M> {
    Iterator<M> open() throws Exception;
  }
}
