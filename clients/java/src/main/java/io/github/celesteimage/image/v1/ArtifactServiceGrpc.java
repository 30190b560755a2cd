package io.github.celesteimage.image.v1;

import static io.grpc.MethodDescriptor.generateFullMethodName;

/**
 * <pre>
 * Stores bytes by name. A name holds the digest of the bytes: it always stands for the same bytes, and clients know it
 * before the upload. Artifacts belong to their caller. Other callers get NOT_FOUND, also when they know the digest.
 * All calls share these errors, each with `google.rpc.ErrorInfo`:
 * * `INVALID_ARGUMENT`: a name is not `artifacts/sha256-&lt;64 hex digits&gt;`, a number is out of range, or this server does
 *   not know a field of the request.
 * * `NOT_FOUND`: the caller has no artifact of this name, or the artifact has expired.
 * * `RESOURCE_EXHAUSTED`: the store is full; `google.rpc.RetryInfo` has the delay before a retry.
 * * `UNAVAILABLE`: the server cannot reach or write the store. A retry is safe.
 * </pre>
 */
@io.grpc.stub.annotations.GrpcGenerated
public final class ArtifactServiceGrpc {

  private ArtifactServiceGrpc() {}

  public static final java.lang.String SERVICE_NAME = "celeste.image.v1.ArtifactService";

  // Static method descriptors that strictly reflect the proto.
  private static volatile io.grpc.MethodDescriptor<io.github.celesteimage.image.v1.WriteArtifactRequest,
      io.github.celesteimage.image.v1.WriteArtifactResponse> getWriteArtifactMethod;

  @io.grpc.stub.annotations.RpcMethod(
      fullMethodName = SERVICE_NAME + '/' + "WriteArtifact",
      requestType = io.github.celesteimage.image.v1.WriteArtifactRequest.class,
      responseType = io.github.celesteimage.image.v1.WriteArtifactResponse.class,
      methodType = io.grpc.MethodDescriptor.MethodType.CLIENT_STREAMING)
  public static io.grpc.MethodDescriptor<io.github.celesteimage.image.v1.WriteArtifactRequest,
      io.github.celesteimage.image.v1.WriteArtifactResponse> getWriteArtifactMethod() {
    io.grpc.MethodDescriptor<io.github.celesteimage.image.v1.WriteArtifactRequest, io.github.celesteimage.image.v1.WriteArtifactResponse> getWriteArtifactMethod;
    if ((getWriteArtifactMethod = ArtifactServiceGrpc.getWriteArtifactMethod) == null) {
      synchronized (ArtifactServiceGrpc.class) {
        if ((getWriteArtifactMethod = ArtifactServiceGrpc.getWriteArtifactMethod) == null) {
          ArtifactServiceGrpc.getWriteArtifactMethod = getWriteArtifactMethod =
              io.grpc.MethodDescriptor.<io.github.celesteimage.image.v1.WriteArtifactRequest, io.github.celesteimage.image.v1.WriteArtifactResponse>newBuilder()
              .setType(io.grpc.MethodDescriptor.MethodType.CLIENT_STREAMING)
              .setFullMethodName(generateFullMethodName(SERVICE_NAME, "WriteArtifact"))
              .setSampledToLocalTracing(true)
              .setRequestMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  io.github.celesteimage.image.v1.WriteArtifactRequest.getDefaultInstance()))
              .setResponseMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  io.github.celesteimage.image.v1.WriteArtifactResponse.getDefaultInstance()))
              .setSchemaDescriptor(new ArtifactServiceMethodDescriptorSupplier("WriteArtifact"))
              .build();
        }
      }
    }
    return getWriteArtifactMethod;
  }

  private static volatile io.grpc.MethodDescriptor<io.github.celesteimage.image.v1.WriteArtifactChunkRequest,
      io.github.celesteimage.image.v1.WriteArtifactChunkResponse> getWriteArtifactChunkMethod;

  @io.grpc.stub.annotations.RpcMethod(
      fullMethodName = SERVICE_NAME + '/' + "WriteArtifactChunk",
      requestType = io.github.celesteimage.image.v1.WriteArtifactChunkRequest.class,
      responseType = io.github.celesteimage.image.v1.WriteArtifactChunkResponse.class,
      methodType = io.grpc.MethodDescriptor.MethodType.UNARY)
  public static io.grpc.MethodDescriptor<io.github.celesteimage.image.v1.WriteArtifactChunkRequest,
      io.github.celesteimage.image.v1.WriteArtifactChunkResponse> getWriteArtifactChunkMethod() {
    io.grpc.MethodDescriptor<io.github.celesteimage.image.v1.WriteArtifactChunkRequest, io.github.celesteimage.image.v1.WriteArtifactChunkResponse> getWriteArtifactChunkMethod;
    if ((getWriteArtifactChunkMethod = ArtifactServiceGrpc.getWriteArtifactChunkMethod) == null) {
      synchronized (ArtifactServiceGrpc.class) {
        if ((getWriteArtifactChunkMethod = ArtifactServiceGrpc.getWriteArtifactChunkMethod) == null) {
          ArtifactServiceGrpc.getWriteArtifactChunkMethod = getWriteArtifactChunkMethod =
              io.grpc.MethodDescriptor.<io.github.celesteimage.image.v1.WriteArtifactChunkRequest, io.github.celesteimage.image.v1.WriteArtifactChunkResponse>newBuilder()
              .setType(io.grpc.MethodDescriptor.MethodType.UNARY)
              .setFullMethodName(generateFullMethodName(SERVICE_NAME, "WriteArtifactChunk"))
              .setSampledToLocalTracing(true)
              .setRequestMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  io.github.celesteimage.image.v1.WriteArtifactChunkRequest.getDefaultInstance()))
              .setResponseMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  io.github.celesteimage.image.v1.WriteArtifactChunkResponse.getDefaultInstance()))
              .setSchemaDescriptor(new ArtifactServiceMethodDescriptorSupplier("WriteArtifactChunk"))
              .build();
        }
      }
    }
    return getWriteArtifactChunkMethod;
  }

  private static volatile io.grpc.MethodDescriptor<io.github.celesteimage.image.v1.QueryWriteStatusRequest,
      io.github.celesteimage.image.v1.QueryWriteStatusResponse> getQueryWriteStatusMethod;

  @io.grpc.stub.annotations.RpcMethod(
      fullMethodName = SERVICE_NAME + '/' + "QueryWriteStatus",
      requestType = io.github.celesteimage.image.v1.QueryWriteStatusRequest.class,
      responseType = io.github.celesteimage.image.v1.QueryWriteStatusResponse.class,
      methodType = io.grpc.MethodDescriptor.MethodType.UNARY)
  public static io.grpc.MethodDescriptor<io.github.celesteimage.image.v1.QueryWriteStatusRequest,
      io.github.celesteimage.image.v1.QueryWriteStatusResponse> getQueryWriteStatusMethod() {
    io.grpc.MethodDescriptor<io.github.celesteimage.image.v1.QueryWriteStatusRequest, io.github.celesteimage.image.v1.QueryWriteStatusResponse> getQueryWriteStatusMethod;
    if ((getQueryWriteStatusMethod = ArtifactServiceGrpc.getQueryWriteStatusMethod) == null) {
      synchronized (ArtifactServiceGrpc.class) {
        if ((getQueryWriteStatusMethod = ArtifactServiceGrpc.getQueryWriteStatusMethod) == null) {
          ArtifactServiceGrpc.getQueryWriteStatusMethod = getQueryWriteStatusMethod =
              io.grpc.MethodDescriptor.<io.github.celesteimage.image.v1.QueryWriteStatusRequest, io.github.celesteimage.image.v1.QueryWriteStatusResponse>newBuilder()
              .setType(io.grpc.MethodDescriptor.MethodType.UNARY)
              .setFullMethodName(generateFullMethodName(SERVICE_NAME, "QueryWriteStatus"))
              .setSampledToLocalTracing(true)
              .setRequestMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  io.github.celesteimage.image.v1.QueryWriteStatusRequest.getDefaultInstance()))
              .setResponseMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  io.github.celesteimage.image.v1.QueryWriteStatusResponse.getDefaultInstance()))
              .setSchemaDescriptor(new ArtifactServiceMethodDescriptorSupplier("QueryWriteStatus"))
              .build();
        }
      }
    }
    return getQueryWriteStatusMethod;
  }

  private static volatile io.grpc.MethodDescriptor<io.github.celesteimage.image.v1.ReadArtifactRequest,
      io.github.celesteimage.image.v1.ReadArtifactResponse> getReadArtifactMethod;

  @io.grpc.stub.annotations.RpcMethod(
      fullMethodName = SERVICE_NAME + '/' + "ReadArtifact",
      requestType = io.github.celesteimage.image.v1.ReadArtifactRequest.class,
      responseType = io.github.celesteimage.image.v1.ReadArtifactResponse.class,
      methodType = io.grpc.MethodDescriptor.MethodType.SERVER_STREAMING)
  public static io.grpc.MethodDescriptor<io.github.celesteimage.image.v1.ReadArtifactRequest,
      io.github.celesteimage.image.v1.ReadArtifactResponse> getReadArtifactMethod() {
    io.grpc.MethodDescriptor<io.github.celesteimage.image.v1.ReadArtifactRequest, io.github.celesteimage.image.v1.ReadArtifactResponse> getReadArtifactMethod;
    if ((getReadArtifactMethod = ArtifactServiceGrpc.getReadArtifactMethod) == null) {
      synchronized (ArtifactServiceGrpc.class) {
        if ((getReadArtifactMethod = ArtifactServiceGrpc.getReadArtifactMethod) == null) {
          ArtifactServiceGrpc.getReadArtifactMethod = getReadArtifactMethod =
              io.grpc.MethodDescriptor.<io.github.celesteimage.image.v1.ReadArtifactRequest, io.github.celesteimage.image.v1.ReadArtifactResponse>newBuilder()
              .setType(io.grpc.MethodDescriptor.MethodType.SERVER_STREAMING)
              .setFullMethodName(generateFullMethodName(SERVICE_NAME, "ReadArtifact"))
              .setSampledToLocalTracing(true)
              .setRequestMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  io.github.celesteimage.image.v1.ReadArtifactRequest.getDefaultInstance()))
              .setResponseMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  io.github.celesteimage.image.v1.ReadArtifactResponse.getDefaultInstance()))
              .setSchemaDescriptor(new ArtifactServiceMethodDescriptorSupplier("ReadArtifact"))
              .build();
        }
      }
    }
    return getReadArtifactMethod;
  }

  private static volatile io.grpc.MethodDescriptor<io.github.celesteimage.image.v1.GetArtifactRequest,
      io.github.celesteimage.image.v1.GetArtifactResponse> getGetArtifactMethod;

  @io.grpc.stub.annotations.RpcMethod(
      fullMethodName = SERVICE_NAME + '/' + "GetArtifact",
      requestType = io.github.celesteimage.image.v1.GetArtifactRequest.class,
      responseType = io.github.celesteimage.image.v1.GetArtifactResponse.class,
      methodType = io.grpc.MethodDescriptor.MethodType.UNARY)
  public static io.grpc.MethodDescriptor<io.github.celesteimage.image.v1.GetArtifactRequest,
      io.github.celesteimage.image.v1.GetArtifactResponse> getGetArtifactMethod() {
    io.grpc.MethodDescriptor<io.github.celesteimage.image.v1.GetArtifactRequest, io.github.celesteimage.image.v1.GetArtifactResponse> getGetArtifactMethod;
    if ((getGetArtifactMethod = ArtifactServiceGrpc.getGetArtifactMethod) == null) {
      synchronized (ArtifactServiceGrpc.class) {
        if ((getGetArtifactMethod = ArtifactServiceGrpc.getGetArtifactMethod) == null) {
          ArtifactServiceGrpc.getGetArtifactMethod = getGetArtifactMethod =
              io.grpc.MethodDescriptor.<io.github.celesteimage.image.v1.GetArtifactRequest, io.github.celesteimage.image.v1.GetArtifactResponse>newBuilder()
              .setType(io.grpc.MethodDescriptor.MethodType.UNARY)
              .setFullMethodName(generateFullMethodName(SERVICE_NAME, "GetArtifact"))
              .setSampledToLocalTracing(true)
              .setRequestMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  io.github.celesteimage.image.v1.GetArtifactRequest.getDefaultInstance()))
              .setResponseMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  io.github.celesteimage.image.v1.GetArtifactResponse.getDefaultInstance()))
              .setSchemaDescriptor(new ArtifactServiceMethodDescriptorSupplier("GetArtifact"))
              .build();
        }
      }
    }
    return getGetArtifactMethod;
  }

  private static volatile io.grpc.MethodDescriptor<io.github.celesteimage.image.v1.ListArtifactsRequest,
      io.github.celesteimage.image.v1.ListArtifactsResponse> getListArtifactsMethod;

  @io.grpc.stub.annotations.RpcMethod(
      fullMethodName = SERVICE_NAME + '/' + "ListArtifacts",
      requestType = io.github.celesteimage.image.v1.ListArtifactsRequest.class,
      responseType = io.github.celesteimage.image.v1.ListArtifactsResponse.class,
      methodType = io.grpc.MethodDescriptor.MethodType.UNARY)
  public static io.grpc.MethodDescriptor<io.github.celesteimage.image.v1.ListArtifactsRequest,
      io.github.celesteimage.image.v1.ListArtifactsResponse> getListArtifactsMethod() {
    io.grpc.MethodDescriptor<io.github.celesteimage.image.v1.ListArtifactsRequest, io.github.celesteimage.image.v1.ListArtifactsResponse> getListArtifactsMethod;
    if ((getListArtifactsMethod = ArtifactServiceGrpc.getListArtifactsMethod) == null) {
      synchronized (ArtifactServiceGrpc.class) {
        if ((getListArtifactsMethod = ArtifactServiceGrpc.getListArtifactsMethod) == null) {
          ArtifactServiceGrpc.getListArtifactsMethod = getListArtifactsMethod =
              io.grpc.MethodDescriptor.<io.github.celesteimage.image.v1.ListArtifactsRequest, io.github.celesteimage.image.v1.ListArtifactsResponse>newBuilder()
              .setType(io.grpc.MethodDescriptor.MethodType.UNARY)
              .setFullMethodName(generateFullMethodName(SERVICE_NAME, "ListArtifacts"))
              .setSampledToLocalTracing(true)
              .setRequestMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  io.github.celesteimage.image.v1.ListArtifactsRequest.getDefaultInstance()))
              .setResponseMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  io.github.celesteimage.image.v1.ListArtifactsResponse.getDefaultInstance()))
              .setSchemaDescriptor(new ArtifactServiceMethodDescriptorSupplier("ListArtifacts"))
              .build();
        }
      }
    }
    return getListArtifactsMethod;
  }

  private static volatile io.grpc.MethodDescriptor<io.github.celesteimage.image.v1.FindMissingArtifactsRequest,
      io.github.celesteimage.image.v1.FindMissingArtifactsResponse> getFindMissingArtifactsMethod;

  @io.grpc.stub.annotations.RpcMethod(
      fullMethodName = SERVICE_NAME + '/' + "FindMissingArtifacts",
      requestType = io.github.celesteimage.image.v1.FindMissingArtifactsRequest.class,
      responseType = io.github.celesteimage.image.v1.FindMissingArtifactsResponse.class,
      methodType = io.grpc.MethodDescriptor.MethodType.UNARY)
  public static io.grpc.MethodDescriptor<io.github.celesteimage.image.v1.FindMissingArtifactsRequest,
      io.github.celesteimage.image.v1.FindMissingArtifactsResponse> getFindMissingArtifactsMethod() {
    io.grpc.MethodDescriptor<io.github.celesteimage.image.v1.FindMissingArtifactsRequest, io.github.celesteimage.image.v1.FindMissingArtifactsResponse> getFindMissingArtifactsMethod;
    if ((getFindMissingArtifactsMethod = ArtifactServiceGrpc.getFindMissingArtifactsMethod) == null) {
      synchronized (ArtifactServiceGrpc.class) {
        if ((getFindMissingArtifactsMethod = ArtifactServiceGrpc.getFindMissingArtifactsMethod) == null) {
          ArtifactServiceGrpc.getFindMissingArtifactsMethod = getFindMissingArtifactsMethod =
              io.grpc.MethodDescriptor.<io.github.celesteimage.image.v1.FindMissingArtifactsRequest, io.github.celesteimage.image.v1.FindMissingArtifactsResponse>newBuilder()
              .setType(io.grpc.MethodDescriptor.MethodType.UNARY)
              .setFullMethodName(generateFullMethodName(SERVICE_NAME, "FindMissingArtifacts"))
              .setSampledToLocalTracing(true)
              .setRequestMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  io.github.celesteimage.image.v1.FindMissingArtifactsRequest.getDefaultInstance()))
              .setResponseMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  io.github.celesteimage.image.v1.FindMissingArtifactsResponse.getDefaultInstance()))
              .setSchemaDescriptor(new ArtifactServiceMethodDescriptorSupplier("FindMissingArtifacts"))
              .build();
        }
      }
    }
    return getFindMissingArtifactsMethod;
  }

  private static volatile io.grpc.MethodDescriptor<io.github.celesteimage.image.v1.DeleteArtifactRequest,
      io.github.celesteimage.image.v1.DeleteArtifactResponse> getDeleteArtifactMethod;

  @io.grpc.stub.annotations.RpcMethod(
      fullMethodName = SERVICE_NAME + '/' + "DeleteArtifact",
      requestType = io.github.celesteimage.image.v1.DeleteArtifactRequest.class,
      responseType = io.github.celesteimage.image.v1.DeleteArtifactResponse.class,
      methodType = io.grpc.MethodDescriptor.MethodType.UNARY)
  public static io.grpc.MethodDescriptor<io.github.celesteimage.image.v1.DeleteArtifactRequest,
      io.github.celesteimage.image.v1.DeleteArtifactResponse> getDeleteArtifactMethod() {
    io.grpc.MethodDescriptor<io.github.celesteimage.image.v1.DeleteArtifactRequest, io.github.celesteimage.image.v1.DeleteArtifactResponse> getDeleteArtifactMethod;
    if ((getDeleteArtifactMethod = ArtifactServiceGrpc.getDeleteArtifactMethod) == null) {
      synchronized (ArtifactServiceGrpc.class) {
        if ((getDeleteArtifactMethod = ArtifactServiceGrpc.getDeleteArtifactMethod) == null) {
          ArtifactServiceGrpc.getDeleteArtifactMethod = getDeleteArtifactMethod =
              io.grpc.MethodDescriptor.<io.github.celesteimage.image.v1.DeleteArtifactRequest, io.github.celesteimage.image.v1.DeleteArtifactResponse>newBuilder()
              .setType(io.grpc.MethodDescriptor.MethodType.UNARY)
              .setFullMethodName(generateFullMethodName(SERVICE_NAME, "DeleteArtifact"))
              .setSampledToLocalTracing(true)
              .setRequestMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  io.github.celesteimage.image.v1.DeleteArtifactRequest.getDefaultInstance()))
              .setResponseMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  io.github.celesteimage.image.v1.DeleteArtifactResponse.getDefaultInstance()))
              .setSchemaDescriptor(new ArtifactServiceMethodDescriptorSupplier("DeleteArtifact"))
              .build();
        }
      }
    }
    return getDeleteArtifactMethod;
  }

  /**
   * Creates a new async stub that supports all call types for the service
   */
  public static ArtifactServiceStub newStub(io.grpc.Channel channel) {
    io.grpc.stub.AbstractStub.StubFactory<ArtifactServiceStub> factory =
      new io.grpc.stub.AbstractStub.StubFactory<ArtifactServiceStub>() {
        @java.lang.Override
        public ArtifactServiceStub newStub(io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
          return new ArtifactServiceStub(channel, callOptions);
        }
      };
    return ArtifactServiceStub.newStub(factory, channel);
  }

  /**
   * Creates a new blocking-style stub that supports all types of calls on the service
   */
  public static ArtifactServiceBlockingV2Stub newBlockingV2Stub(
      io.grpc.Channel channel) {
    io.grpc.stub.AbstractStub.StubFactory<ArtifactServiceBlockingV2Stub> factory =
      new io.grpc.stub.AbstractStub.StubFactory<ArtifactServiceBlockingV2Stub>() {
        @java.lang.Override
        public ArtifactServiceBlockingV2Stub newStub(io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
          return new ArtifactServiceBlockingV2Stub(channel, callOptions);
        }
      };
    return ArtifactServiceBlockingV2Stub.newStub(factory, channel);
  }

  /**
   * Creates a new blocking-style stub that supports unary and streaming output calls on the service
   */
  public static ArtifactServiceBlockingStub newBlockingStub(
      io.grpc.Channel channel) {
    io.grpc.stub.AbstractStub.StubFactory<ArtifactServiceBlockingStub> factory =
      new io.grpc.stub.AbstractStub.StubFactory<ArtifactServiceBlockingStub>() {
        @java.lang.Override
        public ArtifactServiceBlockingStub newStub(io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
          return new ArtifactServiceBlockingStub(channel, callOptions);
        }
      };
    return ArtifactServiceBlockingStub.newStub(factory, channel);
  }

  /**
   * Creates a new ListenableFuture-style stub that supports unary calls on the service
   */
  public static ArtifactServiceFutureStub newFutureStub(
      io.grpc.Channel channel) {
    io.grpc.stub.AbstractStub.StubFactory<ArtifactServiceFutureStub> factory =
      new io.grpc.stub.AbstractStub.StubFactory<ArtifactServiceFutureStub>() {
        @java.lang.Override
        public ArtifactServiceFutureStub newStub(io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
          return new ArtifactServiceFutureStub(channel, callOptions);
        }
      };
    return ArtifactServiceFutureStub.newStub(factory, channel);
  }

  /**
   * <pre>
   * Stores bytes by name. A name holds the digest of the bytes: it always stands for the same bytes, and clients know it
   * before the upload. Artifacts belong to their caller. Other callers get NOT_FOUND, also when they know the digest.
   * All calls share these errors, each with `google.rpc.ErrorInfo`:
   * * `INVALID_ARGUMENT`: a name is not `artifacts/sha256-&lt;64 hex digits&gt;`, a number is out of range, or this server does
   *   not know a field of the request.
   * * `NOT_FOUND`: the caller has no artifact of this name, or the artifact has expired.
   * * `RESOURCE_EXHAUSTED`: the store is full; `google.rpc.RetryInfo` has the delay before a retry.
   * * `UNAVAILABLE`: the server cannot reach or write the store. A retry is safe.
   * </pre>
   */
  public interface AsyncService {

    /**
     * <pre>
     * Stores bytes that the caller sends in chunks.
     * A client may begin at or below the committed size: the server ignores bytes that it has. After a lost connection,
     * `QueryWriteStatus` returns the committed size for a resume. After the last byte the server checks the digest,
     * writes the bytes to disk and returns the artifact. If the caller already has the artifact, the server returns it at
     * once. A stream that ends before the last byte gets only the committed size. Errors:
     * * `INVALID_ARGUMENT`, DIGEST_MISMATCH: the bytes do not match the declared digest or size; the server discarded
     *   them.
     * * `INVALID_ARGUMENT`, INVALID_FIELD: a chunk begins beyond the committed size; metadata has `committed_size_bytes`.
     * * `INVALID_ARGUMENT`, IMAGE_TOO_LARGE: the size exceeds `ServerLimits.image_bytes`.
     * </pre>
     */
    default io.grpc.stub.StreamObserver<io.github.celesteimage.image.v1.WriteArtifactRequest> writeArtifact(
        io.grpc.stub.StreamObserver<io.github.celesteimage.image.v1.WriteArtifactResponse> responseObserver) {
      return io.grpc.stub.ServerCalls.asyncUnimplementedStreamingCall(getWriteArtifactMethod(), responseObserver);
    }

    /**
     * <pre>
     * Stores one chunk of an artifact: `WriteArtifact` for clients without client streams, such as browsers and JSON.
     * Each call has the name and the size of the whole artifact. The call that completes the artifact checks the digest,
     * writes the bytes to disk and returns the artifact; an earlier call returns only the committed size, where the next
     * chunk begins. The server ignores bytes that it has, so a retry of a call is safe. If the caller already has the
     * artifact, the server returns it at once, also without a chunk. Both calls may continue an upload of the other, and
     * `QueryWriteStatus` returns the committed size for a resume. The errors are those of `WriteArtifact`.
     * </pre>
     */
    default void writeArtifactChunk(io.github.celesteimage.image.v1.WriteArtifactChunkRequest request,
        io.grpc.stub.StreamObserver<io.github.celesteimage.image.v1.WriteArtifactChunkResponse> responseObserver) {
      io.grpc.stub.ServerCalls.asyncUnimplementedUnaryCall(getWriteArtifactChunkMethod(), responseObserver);
    }

    /**
     * <pre>
     * Returns how much of an artifact the server has.
     * </pre>
     */
    default void queryWriteStatus(io.github.celesteimage.image.v1.QueryWriteStatusRequest request,
        io.grpc.stub.StreamObserver<io.github.celesteimage.image.v1.QueryWriteStatusResponse> responseObserver) {
      io.grpc.stub.ServerCalls.asyncUnimplementedUnaryCall(getQueryWriteStatusMethod(), responseObserver);
    }

    /**
     * <pre>
     * Reads an artifact, or a part of it, in chunks.
     * After a lost connection, resume with `offset` at the first missing byte. At the end, check the SHA-256 in the name
     * against all the bytes. Errors:
     * * `OUT_OF_RANGE`: the offset is beyond the end.
     * * `DATA_LOSS`: the stored bytes are damaged or lost; store them again.
     * * `RESOURCE_EXHAUSTED`, SLOW_READER: the caller did not read within the server's timeout.
     * </pre>
     */
    default void readArtifact(io.github.celesteimage.image.v1.ReadArtifactRequest request,
        io.grpc.stub.StreamObserver<io.github.celesteimage.image.v1.ReadArtifactResponse> responseObserver) {
      io.grpc.stub.ServerCalls.asyncUnimplementedUnaryCall(getReadArtifactMethod(), responseObserver);
    }

    /**
     * <pre>
     * Returns facts about an artifact.
     * </pre>
     */
    default void getArtifact(io.github.celesteimage.image.v1.GetArtifactRequest request,
        io.grpc.stub.StreamObserver<io.github.celesteimage.image.v1.GetArtifactResponse> responseObserver) {
      io.grpc.stub.ServerCalls.asyncUnimplementedUnaryCall(getGetArtifactMethod(), responseObserver);
    }

    /**
     * <pre>
     * Lists the caller's artifacts, ordered by name. Only an empty `next_page_token` ends the list.
     * </pre>
     */
    default void listArtifacts(io.github.celesteimage.image.v1.ListArtifactsRequest request,
        io.grpc.stub.StreamObserver<io.github.celesteimage.image.v1.ListArtifactsResponse> responseObserver) {
      io.grpc.stub.ServerCalls.asyncUnimplementedUnaryCall(getListArtifactsMethod(), responseObserver);
    }

    /**
     * <pre>
     * Returns the names that the caller would have to upload. The response never reveals artifacts of other callers.
     * </pre>
     */
    default void findMissingArtifacts(io.github.celesteimage.image.v1.FindMissingArtifactsRequest request,
        io.grpc.stub.StreamObserver<io.github.celesteimage.image.v1.FindMissingArtifactsResponse> responseObserver) {
      io.grpc.stub.ServerCalls.asyncUnimplementedUnaryCall(getFindMissingArtifactsMethod(), responseObserver);
    }

    /**
     * <pre>
     * Deletes an artifact of the caller and its unfinished upload. Deleting a missing artifact succeeds.
     * </pre>
     */
    default void deleteArtifact(io.github.celesteimage.image.v1.DeleteArtifactRequest request,
        io.grpc.stub.StreamObserver<io.github.celesteimage.image.v1.DeleteArtifactResponse> responseObserver) {
      io.grpc.stub.ServerCalls.asyncUnimplementedUnaryCall(getDeleteArtifactMethod(), responseObserver);
    }
  }

  /**
   * Base class for the server implementation of the service ArtifactService.
   * <pre>
   * Stores bytes by name. A name holds the digest of the bytes: it always stands for the same bytes, and clients know it
   * before the upload. Artifacts belong to their caller. Other callers get NOT_FOUND, also when they know the digest.
   * All calls share these errors, each with `google.rpc.ErrorInfo`:
   * * `INVALID_ARGUMENT`: a name is not `artifacts/sha256-&lt;64 hex digits&gt;`, a number is out of range, or this server does
   *   not know a field of the request.
   * * `NOT_FOUND`: the caller has no artifact of this name, or the artifact has expired.
   * * `RESOURCE_EXHAUSTED`: the store is full; `google.rpc.RetryInfo` has the delay before a retry.
   * * `UNAVAILABLE`: the server cannot reach or write the store. A retry is safe.
   * </pre>
   */
  public static abstract class ArtifactServiceImplBase
      implements io.grpc.BindableService, AsyncService {

    @java.lang.Override public final io.grpc.ServerServiceDefinition bindService() {
      return ArtifactServiceGrpc.bindService(this);
    }
  }

  /**
   * A stub to allow clients to do asynchronous rpc calls to service ArtifactService.
   * <pre>
   * Stores bytes by name. A name holds the digest of the bytes: it always stands for the same bytes, and clients know it
   * before the upload. Artifacts belong to their caller. Other callers get NOT_FOUND, also when they know the digest.
   * All calls share these errors, each with `google.rpc.ErrorInfo`:
   * * `INVALID_ARGUMENT`: a name is not `artifacts/sha256-&lt;64 hex digits&gt;`, a number is out of range, or this server does
   *   not know a field of the request.
   * * `NOT_FOUND`: the caller has no artifact of this name, or the artifact has expired.
   * * `RESOURCE_EXHAUSTED`: the store is full; `google.rpc.RetryInfo` has the delay before a retry.
   * * `UNAVAILABLE`: the server cannot reach or write the store. A retry is safe.
   * </pre>
   */
  public static final class ArtifactServiceStub
      extends io.grpc.stub.AbstractAsyncStub<ArtifactServiceStub> {
    private ArtifactServiceStub(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      super(channel, callOptions);
    }

    @java.lang.Override
    protected ArtifactServiceStub build(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      return new ArtifactServiceStub(channel, callOptions);
    }

    /**
     * <pre>
     * Stores bytes that the caller sends in chunks.
     * A client may begin at or below the committed size: the server ignores bytes that it has. After a lost connection,
     * `QueryWriteStatus` returns the committed size for a resume. After the last byte the server checks the digest,
     * writes the bytes to disk and returns the artifact. If the caller already has the artifact, the server returns it at
     * once. A stream that ends before the last byte gets only the committed size. Errors:
     * * `INVALID_ARGUMENT`, DIGEST_MISMATCH: the bytes do not match the declared digest or size; the server discarded
     *   them.
     * * `INVALID_ARGUMENT`, INVALID_FIELD: a chunk begins beyond the committed size; metadata has `committed_size_bytes`.
     * * `INVALID_ARGUMENT`, IMAGE_TOO_LARGE: the size exceeds `ServerLimits.image_bytes`.
     * </pre>
     */
    public io.grpc.stub.StreamObserver<io.github.celesteimage.image.v1.WriteArtifactRequest> writeArtifact(
        io.grpc.stub.StreamObserver<io.github.celesteimage.image.v1.WriteArtifactResponse> responseObserver) {
      return io.grpc.stub.ClientCalls.asyncClientStreamingCall(
          getChannel().newCall(getWriteArtifactMethod(), getCallOptions()), responseObserver);
    }

    /**
     * <pre>
     * Stores one chunk of an artifact: `WriteArtifact` for clients without client streams, such as browsers and JSON.
     * Each call has the name and the size of the whole artifact. The call that completes the artifact checks the digest,
     * writes the bytes to disk and returns the artifact; an earlier call returns only the committed size, where the next
     * chunk begins. The server ignores bytes that it has, so a retry of a call is safe. If the caller already has the
     * artifact, the server returns it at once, also without a chunk. Both calls may continue an upload of the other, and
     * `QueryWriteStatus` returns the committed size for a resume. The errors are those of `WriteArtifact`.
     * </pre>
     */
    public void writeArtifactChunk(io.github.celesteimage.image.v1.WriteArtifactChunkRequest request,
        io.grpc.stub.StreamObserver<io.github.celesteimage.image.v1.WriteArtifactChunkResponse> responseObserver) {
      io.grpc.stub.ClientCalls.asyncUnaryCall(
          getChannel().newCall(getWriteArtifactChunkMethod(), getCallOptions()), request, responseObserver);
    }

    /**
     * <pre>
     * Returns how much of an artifact the server has.
     * </pre>
     */
    public void queryWriteStatus(io.github.celesteimage.image.v1.QueryWriteStatusRequest request,
        io.grpc.stub.StreamObserver<io.github.celesteimage.image.v1.QueryWriteStatusResponse> responseObserver) {
      io.grpc.stub.ClientCalls.asyncUnaryCall(
          getChannel().newCall(getQueryWriteStatusMethod(), getCallOptions()), request, responseObserver);
    }

    /**
     * <pre>
     * Reads an artifact, or a part of it, in chunks.
     * After a lost connection, resume with `offset` at the first missing byte. At the end, check the SHA-256 in the name
     * against all the bytes. Errors:
     * * `OUT_OF_RANGE`: the offset is beyond the end.
     * * `DATA_LOSS`: the stored bytes are damaged or lost; store them again.
     * * `RESOURCE_EXHAUSTED`, SLOW_READER: the caller did not read within the server's timeout.
     * </pre>
     */
    public void readArtifact(io.github.celesteimage.image.v1.ReadArtifactRequest request,
        io.grpc.stub.StreamObserver<io.github.celesteimage.image.v1.ReadArtifactResponse> responseObserver) {
      io.grpc.stub.ClientCalls.asyncServerStreamingCall(
          getChannel().newCall(getReadArtifactMethod(), getCallOptions()), request, responseObserver);
    }

    /**
     * <pre>
     * Returns facts about an artifact.
     * </pre>
     */
    public void getArtifact(io.github.celesteimage.image.v1.GetArtifactRequest request,
        io.grpc.stub.StreamObserver<io.github.celesteimage.image.v1.GetArtifactResponse> responseObserver) {
      io.grpc.stub.ClientCalls.asyncUnaryCall(
          getChannel().newCall(getGetArtifactMethod(), getCallOptions()), request, responseObserver);
    }

    /**
     * <pre>
     * Lists the caller's artifacts, ordered by name. Only an empty `next_page_token` ends the list.
     * </pre>
     */
    public void listArtifacts(io.github.celesteimage.image.v1.ListArtifactsRequest request,
        io.grpc.stub.StreamObserver<io.github.celesteimage.image.v1.ListArtifactsResponse> responseObserver) {
      io.grpc.stub.ClientCalls.asyncUnaryCall(
          getChannel().newCall(getListArtifactsMethod(), getCallOptions()), request, responseObserver);
    }

    /**
     * <pre>
     * Returns the names that the caller would have to upload. The response never reveals artifacts of other callers.
     * </pre>
     */
    public void findMissingArtifacts(io.github.celesteimage.image.v1.FindMissingArtifactsRequest request,
        io.grpc.stub.StreamObserver<io.github.celesteimage.image.v1.FindMissingArtifactsResponse> responseObserver) {
      io.grpc.stub.ClientCalls.asyncUnaryCall(
          getChannel().newCall(getFindMissingArtifactsMethod(), getCallOptions()), request, responseObserver);
    }

    /**
     * <pre>
     * Deletes an artifact of the caller and its unfinished upload. Deleting a missing artifact succeeds.
     * </pre>
     */
    public void deleteArtifact(io.github.celesteimage.image.v1.DeleteArtifactRequest request,
        io.grpc.stub.StreamObserver<io.github.celesteimage.image.v1.DeleteArtifactResponse> responseObserver) {
      io.grpc.stub.ClientCalls.asyncUnaryCall(
          getChannel().newCall(getDeleteArtifactMethod(), getCallOptions()), request, responseObserver);
    }
  }

  /**
   * A stub to allow clients to do synchronous rpc calls to service ArtifactService.
   * <pre>
   * Stores bytes by name. A name holds the digest of the bytes: it always stands for the same bytes, and clients know it
   * before the upload. Artifacts belong to their caller. Other callers get NOT_FOUND, also when they know the digest.
   * All calls share these errors, each with `google.rpc.ErrorInfo`:
   * * `INVALID_ARGUMENT`: a name is not `artifacts/sha256-&lt;64 hex digits&gt;`, a number is out of range, or this server does
   *   not know a field of the request.
   * * `NOT_FOUND`: the caller has no artifact of this name, or the artifact has expired.
   * * `RESOURCE_EXHAUSTED`: the store is full; `google.rpc.RetryInfo` has the delay before a retry.
   * * `UNAVAILABLE`: the server cannot reach or write the store. A retry is safe.
   * </pre>
   */
  public static final class ArtifactServiceBlockingV2Stub
      extends io.grpc.stub.AbstractBlockingStub<ArtifactServiceBlockingV2Stub> {
    private ArtifactServiceBlockingV2Stub(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      super(channel, callOptions);
    }

    @java.lang.Override
    protected ArtifactServiceBlockingV2Stub build(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      return new ArtifactServiceBlockingV2Stub(channel, callOptions);
    }

    /**
     * <pre>
     * Stores bytes that the caller sends in chunks.
     * A client may begin at or below the committed size: the server ignores bytes that it has. After a lost connection,
     * `QueryWriteStatus` returns the committed size for a resume. After the last byte the server checks the digest,
     * writes the bytes to disk and returns the artifact. If the caller already has the artifact, the server returns it at
     * once. A stream that ends before the last byte gets only the committed size. Errors:
     * * `INVALID_ARGUMENT`, DIGEST_MISMATCH: the bytes do not match the declared digest or size; the server discarded
     *   them.
     * * `INVALID_ARGUMENT`, INVALID_FIELD: a chunk begins beyond the committed size; metadata has `committed_size_bytes`.
     * * `INVALID_ARGUMENT`, IMAGE_TOO_LARGE: the size exceeds `ServerLimits.image_bytes`.
     * </pre>
     */
    @io.grpc.ExperimentalApi("https://github.com/grpc/grpc-java/issues/10918")
    public io.grpc.stub.BlockingClientCall<io.github.celesteimage.image.v1.WriteArtifactRequest, io.github.celesteimage.image.v1.WriteArtifactResponse>
        writeArtifact() {
      return io.grpc.stub.ClientCalls.blockingClientStreamingCall(
          getChannel(), getWriteArtifactMethod(), getCallOptions());
    }

    /**
     * <pre>
     * Stores one chunk of an artifact: `WriteArtifact` for clients without client streams, such as browsers and JSON.
     * Each call has the name and the size of the whole artifact. The call that completes the artifact checks the digest,
     * writes the bytes to disk and returns the artifact; an earlier call returns only the committed size, where the next
     * chunk begins. The server ignores bytes that it has, so a retry of a call is safe. If the caller already has the
     * artifact, the server returns it at once, also without a chunk. Both calls may continue an upload of the other, and
     * `QueryWriteStatus` returns the committed size for a resume. The errors are those of `WriteArtifact`.
     * </pre>
     */
    public io.github.celesteimage.image.v1.WriteArtifactChunkResponse writeArtifactChunk(io.github.celesteimage.image.v1.WriteArtifactChunkRequest request) throws io.grpc.StatusException {
      return io.grpc.stub.ClientCalls.blockingV2UnaryCall(
          getChannel(), getWriteArtifactChunkMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * Returns how much of an artifact the server has.
     * </pre>
     */
    public io.github.celesteimage.image.v1.QueryWriteStatusResponse queryWriteStatus(io.github.celesteimage.image.v1.QueryWriteStatusRequest request) throws io.grpc.StatusException {
      return io.grpc.stub.ClientCalls.blockingV2UnaryCall(
          getChannel(), getQueryWriteStatusMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * Reads an artifact, or a part of it, in chunks.
     * After a lost connection, resume with `offset` at the first missing byte. At the end, check the SHA-256 in the name
     * against all the bytes. Errors:
     * * `OUT_OF_RANGE`: the offset is beyond the end.
     * * `DATA_LOSS`: the stored bytes are damaged or lost; store them again.
     * * `RESOURCE_EXHAUSTED`, SLOW_READER: the caller did not read within the server's timeout.
     * </pre>
     */
    @io.grpc.ExperimentalApi("https://github.com/grpc/grpc-java/issues/10918")
    public io.grpc.stub.BlockingClientCall<?, io.github.celesteimage.image.v1.ReadArtifactResponse>
        readArtifact(io.github.celesteimage.image.v1.ReadArtifactRequest request) {
      return io.grpc.stub.ClientCalls.blockingV2ServerStreamingCall(
          getChannel(), getReadArtifactMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * Returns facts about an artifact.
     * </pre>
     */
    public io.github.celesteimage.image.v1.GetArtifactResponse getArtifact(io.github.celesteimage.image.v1.GetArtifactRequest request) throws io.grpc.StatusException {
      return io.grpc.stub.ClientCalls.blockingV2UnaryCall(
          getChannel(), getGetArtifactMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * Lists the caller's artifacts, ordered by name. Only an empty `next_page_token` ends the list.
     * </pre>
     */
    public io.github.celesteimage.image.v1.ListArtifactsResponse listArtifacts(io.github.celesteimage.image.v1.ListArtifactsRequest request) throws io.grpc.StatusException {
      return io.grpc.stub.ClientCalls.blockingV2UnaryCall(
          getChannel(), getListArtifactsMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * Returns the names that the caller would have to upload. The response never reveals artifacts of other callers.
     * </pre>
     */
    public io.github.celesteimage.image.v1.FindMissingArtifactsResponse findMissingArtifacts(io.github.celesteimage.image.v1.FindMissingArtifactsRequest request) throws io.grpc.StatusException {
      return io.grpc.stub.ClientCalls.blockingV2UnaryCall(
          getChannel(), getFindMissingArtifactsMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * Deletes an artifact of the caller and its unfinished upload. Deleting a missing artifact succeeds.
     * </pre>
     */
    public io.github.celesteimage.image.v1.DeleteArtifactResponse deleteArtifact(io.github.celesteimage.image.v1.DeleteArtifactRequest request) throws io.grpc.StatusException {
      return io.grpc.stub.ClientCalls.blockingV2UnaryCall(
          getChannel(), getDeleteArtifactMethod(), getCallOptions(), request);
    }
  }

  /**
   * A stub to allow clients to do limited synchronous rpc calls to service ArtifactService.
   * <pre>
   * Stores bytes by name. A name holds the digest of the bytes: it always stands for the same bytes, and clients know it
   * before the upload. Artifacts belong to their caller. Other callers get NOT_FOUND, also when they know the digest.
   * All calls share these errors, each with `google.rpc.ErrorInfo`:
   * * `INVALID_ARGUMENT`: a name is not `artifacts/sha256-&lt;64 hex digits&gt;`, a number is out of range, or this server does
   *   not know a field of the request.
   * * `NOT_FOUND`: the caller has no artifact of this name, or the artifact has expired.
   * * `RESOURCE_EXHAUSTED`: the store is full; `google.rpc.RetryInfo` has the delay before a retry.
   * * `UNAVAILABLE`: the server cannot reach or write the store. A retry is safe.
   * </pre>
   */
  public static final class ArtifactServiceBlockingStub
      extends io.grpc.stub.AbstractBlockingStub<ArtifactServiceBlockingStub> {
    private ArtifactServiceBlockingStub(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      super(channel, callOptions);
    }

    @java.lang.Override
    protected ArtifactServiceBlockingStub build(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      return new ArtifactServiceBlockingStub(channel, callOptions);
    }

    /**
     * <pre>
     * Stores one chunk of an artifact: `WriteArtifact` for clients without client streams, such as browsers and JSON.
     * Each call has the name and the size of the whole artifact. The call that completes the artifact checks the digest,
     * writes the bytes to disk and returns the artifact; an earlier call returns only the committed size, where the next
     * chunk begins. The server ignores bytes that it has, so a retry of a call is safe. If the caller already has the
     * artifact, the server returns it at once, also without a chunk. Both calls may continue an upload of the other, and
     * `QueryWriteStatus` returns the committed size for a resume. The errors are those of `WriteArtifact`.
     * </pre>
     */
    public io.github.celesteimage.image.v1.WriteArtifactChunkResponse writeArtifactChunk(io.github.celesteimage.image.v1.WriteArtifactChunkRequest request) {
      return io.grpc.stub.ClientCalls.blockingUnaryCall(
          getChannel(), getWriteArtifactChunkMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * Returns how much of an artifact the server has.
     * </pre>
     */
    public io.github.celesteimage.image.v1.QueryWriteStatusResponse queryWriteStatus(io.github.celesteimage.image.v1.QueryWriteStatusRequest request) {
      return io.grpc.stub.ClientCalls.blockingUnaryCall(
          getChannel(), getQueryWriteStatusMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * Reads an artifact, or a part of it, in chunks.
     * After a lost connection, resume with `offset` at the first missing byte. At the end, check the SHA-256 in the name
     * against all the bytes. Errors:
     * * `OUT_OF_RANGE`: the offset is beyond the end.
     * * `DATA_LOSS`: the stored bytes are damaged or lost; store them again.
     * * `RESOURCE_EXHAUSTED`, SLOW_READER: the caller did not read within the server's timeout.
     * </pre>
     */
    public java.util.Iterator<io.github.celesteimage.image.v1.ReadArtifactResponse> readArtifact(
        io.github.celesteimage.image.v1.ReadArtifactRequest request) {
      return io.grpc.stub.ClientCalls.blockingServerStreamingCall(
          getChannel(), getReadArtifactMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * Returns facts about an artifact.
     * </pre>
     */
    public io.github.celesteimage.image.v1.GetArtifactResponse getArtifact(io.github.celesteimage.image.v1.GetArtifactRequest request) {
      return io.grpc.stub.ClientCalls.blockingUnaryCall(
          getChannel(), getGetArtifactMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * Lists the caller's artifacts, ordered by name. Only an empty `next_page_token` ends the list.
     * </pre>
     */
    public io.github.celesteimage.image.v1.ListArtifactsResponse listArtifacts(io.github.celesteimage.image.v1.ListArtifactsRequest request) {
      return io.grpc.stub.ClientCalls.blockingUnaryCall(
          getChannel(), getListArtifactsMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * Returns the names that the caller would have to upload. The response never reveals artifacts of other callers.
     * </pre>
     */
    public io.github.celesteimage.image.v1.FindMissingArtifactsResponse findMissingArtifacts(io.github.celesteimage.image.v1.FindMissingArtifactsRequest request) {
      return io.grpc.stub.ClientCalls.blockingUnaryCall(
          getChannel(), getFindMissingArtifactsMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * Deletes an artifact of the caller and its unfinished upload. Deleting a missing artifact succeeds.
     * </pre>
     */
    public io.github.celesteimage.image.v1.DeleteArtifactResponse deleteArtifact(io.github.celesteimage.image.v1.DeleteArtifactRequest request) {
      return io.grpc.stub.ClientCalls.blockingUnaryCall(
          getChannel(), getDeleteArtifactMethod(), getCallOptions(), request);
    }
  }

  /**
   * A stub to allow clients to do ListenableFuture-style rpc calls to service ArtifactService.
   * <pre>
   * Stores bytes by name. A name holds the digest of the bytes: it always stands for the same bytes, and clients know it
   * before the upload. Artifacts belong to their caller. Other callers get NOT_FOUND, also when they know the digest.
   * All calls share these errors, each with `google.rpc.ErrorInfo`:
   * * `INVALID_ARGUMENT`: a name is not `artifacts/sha256-&lt;64 hex digits&gt;`, a number is out of range, or this server does
   *   not know a field of the request.
   * * `NOT_FOUND`: the caller has no artifact of this name, or the artifact has expired.
   * * `RESOURCE_EXHAUSTED`: the store is full; `google.rpc.RetryInfo` has the delay before a retry.
   * * `UNAVAILABLE`: the server cannot reach or write the store. A retry is safe.
   * </pre>
   */
  public static final class ArtifactServiceFutureStub
      extends io.grpc.stub.AbstractFutureStub<ArtifactServiceFutureStub> {
    private ArtifactServiceFutureStub(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      super(channel, callOptions);
    }

    @java.lang.Override
    protected ArtifactServiceFutureStub build(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      return new ArtifactServiceFutureStub(channel, callOptions);
    }

    /**
     * <pre>
     * Stores one chunk of an artifact: `WriteArtifact` for clients without client streams, such as browsers and JSON.
     * Each call has the name and the size of the whole artifact. The call that completes the artifact checks the digest,
     * writes the bytes to disk and returns the artifact; an earlier call returns only the committed size, where the next
     * chunk begins. The server ignores bytes that it has, so a retry of a call is safe. If the caller already has the
     * artifact, the server returns it at once, also without a chunk. Both calls may continue an upload of the other, and
     * `QueryWriteStatus` returns the committed size for a resume. The errors are those of `WriteArtifact`.
     * </pre>
     */
    public com.google.common.util.concurrent.ListenableFuture<io.github.celesteimage.image.v1.WriteArtifactChunkResponse> writeArtifactChunk(
        io.github.celesteimage.image.v1.WriteArtifactChunkRequest request) {
      return io.grpc.stub.ClientCalls.futureUnaryCall(
          getChannel().newCall(getWriteArtifactChunkMethod(), getCallOptions()), request);
    }

    /**
     * <pre>
     * Returns how much of an artifact the server has.
     * </pre>
     */
    public com.google.common.util.concurrent.ListenableFuture<io.github.celesteimage.image.v1.QueryWriteStatusResponse> queryWriteStatus(
        io.github.celesteimage.image.v1.QueryWriteStatusRequest request) {
      return io.grpc.stub.ClientCalls.futureUnaryCall(
          getChannel().newCall(getQueryWriteStatusMethod(), getCallOptions()), request);
    }

    /**
     * <pre>
     * Returns facts about an artifact.
     * </pre>
     */
    public com.google.common.util.concurrent.ListenableFuture<io.github.celesteimage.image.v1.GetArtifactResponse> getArtifact(
        io.github.celesteimage.image.v1.GetArtifactRequest request) {
      return io.grpc.stub.ClientCalls.futureUnaryCall(
          getChannel().newCall(getGetArtifactMethod(), getCallOptions()), request);
    }

    /**
     * <pre>
     * Lists the caller's artifacts, ordered by name. Only an empty `next_page_token` ends the list.
     * </pre>
     */
    public com.google.common.util.concurrent.ListenableFuture<io.github.celesteimage.image.v1.ListArtifactsResponse> listArtifacts(
        io.github.celesteimage.image.v1.ListArtifactsRequest request) {
      return io.grpc.stub.ClientCalls.futureUnaryCall(
          getChannel().newCall(getListArtifactsMethod(), getCallOptions()), request);
    }

    /**
     * <pre>
     * Returns the names that the caller would have to upload. The response never reveals artifacts of other callers.
     * </pre>
     */
    public com.google.common.util.concurrent.ListenableFuture<io.github.celesteimage.image.v1.FindMissingArtifactsResponse> findMissingArtifacts(
        io.github.celesteimage.image.v1.FindMissingArtifactsRequest request) {
      return io.grpc.stub.ClientCalls.futureUnaryCall(
          getChannel().newCall(getFindMissingArtifactsMethod(), getCallOptions()), request);
    }

    /**
     * <pre>
     * Deletes an artifact of the caller and its unfinished upload. Deleting a missing artifact succeeds.
     * </pre>
     */
    public com.google.common.util.concurrent.ListenableFuture<io.github.celesteimage.image.v1.DeleteArtifactResponse> deleteArtifact(
        io.github.celesteimage.image.v1.DeleteArtifactRequest request) {
      return io.grpc.stub.ClientCalls.futureUnaryCall(
          getChannel().newCall(getDeleteArtifactMethod(), getCallOptions()), request);
    }
  }

  private static final int METHODID_WRITE_ARTIFACT_CHUNK = 0;
  private static final int METHODID_QUERY_WRITE_STATUS = 1;
  private static final int METHODID_READ_ARTIFACT = 2;
  private static final int METHODID_GET_ARTIFACT = 3;
  private static final int METHODID_LIST_ARTIFACTS = 4;
  private static final int METHODID_FIND_MISSING_ARTIFACTS = 5;
  private static final int METHODID_DELETE_ARTIFACT = 6;
  private static final int METHODID_WRITE_ARTIFACT = 7;

  private static final class MethodHandlers<Req, Resp> implements
      io.grpc.stub.ServerCalls.UnaryMethod<Req, Resp>,
      io.grpc.stub.ServerCalls.ServerStreamingMethod<Req, Resp>,
      io.grpc.stub.ServerCalls.ClientStreamingMethod<Req, Resp>,
      io.grpc.stub.ServerCalls.BidiStreamingMethod<Req, Resp> {
    private final AsyncService serviceImpl;
    private final int methodId;

    MethodHandlers(AsyncService serviceImpl, int methodId) {
      this.serviceImpl = serviceImpl;
      this.methodId = methodId;
    }

    @java.lang.Override
    @java.lang.SuppressWarnings("unchecked")
    public void invoke(Req request, io.grpc.stub.StreamObserver<Resp> responseObserver) {
      switch (methodId) {
        case METHODID_WRITE_ARTIFACT_CHUNK:
          serviceImpl.writeArtifactChunk((io.github.celesteimage.image.v1.WriteArtifactChunkRequest) request,
              (io.grpc.stub.StreamObserver<io.github.celesteimage.image.v1.WriteArtifactChunkResponse>) responseObserver);
          break;
        case METHODID_QUERY_WRITE_STATUS:
          serviceImpl.queryWriteStatus((io.github.celesteimage.image.v1.QueryWriteStatusRequest) request,
              (io.grpc.stub.StreamObserver<io.github.celesteimage.image.v1.QueryWriteStatusResponse>) responseObserver);
          break;
        case METHODID_READ_ARTIFACT:
          serviceImpl.readArtifact((io.github.celesteimage.image.v1.ReadArtifactRequest) request,
              (io.grpc.stub.StreamObserver<io.github.celesteimage.image.v1.ReadArtifactResponse>) responseObserver);
          break;
        case METHODID_GET_ARTIFACT:
          serviceImpl.getArtifact((io.github.celesteimage.image.v1.GetArtifactRequest) request,
              (io.grpc.stub.StreamObserver<io.github.celesteimage.image.v1.GetArtifactResponse>) responseObserver);
          break;
        case METHODID_LIST_ARTIFACTS:
          serviceImpl.listArtifacts((io.github.celesteimage.image.v1.ListArtifactsRequest) request,
              (io.grpc.stub.StreamObserver<io.github.celesteimage.image.v1.ListArtifactsResponse>) responseObserver);
          break;
        case METHODID_FIND_MISSING_ARTIFACTS:
          serviceImpl.findMissingArtifacts((io.github.celesteimage.image.v1.FindMissingArtifactsRequest) request,
              (io.grpc.stub.StreamObserver<io.github.celesteimage.image.v1.FindMissingArtifactsResponse>) responseObserver);
          break;
        case METHODID_DELETE_ARTIFACT:
          serviceImpl.deleteArtifact((io.github.celesteimage.image.v1.DeleteArtifactRequest) request,
              (io.grpc.stub.StreamObserver<io.github.celesteimage.image.v1.DeleteArtifactResponse>) responseObserver);
          break;
        default:
          throw new AssertionError();
      }
    }

    @java.lang.Override
    @java.lang.SuppressWarnings("unchecked")
    public io.grpc.stub.StreamObserver<Req> invoke(
        io.grpc.stub.StreamObserver<Resp> responseObserver) {
      switch (methodId) {
        case METHODID_WRITE_ARTIFACT:
          return (io.grpc.stub.StreamObserver<Req>) serviceImpl.writeArtifact(
              (io.grpc.stub.StreamObserver<io.github.celesteimage.image.v1.WriteArtifactResponse>) responseObserver);
        default:
          throw new AssertionError();
      }
    }
  }

  public static final io.grpc.ServerServiceDefinition bindService(AsyncService service) {
    return io.grpc.ServerServiceDefinition.builder(getServiceDescriptor())
        .addMethod(
          getWriteArtifactMethod(),
          io.grpc.stub.ServerCalls.asyncClientStreamingCall(
            new MethodHandlers<
              io.github.celesteimage.image.v1.WriteArtifactRequest,
              io.github.celesteimage.image.v1.WriteArtifactResponse>(
                service, METHODID_WRITE_ARTIFACT)))
        .addMethod(
          getWriteArtifactChunkMethod(),
          io.grpc.stub.ServerCalls.asyncUnaryCall(
            new MethodHandlers<
              io.github.celesteimage.image.v1.WriteArtifactChunkRequest,
              io.github.celesteimage.image.v1.WriteArtifactChunkResponse>(
                service, METHODID_WRITE_ARTIFACT_CHUNK)))
        .addMethod(
          getQueryWriteStatusMethod(),
          io.grpc.stub.ServerCalls.asyncUnaryCall(
            new MethodHandlers<
              io.github.celesteimage.image.v1.QueryWriteStatusRequest,
              io.github.celesteimage.image.v1.QueryWriteStatusResponse>(
                service, METHODID_QUERY_WRITE_STATUS)))
        .addMethod(
          getReadArtifactMethod(),
          io.grpc.stub.ServerCalls.asyncServerStreamingCall(
            new MethodHandlers<
              io.github.celesteimage.image.v1.ReadArtifactRequest,
              io.github.celesteimage.image.v1.ReadArtifactResponse>(
                service, METHODID_READ_ARTIFACT)))
        .addMethod(
          getGetArtifactMethod(),
          io.grpc.stub.ServerCalls.asyncUnaryCall(
            new MethodHandlers<
              io.github.celesteimage.image.v1.GetArtifactRequest,
              io.github.celesteimage.image.v1.GetArtifactResponse>(
                service, METHODID_GET_ARTIFACT)))
        .addMethod(
          getListArtifactsMethod(),
          io.grpc.stub.ServerCalls.asyncUnaryCall(
            new MethodHandlers<
              io.github.celesteimage.image.v1.ListArtifactsRequest,
              io.github.celesteimage.image.v1.ListArtifactsResponse>(
                service, METHODID_LIST_ARTIFACTS)))
        .addMethod(
          getFindMissingArtifactsMethod(),
          io.grpc.stub.ServerCalls.asyncUnaryCall(
            new MethodHandlers<
              io.github.celesteimage.image.v1.FindMissingArtifactsRequest,
              io.github.celesteimage.image.v1.FindMissingArtifactsResponse>(
                service, METHODID_FIND_MISSING_ARTIFACTS)))
        .addMethod(
          getDeleteArtifactMethod(),
          io.grpc.stub.ServerCalls.asyncUnaryCall(
            new MethodHandlers<
              io.github.celesteimage.image.v1.DeleteArtifactRequest,
              io.github.celesteimage.image.v1.DeleteArtifactResponse>(
                service, METHODID_DELETE_ARTIFACT)))
        .build();
  }

  private static abstract class ArtifactServiceBaseDescriptorSupplier
      implements io.grpc.protobuf.ProtoFileDescriptorSupplier, io.grpc.protobuf.ProtoServiceDescriptorSupplier {
    ArtifactServiceBaseDescriptorSupplier() {}

    @java.lang.Override
    public com.google.protobuf.Descriptors.FileDescriptor getFileDescriptor() {
      return io.github.celesteimage.image.v1.ArtifactServiceProto.getDescriptor();
    }

    @java.lang.Override
    public com.google.protobuf.Descriptors.ServiceDescriptor getServiceDescriptor() {
      return getFileDescriptor().findServiceByName("ArtifactService");
    }
  }

  private static final class ArtifactServiceFileDescriptorSupplier
      extends ArtifactServiceBaseDescriptorSupplier {
    ArtifactServiceFileDescriptorSupplier() {}
  }

  private static final class ArtifactServiceMethodDescriptorSupplier
      extends ArtifactServiceBaseDescriptorSupplier
      implements io.grpc.protobuf.ProtoMethodDescriptorSupplier {
    private final java.lang.String methodName;

    ArtifactServiceMethodDescriptorSupplier(java.lang.String methodName) {
      this.methodName = methodName;
    }

    @java.lang.Override
    public com.google.protobuf.Descriptors.MethodDescriptor getMethodDescriptor() {
      return getServiceDescriptor().findMethodByName(methodName);
    }
  }

  private static volatile io.grpc.ServiceDescriptor serviceDescriptor;

  public static io.grpc.ServiceDescriptor getServiceDescriptor() {
    io.grpc.ServiceDescriptor result = serviceDescriptor;
    if (result == null) {
      synchronized (ArtifactServiceGrpc.class) {
        result = serviceDescriptor;
        if (result == null) {
          serviceDescriptor = result = io.grpc.ServiceDescriptor.newBuilder(SERVICE_NAME)
              .setSchemaDescriptor(new ArtifactServiceFileDescriptorSupplier())
              .addMethod(getWriteArtifactMethod())
              .addMethod(getWriteArtifactChunkMethod())
              .addMethod(getQueryWriteStatusMethod())
              .addMethod(getReadArtifactMethod())
              .addMethod(getGetArtifactMethod())
              .addMethod(getListArtifactsMethod())
              .addMethod(getFindMissingArtifactsMethod())
              .addMethod(getDeleteArtifactMethod())
              .build();
        }
      }
    }
    return result;
  }
}
