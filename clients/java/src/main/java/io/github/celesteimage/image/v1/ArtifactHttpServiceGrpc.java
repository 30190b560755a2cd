package io.github.celesteimage.image.v1;

import static io.grpc.MethodDescriptor.generateFullMethodName;

/**
 * <pre>
 * Sends the bytes of artifacts as plain HTTP bodies, for HTTP clients behind a gRPC-JSON transcoder such as Envoy.
 * The artifacts and the common errors are those of `ArtifactService`. gRPC clients use that service: its calls resume
 * at any byte.
 * </pre>
 */
@io.grpc.stub.annotations.GrpcGenerated
public final class ArtifactHttpServiceGrpc {

  private ArtifactHttpServiceGrpc() {}

  public static final java.lang.String SERVICE_NAME = "celeste.image.v1.ArtifactHttpService";

  // Static method descriptors that strictly reflect the proto.
  private static volatile io.grpc.MethodDescriptor<io.github.celesteimage.image.v1.UploadArtifactRequest,
      io.github.celesteimage.image.v1.UploadArtifactResponse> getUploadArtifactMethod;

  @io.grpc.stub.annotations.RpcMethod(
      fullMethodName = SERVICE_NAME + '/' + "UploadArtifact",
      requestType = io.github.celesteimage.image.v1.UploadArtifactRequest.class,
      responseType = io.github.celesteimage.image.v1.UploadArtifactResponse.class,
      methodType = io.grpc.MethodDescriptor.MethodType.CLIENT_STREAMING)
  public static io.grpc.MethodDescriptor<io.github.celesteimage.image.v1.UploadArtifactRequest,
      io.github.celesteimage.image.v1.UploadArtifactResponse> getUploadArtifactMethod() {
    io.grpc.MethodDescriptor<io.github.celesteimage.image.v1.UploadArtifactRequest, io.github.celesteimage.image.v1.UploadArtifactResponse> getUploadArtifactMethod;
    if ((getUploadArtifactMethod = ArtifactHttpServiceGrpc.getUploadArtifactMethod) == null) {
      synchronized (ArtifactHttpServiceGrpc.class) {
        if ((getUploadArtifactMethod = ArtifactHttpServiceGrpc.getUploadArtifactMethod) == null) {
          ArtifactHttpServiceGrpc.getUploadArtifactMethod = getUploadArtifactMethod =
              io.grpc.MethodDescriptor.<io.github.celesteimage.image.v1.UploadArtifactRequest, io.github.celesteimage.image.v1.UploadArtifactResponse>newBuilder()
              .setType(io.grpc.MethodDescriptor.MethodType.CLIENT_STREAMING)
              .setFullMethodName(generateFullMethodName(SERVICE_NAME, "UploadArtifact"))
              .setSampledToLocalTracing(true)
              .setRequestMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  io.github.celesteimage.image.v1.UploadArtifactRequest.getDefaultInstance()))
              .setResponseMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  io.github.celesteimage.image.v1.UploadArtifactResponse.getDefaultInstance()))
              .setSchemaDescriptor(new ArtifactHttpServiceMethodDescriptorSupplier("UploadArtifact"))
              .build();
        }
      }
    }
    return getUploadArtifactMethod;
  }

  private static volatile io.grpc.MethodDescriptor<io.github.celesteimage.image.v1.DownloadArtifactRequest,
      io.github.celesteimage.image.v1.DownloadArtifactResponse> getDownloadArtifactMethod;

  @io.grpc.stub.annotations.RpcMethod(
      fullMethodName = SERVICE_NAME + '/' + "DownloadArtifact",
      requestType = io.github.celesteimage.image.v1.DownloadArtifactRequest.class,
      responseType = io.github.celesteimage.image.v1.DownloadArtifactResponse.class,
      methodType = io.grpc.MethodDescriptor.MethodType.SERVER_STREAMING)
  public static io.grpc.MethodDescriptor<io.github.celesteimage.image.v1.DownloadArtifactRequest,
      io.github.celesteimage.image.v1.DownloadArtifactResponse> getDownloadArtifactMethod() {
    io.grpc.MethodDescriptor<io.github.celesteimage.image.v1.DownloadArtifactRequest, io.github.celesteimage.image.v1.DownloadArtifactResponse> getDownloadArtifactMethod;
    if ((getDownloadArtifactMethod = ArtifactHttpServiceGrpc.getDownloadArtifactMethod) == null) {
      synchronized (ArtifactHttpServiceGrpc.class) {
        if ((getDownloadArtifactMethod = ArtifactHttpServiceGrpc.getDownloadArtifactMethod) == null) {
          ArtifactHttpServiceGrpc.getDownloadArtifactMethod = getDownloadArtifactMethod =
              io.grpc.MethodDescriptor.<io.github.celesteimage.image.v1.DownloadArtifactRequest, io.github.celesteimage.image.v1.DownloadArtifactResponse>newBuilder()
              .setType(io.grpc.MethodDescriptor.MethodType.SERVER_STREAMING)
              .setFullMethodName(generateFullMethodName(SERVICE_NAME, "DownloadArtifact"))
              .setSampledToLocalTracing(true)
              .setRequestMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  io.github.celesteimage.image.v1.DownloadArtifactRequest.getDefaultInstance()))
              .setResponseMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  io.github.celesteimage.image.v1.DownloadArtifactResponse.getDefaultInstance()))
              .setSchemaDescriptor(new ArtifactHttpServiceMethodDescriptorSupplier("DownloadArtifact"))
              .build();
        }
      }
    }
    return getDownloadArtifactMethod;
  }

  /**
   * Creates a new async stub that supports all call types for the service
   */
  public static ArtifactHttpServiceStub newStub(io.grpc.Channel channel) {
    io.grpc.stub.AbstractStub.StubFactory<ArtifactHttpServiceStub> factory =
      new io.grpc.stub.AbstractStub.StubFactory<ArtifactHttpServiceStub>() {
        @java.lang.Override
        public ArtifactHttpServiceStub newStub(io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
          return new ArtifactHttpServiceStub(channel, callOptions);
        }
      };
    return ArtifactHttpServiceStub.newStub(factory, channel);
  }

  /**
   * Creates a new blocking-style stub that supports all types of calls on the service
   */
  public static ArtifactHttpServiceBlockingV2Stub newBlockingV2Stub(
      io.grpc.Channel channel) {
    io.grpc.stub.AbstractStub.StubFactory<ArtifactHttpServiceBlockingV2Stub> factory =
      new io.grpc.stub.AbstractStub.StubFactory<ArtifactHttpServiceBlockingV2Stub>() {
        @java.lang.Override
        public ArtifactHttpServiceBlockingV2Stub newStub(io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
          return new ArtifactHttpServiceBlockingV2Stub(channel, callOptions);
        }
      };
    return ArtifactHttpServiceBlockingV2Stub.newStub(factory, channel);
  }

  /**
   * Creates a new blocking-style stub that supports unary and streaming output calls on the service
   */
  public static ArtifactHttpServiceBlockingStub newBlockingStub(
      io.grpc.Channel channel) {
    io.grpc.stub.AbstractStub.StubFactory<ArtifactHttpServiceBlockingStub> factory =
      new io.grpc.stub.AbstractStub.StubFactory<ArtifactHttpServiceBlockingStub>() {
        @java.lang.Override
        public ArtifactHttpServiceBlockingStub newStub(io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
          return new ArtifactHttpServiceBlockingStub(channel, callOptions);
        }
      };
    return ArtifactHttpServiceBlockingStub.newStub(factory, channel);
  }

  /**
   * Creates a new ListenableFuture-style stub that supports unary calls on the service
   */
  public static ArtifactHttpServiceFutureStub newFutureStub(
      io.grpc.Channel channel) {
    io.grpc.stub.AbstractStub.StubFactory<ArtifactHttpServiceFutureStub> factory =
      new io.grpc.stub.AbstractStub.StubFactory<ArtifactHttpServiceFutureStub>() {
        @java.lang.Override
        public ArtifactHttpServiceFutureStub newStub(io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
          return new ArtifactHttpServiceFutureStub(channel, callOptions);
        }
      };
    return ArtifactHttpServiceFutureStub.newStub(factory, channel);
  }

  /**
   * <pre>
   * Sends the bytes of artifacts as plain HTTP bodies, for HTTP clients behind a gRPC-JSON transcoder such as Envoy.
   * The artifacts and the common errors are those of `ArtifactService`. gRPC clients use that service: its calls resume
   * at any byte.
   * </pre>
   */
  public interface AsyncService {

    /**
     * <pre>
     * Stores the body of an HTTP request as an artifact.
     * The name holds the digest of the body, so the server checks every byte. If the caller already has the artifact, the
     * server ignores the body; `ArtifactService.FindMissingArtifacts` tells whether to send it. Retry a cut upload with the
     * whole body; to resume an upload instead, use `ArtifactService.WriteArtifactChunk`. Errors:
     * * `INVALID_ARGUMENT`, DIGEST_MISMATCH: the body does not match the digest in the name; the server discarded it.
     * * `INVALID_ARGUMENT`, IMAGE_TOO_LARGE: the body exceeds `ServerLimits.image_bytes`.
     * </pre>
     */
    default io.grpc.stub.StreamObserver<io.github.celesteimage.image.v1.UploadArtifactRequest> uploadArtifact(
        io.grpc.stub.StreamObserver<io.github.celesteimage.image.v1.UploadArtifactResponse> responseObserver) {
      return io.grpc.stub.ServerCalls.asyncUnimplementedStreamingCall(getUploadArtifactMethod(), responseObserver);
    }

    /**
     * <pre>
     * Returns an artifact, or a part of it, as the body of an HTTP response.
     * The header `content-type` has the media type of the artifact. HTTP clients do not see an error that ends the body
     * early: check the SHA-256 in the name against all the bytes. Errors:
     * * `OUT_OF_RANGE`: the offset is beyond the end.
     * * `DATA_LOSS`: the stored bytes are damaged or lost; store them again.
     * * `RESOURCE_EXHAUSTED`, SLOW_READER: the caller did not read within the server's timeout.
     * </pre>
     */
    default void downloadArtifact(io.github.celesteimage.image.v1.DownloadArtifactRequest request,
        io.grpc.stub.StreamObserver<io.github.celesteimage.image.v1.DownloadArtifactResponse> responseObserver) {
      io.grpc.stub.ServerCalls.asyncUnimplementedUnaryCall(getDownloadArtifactMethod(), responseObserver);
    }
  }

  /**
   * Base class for the server implementation of the service ArtifactHttpService.
   * <pre>
   * Sends the bytes of artifacts as plain HTTP bodies, for HTTP clients behind a gRPC-JSON transcoder such as Envoy.
   * The artifacts and the common errors are those of `ArtifactService`. gRPC clients use that service: its calls resume
   * at any byte.
   * </pre>
   */
  public static abstract class ArtifactHttpServiceImplBase
      implements io.grpc.BindableService, AsyncService {

    @java.lang.Override public final io.grpc.ServerServiceDefinition bindService() {
      return ArtifactHttpServiceGrpc.bindService(this);
    }
  }

  /**
   * A stub to allow clients to do asynchronous rpc calls to service ArtifactHttpService.
   * <pre>
   * Sends the bytes of artifacts as plain HTTP bodies, for HTTP clients behind a gRPC-JSON transcoder such as Envoy.
   * The artifacts and the common errors are those of `ArtifactService`. gRPC clients use that service: its calls resume
   * at any byte.
   * </pre>
   */
  public static final class ArtifactHttpServiceStub
      extends io.grpc.stub.AbstractAsyncStub<ArtifactHttpServiceStub> {
    private ArtifactHttpServiceStub(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      super(channel, callOptions);
    }

    @java.lang.Override
    protected ArtifactHttpServiceStub build(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      return new ArtifactHttpServiceStub(channel, callOptions);
    }

    /**
     * <pre>
     * Stores the body of an HTTP request as an artifact.
     * The name holds the digest of the body, so the server checks every byte. If the caller already has the artifact, the
     * server ignores the body; `ArtifactService.FindMissingArtifacts` tells whether to send it. Retry a cut upload with the
     * whole body; to resume an upload instead, use `ArtifactService.WriteArtifactChunk`. Errors:
     * * `INVALID_ARGUMENT`, DIGEST_MISMATCH: the body does not match the digest in the name; the server discarded it.
     * * `INVALID_ARGUMENT`, IMAGE_TOO_LARGE: the body exceeds `ServerLimits.image_bytes`.
     * </pre>
     */
    public io.grpc.stub.StreamObserver<io.github.celesteimage.image.v1.UploadArtifactRequest> uploadArtifact(
        io.grpc.stub.StreamObserver<io.github.celesteimage.image.v1.UploadArtifactResponse> responseObserver) {
      return io.grpc.stub.ClientCalls.asyncClientStreamingCall(
          getChannel().newCall(getUploadArtifactMethod(), getCallOptions()), responseObserver);
    }

    /**
     * <pre>
     * Returns an artifact, or a part of it, as the body of an HTTP response.
     * The header `content-type` has the media type of the artifact. HTTP clients do not see an error that ends the body
     * early: check the SHA-256 in the name against all the bytes. Errors:
     * * `OUT_OF_RANGE`: the offset is beyond the end.
     * * `DATA_LOSS`: the stored bytes are damaged or lost; store them again.
     * * `RESOURCE_EXHAUSTED`, SLOW_READER: the caller did not read within the server's timeout.
     * </pre>
     */
    public void downloadArtifact(io.github.celesteimage.image.v1.DownloadArtifactRequest request,
        io.grpc.stub.StreamObserver<io.github.celesteimage.image.v1.DownloadArtifactResponse> responseObserver) {
      io.grpc.stub.ClientCalls.asyncServerStreamingCall(
          getChannel().newCall(getDownloadArtifactMethod(), getCallOptions()), request, responseObserver);
    }
  }

  /**
   * A stub to allow clients to do synchronous rpc calls to service ArtifactHttpService.
   * <pre>
   * Sends the bytes of artifacts as plain HTTP bodies, for HTTP clients behind a gRPC-JSON transcoder such as Envoy.
   * The artifacts and the common errors are those of `ArtifactService`. gRPC clients use that service: its calls resume
   * at any byte.
   * </pre>
   */
  public static final class ArtifactHttpServiceBlockingV2Stub
      extends io.grpc.stub.AbstractBlockingStub<ArtifactHttpServiceBlockingV2Stub> {
    private ArtifactHttpServiceBlockingV2Stub(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      super(channel, callOptions);
    }

    @java.lang.Override
    protected ArtifactHttpServiceBlockingV2Stub build(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      return new ArtifactHttpServiceBlockingV2Stub(channel, callOptions);
    }

    /**
     * <pre>
     * Stores the body of an HTTP request as an artifact.
     * The name holds the digest of the body, so the server checks every byte. If the caller already has the artifact, the
     * server ignores the body; `ArtifactService.FindMissingArtifacts` tells whether to send it. Retry a cut upload with the
     * whole body; to resume an upload instead, use `ArtifactService.WriteArtifactChunk`. Errors:
     * * `INVALID_ARGUMENT`, DIGEST_MISMATCH: the body does not match the digest in the name; the server discarded it.
     * * `INVALID_ARGUMENT`, IMAGE_TOO_LARGE: the body exceeds `ServerLimits.image_bytes`.
     * </pre>
     */
    @io.grpc.ExperimentalApi("https://github.com/grpc/grpc-java/issues/10918")
    public io.grpc.stub.BlockingClientCall<io.github.celesteimage.image.v1.UploadArtifactRequest, io.github.celesteimage.image.v1.UploadArtifactResponse>
        uploadArtifact() {
      return io.grpc.stub.ClientCalls.blockingClientStreamingCall(
          getChannel(), getUploadArtifactMethod(), getCallOptions());
    }

    /**
     * <pre>
     * Returns an artifact, or a part of it, as the body of an HTTP response.
     * The header `content-type` has the media type of the artifact. HTTP clients do not see an error that ends the body
     * early: check the SHA-256 in the name against all the bytes. Errors:
     * * `OUT_OF_RANGE`: the offset is beyond the end.
     * * `DATA_LOSS`: the stored bytes are damaged or lost; store them again.
     * * `RESOURCE_EXHAUSTED`, SLOW_READER: the caller did not read within the server's timeout.
     * </pre>
     */
    @io.grpc.ExperimentalApi("https://github.com/grpc/grpc-java/issues/10918")
    public io.grpc.stub.BlockingClientCall<?, io.github.celesteimage.image.v1.DownloadArtifactResponse>
        downloadArtifact(io.github.celesteimage.image.v1.DownloadArtifactRequest request) {
      return io.grpc.stub.ClientCalls.blockingV2ServerStreamingCall(
          getChannel(), getDownloadArtifactMethod(), getCallOptions(), request);
    }
  }

  /**
   * A stub to allow clients to do limited synchronous rpc calls to service ArtifactHttpService.
   * <pre>
   * Sends the bytes of artifacts as plain HTTP bodies, for HTTP clients behind a gRPC-JSON transcoder such as Envoy.
   * The artifacts and the common errors are those of `ArtifactService`. gRPC clients use that service: its calls resume
   * at any byte.
   * </pre>
   */
  public static final class ArtifactHttpServiceBlockingStub
      extends io.grpc.stub.AbstractBlockingStub<ArtifactHttpServiceBlockingStub> {
    private ArtifactHttpServiceBlockingStub(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      super(channel, callOptions);
    }

    @java.lang.Override
    protected ArtifactHttpServiceBlockingStub build(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      return new ArtifactHttpServiceBlockingStub(channel, callOptions);
    }

    /**
     * <pre>
     * Returns an artifact, or a part of it, as the body of an HTTP response.
     * The header `content-type` has the media type of the artifact. HTTP clients do not see an error that ends the body
     * early: check the SHA-256 in the name against all the bytes. Errors:
     * * `OUT_OF_RANGE`: the offset is beyond the end.
     * * `DATA_LOSS`: the stored bytes are damaged or lost; store them again.
     * * `RESOURCE_EXHAUSTED`, SLOW_READER: the caller did not read within the server's timeout.
     * </pre>
     */
    public java.util.Iterator<io.github.celesteimage.image.v1.DownloadArtifactResponse> downloadArtifact(
        io.github.celesteimage.image.v1.DownloadArtifactRequest request) {
      return io.grpc.stub.ClientCalls.blockingServerStreamingCall(
          getChannel(), getDownloadArtifactMethod(), getCallOptions(), request);
    }
  }

  /**
   * A stub to allow clients to do ListenableFuture-style rpc calls to service ArtifactHttpService.
   * <pre>
   * Sends the bytes of artifacts as plain HTTP bodies, for HTTP clients behind a gRPC-JSON transcoder such as Envoy.
   * The artifacts and the common errors are those of `ArtifactService`. gRPC clients use that service: its calls resume
   * at any byte.
   * </pre>
   */
  public static final class ArtifactHttpServiceFutureStub
      extends io.grpc.stub.AbstractFutureStub<ArtifactHttpServiceFutureStub> {
    private ArtifactHttpServiceFutureStub(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      super(channel, callOptions);
    }

    @java.lang.Override
    protected ArtifactHttpServiceFutureStub build(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      return new ArtifactHttpServiceFutureStub(channel, callOptions);
    }
  }

  private static final int METHODID_DOWNLOAD_ARTIFACT = 0;
  private static final int METHODID_UPLOAD_ARTIFACT = 1;

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
        case METHODID_DOWNLOAD_ARTIFACT:
          serviceImpl.downloadArtifact((io.github.celesteimage.image.v1.DownloadArtifactRequest) request,
              (io.grpc.stub.StreamObserver<io.github.celesteimage.image.v1.DownloadArtifactResponse>) responseObserver);
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
        case METHODID_UPLOAD_ARTIFACT:
          return (io.grpc.stub.StreamObserver<Req>) serviceImpl.uploadArtifact(
              (io.grpc.stub.StreamObserver<io.github.celesteimage.image.v1.UploadArtifactResponse>) responseObserver);
        default:
          throw new AssertionError();
      }
    }
  }

  public static final io.grpc.ServerServiceDefinition bindService(AsyncService service) {
    return io.grpc.ServerServiceDefinition.builder(getServiceDescriptor())
        .addMethod(
          getUploadArtifactMethod(),
          io.grpc.stub.ServerCalls.asyncClientStreamingCall(
            new MethodHandlers<
              io.github.celesteimage.image.v1.UploadArtifactRequest,
              io.github.celesteimage.image.v1.UploadArtifactResponse>(
                service, METHODID_UPLOAD_ARTIFACT)))
        .addMethod(
          getDownloadArtifactMethod(),
          io.grpc.stub.ServerCalls.asyncServerStreamingCall(
            new MethodHandlers<
              io.github.celesteimage.image.v1.DownloadArtifactRequest,
              io.github.celesteimage.image.v1.DownloadArtifactResponse>(
                service, METHODID_DOWNLOAD_ARTIFACT)))
        .build();
  }

  private static abstract class ArtifactHttpServiceBaseDescriptorSupplier
      implements io.grpc.protobuf.ProtoFileDescriptorSupplier, io.grpc.protobuf.ProtoServiceDescriptorSupplier {
    ArtifactHttpServiceBaseDescriptorSupplier() {}

    @java.lang.Override
    public com.google.protobuf.Descriptors.FileDescriptor getFileDescriptor() {
      return io.github.celesteimage.image.v1.ArtifactHttpServiceProto.getDescriptor();
    }

    @java.lang.Override
    public com.google.protobuf.Descriptors.ServiceDescriptor getServiceDescriptor() {
      return getFileDescriptor().findServiceByName("ArtifactHttpService");
    }
  }

  private static final class ArtifactHttpServiceFileDescriptorSupplier
      extends ArtifactHttpServiceBaseDescriptorSupplier {
    ArtifactHttpServiceFileDescriptorSupplier() {}
  }

  private static final class ArtifactHttpServiceMethodDescriptorSupplier
      extends ArtifactHttpServiceBaseDescriptorSupplier
      implements io.grpc.protobuf.ProtoMethodDescriptorSupplier {
    private final java.lang.String methodName;

    ArtifactHttpServiceMethodDescriptorSupplier(java.lang.String methodName) {
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
      synchronized (ArtifactHttpServiceGrpc.class) {
        result = serviceDescriptor;
        if (result == null) {
          serviceDescriptor = result = io.grpc.ServiceDescriptor.newBuilder(SERVICE_NAME)
              .setSchemaDescriptor(new ArtifactHttpServiceFileDescriptorSupplier())
              .addMethod(getUploadArtifactMethod())
              .addMethod(getDownloadArtifactMethod())
              .build();
        }
      }
    }
    return result;
  }
}
