package io.github.celesteimage.image.v1;

import static io.grpc.MethodDescriptor.generateFullMethodName;

/**
 * <pre>
 * Generates, edits, upscales and analyzes images.
 * The four unary calls collect the events of `Stream`. All calls share these errors, each with `google.rpc.ErrorInfo`
 * and with the id of the request in `FailureInfo`:
 * * `INVALID_ARGUMENT`: `google.rpc.BadRequest` names every wrong field; change the request.
 * * `NOT_FOUND`: the model or artifact does not exist.
 * * `FAILED_PRECONDITION`: the model does not offer the operation, or its weights are missing; choose another model.
 * * `RESOURCE_EXHAUSTED`: the queue or the store is full; `google.rpc.RetryInfo` has the delay before a retry.
 * * `UNAVAILABLE`: the engine was lost, the server is shutting down, or no model that `options.routing` allows is
 *   available now. A retry is safe.
 * * `DEADLINE_EXCEEDED`, `CANCELLED`: the server stopped the work.
 * Every response fits the 4 MiB that gRPC clients accept by default: images beyond `options.inline_limit_bytes` are
 * returned by artifact name.
 * </pre>
 */
@io.grpc.stub.annotations.GrpcGenerated
public final class ImageServiceGrpc {

  private ImageServiceGrpc() {}

  public static final java.lang.String SERVICE_NAME = "celeste.image.v1.ImageService";

  // Static method descriptors that strictly reflect the proto.
  private static volatile io.grpc.MethodDescriptor<io.github.celesteimage.image.v1.GenerateRequest,
      io.github.celesteimage.image.v1.GenerateResponse> getGenerateMethod;

  @io.grpc.stub.annotations.RpcMethod(
      fullMethodName = SERVICE_NAME + '/' + "Generate",
      requestType = io.github.celesteimage.image.v1.GenerateRequest.class,
      responseType = io.github.celesteimage.image.v1.GenerateResponse.class,
      methodType = io.grpc.MethodDescriptor.MethodType.UNARY)
  public static io.grpc.MethodDescriptor<io.github.celesteimage.image.v1.GenerateRequest,
      io.github.celesteimage.image.v1.GenerateResponse> getGenerateMethod() {
    io.grpc.MethodDescriptor<io.github.celesteimage.image.v1.GenerateRequest, io.github.celesteimage.image.v1.GenerateResponse> getGenerateMethod;
    if ((getGenerateMethod = ImageServiceGrpc.getGenerateMethod) == null) {
      synchronized (ImageServiceGrpc.class) {
        if ((getGenerateMethod = ImageServiceGrpc.getGenerateMethod) == null) {
          ImageServiceGrpc.getGenerateMethod = getGenerateMethod =
              io.grpc.MethodDescriptor.<io.github.celesteimage.image.v1.GenerateRequest, io.github.celesteimage.image.v1.GenerateResponse>newBuilder()
              .setType(io.grpc.MethodDescriptor.MethodType.UNARY)
              .setFullMethodName(generateFullMethodName(SERVICE_NAME, "Generate"))
              .setSampledToLocalTracing(true)
              .setRequestMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  io.github.celesteimage.image.v1.GenerateRequest.getDefaultInstance()))
              .setResponseMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  io.github.celesteimage.image.v1.GenerateResponse.getDefaultInstance()))
              .setSchemaDescriptor(new ImageServiceMethodDescriptorSupplier("Generate"))
              .build();
        }
      }
    }
    return getGenerateMethod;
  }

  private static volatile io.grpc.MethodDescriptor<io.github.celesteimage.image.v1.EditRequest,
      io.github.celesteimage.image.v1.EditResponse> getEditMethod;

  @io.grpc.stub.annotations.RpcMethod(
      fullMethodName = SERVICE_NAME + '/' + "Edit",
      requestType = io.github.celesteimage.image.v1.EditRequest.class,
      responseType = io.github.celesteimage.image.v1.EditResponse.class,
      methodType = io.grpc.MethodDescriptor.MethodType.UNARY)
  public static io.grpc.MethodDescriptor<io.github.celesteimage.image.v1.EditRequest,
      io.github.celesteimage.image.v1.EditResponse> getEditMethod() {
    io.grpc.MethodDescriptor<io.github.celesteimage.image.v1.EditRequest, io.github.celesteimage.image.v1.EditResponse> getEditMethod;
    if ((getEditMethod = ImageServiceGrpc.getEditMethod) == null) {
      synchronized (ImageServiceGrpc.class) {
        if ((getEditMethod = ImageServiceGrpc.getEditMethod) == null) {
          ImageServiceGrpc.getEditMethod = getEditMethod =
              io.grpc.MethodDescriptor.<io.github.celesteimage.image.v1.EditRequest, io.github.celesteimage.image.v1.EditResponse>newBuilder()
              .setType(io.grpc.MethodDescriptor.MethodType.UNARY)
              .setFullMethodName(generateFullMethodName(SERVICE_NAME, "Edit"))
              .setSampledToLocalTracing(true)
              .setRequestMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  io.github.celesteimage.image.v1.EditRequest.getDefaultInstance()))
              .setResponseMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  io.github.celesteimage.image.v1.EditResponse.getDefaultInstance()))
              .setSchemaDescriptor(new ImageServiceMethodDescriptorSupplier("Edit"))
              .build();
        }
      }
    }
    return getEditMethod;
  }

  private static volatile io.grpc.MethodDescriptor<io.github.celesteimage.image.v1.UpscaleRequest,
      io.github.celesteimage.image.v1.UpscaleResponse> getUpscaleMethod;

  @io.grpc.stub.annotations.RpcMethod(
      fullMethodName = SERVICE_NAME + '/' + "Upscale",
      requestType = io.github.celesteimage.image.v1.UpscaleRequest.class,
      responseType = io.github.celesteimage.image.v1.UpscaleResponse.class,
      methodType = io.grpc.MethodDescriptor.MethodType.UNARY)
  public static io.grpc.MethodDescriptor<io.github.celesteimage.image.v1.UpscaleRequest,
      io.github.celesteimage.image.v1.UpscaleResponse> getUpscaleMethod() {
    io.grpc.MethodDescriptor<io.github.celesteimage.image.v1.UpscaleRequest, io.github.celesteimage.image.v1.UpscaleResponse> getUpscaleMethod;
    if ((getUpscaleMethod = ImageServiceGrpc.getUpscaleMethod) == null) {
      synchronized (ImageServiceGrpc.class) {
        if ((getUpscaleMethod = ImageServiceGrpc.getUpscaleMethod) == null) {
          ImageServiceGrpc.getUpscaleMethod = getUpscaleMethod =
              io.grpc.MethodDescriptor.<io.github.celesteimage.image.v1.UpscaleRequest, io.github.celesteimage.image.v1.UpscaleResponse>newBuilder()
              .setType(io.grpc.MethodDescriptor.MethodType.UNARY)
              .setFullMethodName(generateFullMethodName(SERVICE_NAME, "Upscale"))
              .setSampledToLocalTracing(true)
              .setRequestMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  io.github.celesteimage.image.v1.UpscaleRequest.getDefaultInstance()))
              .setResponseMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  io.github.celesteimage.image.v1.UpscaleResponse.getDefaultInstance()))
              .setSchemaDescriptor(new ImageServiceMethodDescriptorSupplier("Upscale"))
              .build();
        }
      }
    }
    return getUpscaleMethod;
  }

  private static volatile io.grpc.MethodDescriptor<io.github.celesteimage.image.v1.AnalyzeRequest,
      io.github.celesteimage.image.v1.AnalyzeResponse> getAnalyzeMethod;

  @io.grpc.stub.annotations.RpcMethod(
      fullMethodName = SERVICE_NAME + '/' + "Analyze",
      requestType = io.github.celesteimage.image.v1.AnalyzeRequest.class,
      responseType = io.github.celesteimage.image.v1.AnalyzeResponse.class,
      methodType = io.grpc.MethodDescriptor.MethodType.UNARY)
  public static io.grpc.MethodDescriptor<io.github.celesteimage.image.v1.AnalyzeRequest,
      io.github.celesteimage.image.v1.AnalyzeResponse> getAnalyzeMethod() {
    io.grpc.MethodDescriptor<io.github.celesteimage.image.v1.AnalyzeRequest, io.github.celesteimage.image.v1.AnalyzeResponse> getAnalyzeMethod;
    if ((getAnalyzeMethod = ImageServiceGrpc.getAnalyzeMethod) == null) {
      synchronized (ImageServiceGrpc.class) {
        if ((getAnalyzeMethod = ImageServiceGrpc.getAnalyzeMethod) == null) {
          ImageServiceGrpc.getAnalyzeMethod = getAnalyzeMethod =
              io.grpc.MethodDescriptor.<io.github.celesteimage.image.v1.AnalyzeRequest, io.github.celesteimage.image.v1.AnalyzeResponse>newBuilder()
              .setType(io.grpc.MethodDescriptor.MethodType.UNARY)
              .setFullMethodName(generateFullMethodName(SERVICE_NAME, "Analyze"))
              .setSampledToLocalTracing(true)
              .setRequestMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  io.github.celesteimage.image.v1.AnalyzeRequest.getDefaultInstance()))
              .setResponseMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  io.github.celesteimage.image.v1.AnalyzeResponse.getDefaultInstance()))
              .setSchemaDescriptor(new ImageServiceMethodDescriptorSupplier("Analyze"))
              .build();
        }
      }
    }
    return getAnalyzeMethod;
  }

  private static volatile io.grpc.MethodDescriptor<io.github.celesteimage.image.v1.StreamRequest,
      io.github.celesteimage.image.v1.StreamResponse> getStreamMethod;

  @io.grpc.stub.annotations.RpcMethod(
      fullMethodName = SERVICE_NAME + '/' + "Stream",
      requestType = io.github.celesteimage.image.v1.StreamRequest.class,
      responseType = io.github.celesteimage.image.v1.StreamResponse.class,
      methodType = io.grpc.MethodDescriptor.MethodType.SERVER_STREAMING)
  public static io.grpc.MethodDescriptor<io.github.celesteimage.image.v1.StreamRequest,
      io.github.celesteimage.image.v1.StreamResponse> getStreamMethod() {
    io.grpc.MethodDescriptor<io.github.celesteimage.image.v1.StreamRequest, io.github.celesteimage.image.v1.StreamResponse> getStreamMethod;
    if ((getStreamMethod = ImageServiceGrpc.getStreamMethod) == null) {
      synchronized (ImageServiceGrpc.class) {
        if ((getStreamMethod = ImageServiceGrpc.getStreamMethod) == null) {
          ImageServiceGrpc.getStreamMethod = getStreamMethod =
              io.grpc.MethodDescriptor.<io.github.celesteimage.image.v1.StreamRequest, io.github.celesteimage.image.v1.StreamResponse>newBuilder()
              .setType(io.grpc.MethodDescriptor.MethodType.SERVER_STREAMING)
              .setFullMethodName(generateFullMethodName(SERVICE_NAME, "Stream"))
              .setSampledToLocalTracing(true)
              .setRequestMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  io.github.celesteimage.image.v1.StreamRequest.getDefaultInstance()))
              .setResponseMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  io.github.celesteimage.image.v1.StreamResponse.getDefaultInstance()))
              .setSchemaDescriptor(new ImageServiceMethodDescriptorSupplier("Stream"))
              .build();
        }
      }
    }
    return getStreamMethod;
  }

  /**
   * Creates a new async stub that supports all call types for the service
   */
  public static ImageServiceStub newStub(io.grpc.Channel channel) {
    io.grpc.stub.AbstractStub.StubFactory<ImageServiceStub> factory =
      new io.grpc.stub.AbstractStub.StubFactory<ImageServiceStub>() {
        @java.lang.Override
        public ImageServiceStub newStub(io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
          return new ImageServiceStub(channel, callOptions);
        }
      };
    return ImageServiceStub.newStub(factory, channel);
  }

  /**
   * Creates a new blocking-style stub that supports all types of calls on the service
   */
  public static ImageServiceBlockingV2Stub newBlockingV2Stub(
      io.grpc.Channel channel) {
    io.grpc.stub.AbstractStub.StubFactory<ImageServiceBlockingV2Stub> factory =
      new io.grpc.stub.AbstractStub.StubFactory<ImageServiceBlockingV2Stub>() {
        @java.lang.Override
        public ImageServiceBlockingV2Stub newStub(io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
          return new ImageServiceBlockingV2Stub(channel, callOptions);
        }
      };
    return ImageServiceBlockingV2Stub.newStub(factory, channel);
  }

  /**
   * Creates a new blocking-style stub that supports unary and streaming output calls on the service
   */
  public static ImageServiceBlockingStub newBlockingStub(
      io.grpc.Channel channel) {
    io.grpc.stub.AbstractStub.StubFactory<ImageServiceBlockingStub> factory =
      new io.grpc.stub.AbstractStub.StubFactory<ImageServiceBlockingStub>() {
        @java.lang.Override
        public ImageServiceBlockingStub newStub(io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
          return new ImageServiceBlockingStub(channel, callOptions);
        }
      };
    return ImageServiceBlockingStub.newStub(factory, channel);
  }

  /**
   * Creates a new ListenableFuture-style stub that supports unary calls on the service
   */
  public static ImageServiceFutureStub newFutureStub(
      io.grpc.Channel channel) {
    io.grpc.stub.AbstractStub.StubFactory<ImageServiceFutureStub> factory =
      new io.grpc.stub.AbstractStub.StubFactory<ImageServiceFutureStub>() {
        @java.lang.Override
        public ImageServiceFutureStub newStub(io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
          return new ImageServiceFutureStub(channel, callOptions);
        }
      };
    return ImageServiceFutureStub.newStub(factory, channel);
  }

  /**
   * <pre>
   * Generates, edits, upscales and analyzes images.
   * The four unary calls collect the events of `Stream`. All calls share these errors, each with `google.rpc.ErrorInfo`
   * and with the id of the request in `FailureInfo`:
   * * `INVALID_ARGUMENT`: `google.rpc.BadRequest` names every wrong field; change the request.
   * * `NOT_FOUND`: the model or artifact does not exist.
   * * `FAILED_PRECONDITION`: the model does not offer the operation, or its weights are missing; choose another model.
   * * `RESOURCE_EXHAUSTED`: the queue or the store is full; `google.rpc.RetryInfo` has the delay before a retry.
   * * `UNAVAILABLE`: the engine was lost, the server is shutting down, or no model that `options.routing` allows is
   *   available now. A retry is safe.
   * * `DEADLINE_EXCEEDED`, `CANCELLED`: the server stopped the work.
   * Every response fits the 4 MiB that gRPC clients accept by default: images beyond `options.inline_limit_bytes` are
   * returned by artifact name.
   * </pre>
   */
  public interface AsyncService {

    /**
     * <pre>
     * Generates images from words.
     * </pre>
     */
    default void generate(io.github.celesteimage.image.v1.GenerateRequest request,
        io.grpc.stub.StreamObserver<io.github.celesteimage.image.v1.GenerateResponse> responseObserver) {
      io.grpc.stub.ServerCalls.asyncUnimplementedUnaryCall(getGenerateMethod(), responseObserver);
    }

    /**
     * <pre>
     * Edits an image.
     * </pre>
     */
    default void edit(io.github.celesteimage.image.v1.EditRequest request,
        io.grpc.stub.StreamObserver<io.github.celesteimage.image.v1.EditResponse> responseObserver) {
      io.grpc.stub.ServerCalls.asyncUnimplementedUnaryCall(getEditMethod(), responseObserver);
    }

    /**
     * <pre>
     * Enlarges an image.
     * </pre>
     */
    default void upscale(io.github.celesteimage.image.v1.UpscaleRequest request,
        io.grpc.stub.StreamObserver<io.github.celesteimage.image.v1.UpscaleResponse> responseObserver) {
      io.grpc.stub.ServerCalls.asyncUnimplementedUnaryCall(getUpscaleMethod(), responseObserver);
    }

    /**
     * <pre>
     * Analyzes an image.
     * </pre>
     */
    default void analyze(io.github.celesteimage.image.v1.AnalyzeRequest request,
        io.grpc.stub.StreamObserver<io.github.celesteimage.image.v1.AnalyzeResponse> responseObserver) {
      io.grpc.stub.ServerCalls.asyncUnimplementedUnaryCall(getAnalyzeMethod(), responseObserver);
    }

    /**
     * <pre>
     * Runs one operation and streams its events until its images are stored.
     * Events are numbered 1, 2, 3 and so on. The last event is `completed` or `failed`. After `failed` the call ends with
     * the same status. Closing the stream stops the work; stored images are kept.
     * HTTP callers get status 200 with the first event, also when the operation fails: look at the last event.
     * </pre>
     */
    default void stream(io.github.celesteimage.image.v1.StreamRequest request,
        io.grpc.stub.StreamObserver<io.github.celesteimage.image.v1.StreamResponse> responseObserver) {
      io.grpc.stub.ServerCalls.asyncUnimplementedUnaryCall(getStreamMethod(), responseObserver);
    }
  }

  /**
   * Base class for the server implementation of the service ImageService.
   * <pre>
   * Generates, edits, upscales and analyzes images.
   * The four unary calls collect the events of `Stream`. All calls share these errors, each with `google.rpc.ErrorInfo`
   * and with the id of the request in `FailureInfo`:
   * * `INVALID_ARGUMENT`: `google.rpc.BadRequest` names every wrong field; change the request.
   * * `NOT_FOUND`: the model or artifact does not exist.
   * * `FAILED_PRECONDITION`: the model does not offer the operation, or its weights are missing; choose another model.
   * * `RESOURCE_EXHAUSTED`: the queue or the store is full; `google.rpc.RetryInfo` has the delay before a retry.
   * * `UNAVAILABLE`: the engine was lost, the server is shutting down, or no model that `options.routing` allows is
   *   available now. A retry is safe.
   * * `DEADLINE_EXCEEDED`, `CANCELLED`: the server stopped the work.
   * Every response fits the 4 MiB that gRPC clients accept by default: images beyond `options.inline_limit_bytes` are
   * returned by artifact name.
   * </pre>
   */
  public static abstract class ImageServiceImplBase
      implements io.grpc.BindableService, AsyncService {

    @java.lang.Override public final io.grpc.ServerServiceDefinition bindService() {
      return ImageServiceGrpc.bindService(this);
    }
  }

  /**
   * A stub to allow clients to do asynchronous rpc calls to service ImageService.
   * <pre>
   * Generates, edits, upscales and analyzes images.
   * The four unary calls collect the events of `Stream`. All calls share these errors, each with `google.rpc.ErrorInfo`
   * and with the id of the request in `FailureInfo`:
   * * `INVALID_ARGUMENT`: `google.rpc.BadRequest` names every wrong field; change the request.
   * * `NOT_FOUND`: the model or artifact does not exist.
   * * `FAILED_PRECONDITION`: the model does not offer the operation, or its weights are missing; choose another model.
   * * `RESOURCE_EXHAUSTED`: the queue or the store is full; `google.rpc.RetryInfo` has the delay before a retry.
   * * `UNAVAILABLE`: the engine was lost, the server is shutting down, or no model that `options.routing` allows is
   *   available now. A retry is safe.
   * * `DEADLINE_EXCEEDED`, `CANCELLED`: the server stopped the work.
   * Every response fits the 4 MiB that gRPC clients accept by default: images beyond `options.inline_limit_bytes` are
   * returned by artifact name.
   * </pre>
   */
  public static final class ImageServiceStub
      extends io.grpc.stub.AbstractAsyncStub<ImageServiceStub> {
    private ImageServiceStub(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      super(channel, callOptions);
    }

    @java.lang.Override
    protected ImageServiceStub build(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      return new ImageServiceStub(channel, callOptions);
    }

    /**
     * <pre>
     * Generates images from words.
     * </pre>
     */
    public void generate(io.github.celesteimage.image.v1.GenerateRequest request,
        io.grpc.stub.StreamObserver<io.github.celesteimage.image.v1.GenerateResponse> responseObserver) {
      io.grpc.stub.ClientCalls.asyncUnaryCall(
          getChannel().newCall(getGenerateMethod(), getCallOptions()), request, responseObserver);
    }

    /**
     * <pre>
     * Edits an image.
     * </pre>
     */
    public void edit(io.github.celesteimage.image.v1.EditRequest request,
        io.grpc.stub.StreamObserver<io.github.celesteimage.image.v1.EditResponse> responseObserver) {
      io.grpc.stub.ClientCalls.asyncUnaryCall(
          getChannel().newCall(getEditMethod(), getCallOptions()), request, responseObserver);
    }

    /**
     * <pre>
     * Enlarges an image.
     * </pre>
     */
    public void upscale(io.github.celesteimage.image.v1.UpscaleRequest request,
        io.grpc.stub.StreamObserver<io.github.celesteimage.image.v1.UpscaleResponse> responseObserver) {
      io.grpc.stub.ClientCalls.asyncUnaryCall(
          getChannel().newCall(getUpscaleMethod(), getCallOptions()), request, responseObserver);
    }

    /**
     * <pre>
     * Analyzes an image.
     * </pre>
     */
    public void analyze(io.github.celesteimage.image.v1.AnalyzeRequest request,
        io.grpc.stub.StreamObserver<io.github.celesteimage.image.v1.AnalyzeResponse> responseObserver) {
      io.grpc.stub.ClientCalls.asyncUnaryCall(
          getChannel().newCall(getAnalyzeMethod(), getCallOptions()), request, responseObserver);
    }

    /**
     * <pre>
     * Runs one operation and streams its events until its images are stored.
     * Events are numbered 1, 2, 3 and so on. The last event is `completed` or `failed`. After `failed` the call ends with
     * the same status. Closing the stream stops the work; stored images are kept.
     * HTTP callers get status 200 with the first event, also when the operation fails: look at the last event.
     * </pre>
     */
    public void stream(io.github.celesteimage.image.v1.StreamRequest request,
        io.grpc.stub.StreamObserver<io.github.celesteimage.image.v1.StreamResponse> responseObserver) {
      io.grpc.stub.ClientCalls.asyncServerStreamingCall(
          getChannel().newCall(getStreamMethod(), getCallOptions()), request, responseObserver);
    }
  }

  /**
   * A stub to allow clients to do synchronous rpc calls to service ImageService.
   * <pre>
   * Generates, edits, upscales and analyzes images.
   * The four unary calls collect the events of `Stream`. All calls share these errors, each with `google.rpc.ErrorInfo`
   * and with the id of the request in `FailureInfo`:
   * * `INVALID_ARGUMENT`: `google.rpc.BadRequest` names every wrong field; change the request.
   * * `NOT_FOUND`: the model or artifact does not exist.
   * * `FAILED_PRECONDITION`: the model does not offer the operation, or its weights are missing; choose another model.
   * * `RESOURCE_EXHAUSTED`: the queue or the store is full; `google.rpc.RetryInfo` has the delay before a retry.
   * * `UNAVAILABLE`: the engine was lost, the server is shutting down, or no model that `options.routing` allows is
   *   available now. A retry is safe.
   * * `DEADLINE_EXCEEDED`, `CANCELLED`: the server stopped the work.
   * Every response fits the 4 MiB that gRPC clients accept by default: images beyond `options.inline_limit_bytes` are
   * returned by artifact name.
   * </pre>
   */
  public static final class ImageServiceBlockingV2Stub
      extends io.grpc.stub.AbstractBlockingStub<ImageServiceBlockingV2Stub> {
    private ImageServiceBlockingV2Stub(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      super(channel, callOptions);
    }

    @java.lang.Override
    protected ImageServiceBlockingV2Stub build(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      return new ImageServiceBlockingV2Stub(channel, callOptions);
    }

    /**
     * <pre>
     * Generates images from words.
     * </pre>
     */
    public io.github.celesteimage.image.v1.GenerateResponse generate(io.github.celesteimage.image.v1.GenerateRequest request) throws io.grpc.StatusException {
      return io.grpc.stub.ClientCalls.blockingV2UnaryCall(
          getChannel(), getGenerateMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * Edits an image.
     * </pre>
     */
    public io.github.celesteimage.image.v1.EditResponse edit(io.github.celesteimage.image.v1.EditRequest request) throws io.grpc.StatusException {
      return io.grpc.stub.ClientCalls.blockingV2UnaryCall(
          getChannel(), getEditMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * Enlarges an image.
     * </pre>
     */
    public io.github.celesteimage.image.v1.UpscaleResponse upscale(io.github.celesteimage.image.v1.UpscaleRequest request) throws io.grpc.StatusException {
      return io.grpc.stub.ClientCalls.blockingV2UnaryCall(
          getChannel(), getUpscaleMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * Analyzes an image.
     * </pre>
     */
    public io.github.celesteimage.image.v1.AnalyzeResponse analyze(io.github.celesteimage.image.v1.AnalyzeRequest request) throws io.grpc.StatusException {
      return io.grpc.stub.ClientCalls.blockingV2UnaryCall(
          getChannel(), getAnalyzeMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * Runs one operation and streams its events until its images are stored.
     * Events are numbered 1, 2, 3 and so on. The last event is `completed` or `failed`. After `failed` the call ends with
     * the same status. Closing the stream stops the work; stored images are kept.
     * HTTP callers get status 200 with the first event, also when the operation fails: look at the last event.
     * </pre>
     */
    @io.grpc.ExperimentalApi("https://github.com/grpc/grpc-java/issues/10918")
    public io.grpc.stub.BlockingClientCall<?, io.github.celesteimage.image.v1.StreamResponse>
        stream(io.github.celesteimage.image.v1.StreamRequest request) {
      return io.grpc.stub.ClientCalls.blockingV2ServerStreamingCall(
          getChannel(), getStreamMethod(), getCallOptions(), request);
    }
  }

  /**
   * A stub to allow clients to do limited synchronous rpc calls to service ImageService.
   * <pre>
   * Generates, edits, upscales and analyzes images.
   * The four unary calls collect the events of `Stream`. All calls share these errors, each with `google.rpc.ErrorInfo`
   * and with the id of the request in `FailureInfo`:
   * * `INVALID_ARGUMENT`: `google.rpc.BadRequest` names every wrong field; change the request.
   * * `NOT_FOUND`: the model or artifact does not exist.
   * * `FAILED_PRECONDITION`: the model does not offer the operation, or its weights are missing; choose another model.
   * * `RESOURCE_EXHAUSTED`: the queue or the store is full; `google.rpc.RetryInfo` has the delay before a retry.
   * * `UNAVAILABLE`: the engine was lost, the server is shutting down, or no model that `options.routing` allows is
   *   available now. A retry is safe.
   * * `DEADLINE_EXCEEDED`, `CANCELLED`: the server stopped the work.
   * Every response fits the 4 MiB that gRPC clients accept by default: images beyond `options.inline_limit_bytes` are
   * returned by artifact name.
   * </pre>
   */
  public static final class ImageServiceBlockingStub
      extends io.grpc.stub.AbstractBlockingStub<ImageServiceBlockingStub> {
    private ImageServiceBlockingStub(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      super(channel, callOptions);
    }

    @java.lang.Override
    protected ImageServiceBlockingStub build(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      return new ImageServiceBlockingStub(channel, callOptions);
    }

    /**
     * <pre>
     * Generates images from words.
     * </pre>
     */
    public io.github.celesteimage.image.v1.GenerateResponse generate(io.github.celesteimage.image.v1.GenerateRequest request) {
      return io.grpc.stub.ClientCalls.blockingUnaryCall(
          getChannel(), getGenerateMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * Edits an image.
     * </pre>
     */
    public io.github.celesteimage.image.v1.EditResponse edit(io.github.celesteimage.image.v1.EditRequest request) {
      return io.grpc.stub.ClientCalls.blockingUnaryCall(
          getChannel(), getEditMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * Enlarges an image.
     * </pre>
     */
    public io.github.celesteimage.image.v1.UpscaleResponse upscale(io.github.celesteimage.image.v1.UpscaleRequest request) {
      return io.grpc.stub.ClientCalls.blockingUnaryCall(
          getChannel(), getUpscaleMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * Analyzes an image.
     * </pre>
     */
    public io.github.celesteimage.image.v1.AnalyzeResponse analyze(io.github.celesteimage.image.v1.AnalyzeRequest request) {
      return io.grpc.stub.ClientCalls.blockingUnaryCall(
          getChannel(), getAnalyzeMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * Runs one operation and streams its events until its images are stored.
     * Events are numbered 1, 2, 3 and so on. The last event is `completed` or `failed`. After `failed` the call ends with
     * the same status. Closing the stream stops the work; stored images are kept.
     * HTTP callers get status 200 with the first event, also when the operation fails: look at the last event.
     * </pre>
     */
    public java.util.Iterator<io.github.celesteimage.image.v1.StreamResponse> stream(
        io.github.celesteimage.image.v1.StreamRequest request) {
      return io.grpc.stub.ClientCalls.blockingServerStreamingCall(
          getChannel(), getStreamMethod(), getCallOptions(), request);
    }
  }

  /**
   * A stub to allow clients to do ListenableFuture-style rpc calls to service ImageService.
   * <pre>
   * Generates, edits, upscales and analyzes images.
   * The four unary calls collect the events of `Stream`. All calls share these errors, each with `google.rpc.ErrorInfo`
   * and with the id of the request in `FailureInfo`:
   * * `INVALID_ARGUMENT`: `google.rpc.BadRequest` names every wrong field; change the request.
   * * `NOT_FOUND`: the model or artifact does not exist.
   * * `FAILED_PRECONDITION`: the model does not offer the operation, or its weights are missing; choose another model.
   * * `RESOURCE_EXHAUSTED`: the queue or the store is full; `google.rpc.RetryInfo` has the delay before a retry.
   * * `UNAVAILABLE`: the engine was lost, the server is shutting down, or no model that `options.routing` allows is
   *   available now. A retry is safe.
   * * `DEADLINE_EXCEEDED`, `CANCELLED`: the server stopped the work.
   * Every response fits the 4 MiB that gRPC clients accept by default: images beyond `options.inline_limit_bytes` are
   * returned by artifact name.
   * </pre>
   */
  public static final class ImageServiceFutureStub
      extends io.grpc.stub.AbstractFutureStub<ImageServiceFutureStub> {
    private ImageServiceFutureStub(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      super(channel, callOptions);
    }

    @java.lang.Override
    protected ImageServiceFutureStub build(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      return new ImageServiceFutureStub(channel, callOptions);
    }

    /**
     * <pre>
     * Generates images from words.
     * </pre>
     */
    public com.google.common.util.concurrent.ListenableFuture<io.github.celesteimage.image.v1.GenerateResponse> generate(
        io.github.celesteimage.image.v1.GenerateRequest request) {
      return io.grpc.stub.ClientCalls.futureUnaryCall(
          getChannel().newCall(getGenerateMethod(), getCallOptions()), request);
    }

    /**
     * <pre>
     * Edits an image.
     * </pre>
     */
    public com.google.common.util.concurrent.ListenableFuture<io.github.celesteimage.image.v1.EditResponse> edit(
        io.github.celesteimage.image.v1.EditRequest request) {
      return io.grpc.stub.ClientCalls.futureUnaryCall(
          getChannel().newCall(getEditMethod(), getCallOptions()), request);
    }

    /**
     * <pre>
     * Enlarges an image.
     * </pre>
     */
    public com.google.common.util.concurrent.ListenableFuture<io.github.celesteimage.image.v1.UpscaleResponse> upscale(
        io.github.celesteimage.image.v1.UpscaleRequest request) {
      return io.grpc.stub.ClientCalls.futureUnaryCall(
          getChannel().newCall(getUpscaleMethod(), getCallOptions()), request);
    }

    /**
     * <pre>
     * Analyzes an image.
     * </pre>
     */
    public com.google.common.util.concurrent.ListenableFuture<io.github.celesteimage.image.v1.AnalyzeResponse> analyze(
        io.github.celesteimage.image.v1.AnalyzeRequest request) {
      return io.grpc.stub.ClientCalls.futureUnaryCall(
          getChannel().newCall(getAnalyzeMethod(), getCallOptions()), request);
    }
  }

  private static final int METHODID_GENERATE = 0;
  private static final int METHODID_EDIT = 1;
  private static final int METHODID_UPSCALE = 2;
  private static final int METHODID_ANALYZE = 3;
  private static final int METHODID_STREAM = 4;

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
        case METHODID_GENERATE:
          serviceImpl.generate((io.github.celesteimage.image.v1.GenerateRequest) request,
              (io.grpc.stub.StreamObserver<io.github.celesteimage.image.v1.GenerateResponse>) responseObserver);
          break;
        case METHODID_EDIT:
          serviceImpl.edit((io.github.celesteimage.image.v1.EditRequest) request,
              (io.grpc.stub.StreamObserver<io.github.celesteimage.image.v1.EditResponse>) responseObserver);
          break;
        case METHODID_UPSCALE:
          serviceImpl.upscale((io.github.celesteimage.image.v1.UpscaleRequest) request,
              (io.grpc.stub.StreamObserver<io.github.celesteimage.image.v1.UpscaleResponse>) responseObserver);
          break;
        case METHODID_ANALYZE:
          serviceImpl.analyze((io.github.celesteimage.image.v1.AnalyzeRequest) request,
              (io.grpc.stub.StreamObserver<io.github.celesteimage.image.v1.AnalyzeResponse>) responseObserver);
          break;
        case METHODID_STREAM:
          serviceImpl.stream((io.github.celesteimage.image.v1.StreamRequest) request,
              (io.grpc.stub.StreamObserver<io.github.celesteimage.image.v1.StreamResponse>) responseObserver);
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
        default:
          throw new AssertionError();
      }
    }
  }

  public static final io.grpc.ServerServiceDefinition bindService(AsyncService service) {
    return io.grpc.ServerServiceDefinition.builder(getServiceDescriptor())
        .addMethod(
          getGenerateMethod(),
          io.grpc.stub.ServerCalls.asyncUnaryCall(
            new MethodHandlers<
              io.github.celesteimage.image.v1.GenerateRequest,
              io.github.celesteimage.image.v1.GenerateResponse>(
                service, METHODID_GENERATE)))
        .addMethod(
          getEditMethod(),
          io.grpc.stub.ServerCalls.asyncUnaryCall(
            new MethodHandlers<
              io.github.celesteimage.image.v1.EditRequest,
              io.github.celesteimage.image.v1.EditResponse>(
                service, METHODID_EDIT)))
        .addMethod(
          getUpscaleMethod(),
          io.grpc.stub.ServerCalls.asyncUnaryCall(
            new MethodHandlers<
              io.github.celesteimage.image.v1.UpscaleRequest,
              io.github.celesteimage.image.v1.UpscaleResponse>(
                service, METHODID_UPSCALE)))
        .addMethod(
          getAnalyzeMethod(),
          io.grpc.stub.ServerCalls.asyncUnaryCall(
            new MethodHandlers<
              io.github.celesteimage.image.v1.AnalyzeRequest,
              io.github.celesteimage.image.v1.AnalyzeResponse>(
                service, METHODID_ANALYZE)))
        .addMethod(
          getStreamMethod(),
          io.grpc.stub.ServerCalls.asyncServerStreamingCall(
            new MethodHandlers<
              io.github.celesteimage.image.v1.StreamRequest,
              io.github.celesteimage.image.v1.StreamResponse>(
                service, METHODID_STREAM)))
        .build();
  }

  private static abstract class ImageServiceBaseDescriptorSupplier
      implements io.grpc.protobuf.ProtoFileDescriptorSupplier, io.grpc.protobuf.ProtoServiceDescriptorSupplier {
    ImageServiceBaseDescriptorSupplier() {}

    @java.lang.Override
    public com.google.protobuf.Descriptors.FileDescriptor getFileDescriptor() {
      return io.github.celesteimage.image.v1.ImageServiceProto.getDescriptor();
    }

    @java.lang.Override
    public com.google.protobuf.Descriptors.ServiceDescriptor getServiceDescriptor() {
      return getFileDescriptor().findServiceByName("ImageService");
    }
  }

  private static final class ImageServiceFileDescriptorSupplier
      extends ImageServiceBaseDescriptorSupplier {
    ImageServiceFileDescriptorSupplier() {}
  }

  private static final class ImageServiceMethodDescriptorSupplier
      extends ImageServiceBaseDescriptorSupplier
      implements io.grpc.protobuf.ProtoMethodDescriptorSupplier {
    private final java.lang.String methodName;

    ImageServiceMethodDescriptorSupplier(java.lang.String methodName) {
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
      synchronized (ImageServiceGrpc.class) {
        result = serviceDescriptor;
        if (result == null) {
          serviceDescriptor = result = io.grpc.ServiceDescriptor.newBuilder(SERVICE_NAME)
              .setSchemaDescriptor(new ImageServiceFileDescriptorSupplier())
              .addMethod(getGenerateMethod())
              .addMethod(getEditMethod())
              .addMethod(getUpscaleMethod())
              .addMethod(getAnalyzeMethod())
              .addMethod(getStreamMethod())
              .build();
        }
      }
    }
    return result;
  }
}
