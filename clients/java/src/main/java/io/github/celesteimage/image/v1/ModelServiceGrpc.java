package io.github.celesteimage.image.v1;

import static io.grpc.MethodDescriptor.generateFullMethodName;

/**
 * <pre>
 * Describes the abilities and limits of this server.
 * All calls share this error, with `google.rpc.ErrorInfo`:
 * * `INVALID_ARGUMENT`: a field is wrong, or this server does not know it. A page token must come from the same list with
 *   the same filter.
 * </pre>
 */
@io.grpc.stub.annotations.GrpcGenerated
public final class ModelServiceGrpc {

  private ModelServiceGrpc() {}

  public static final java.lang.String SERVICE_NAME = "celeste.image.v1.ModelService";

  // Static method descriptors that strictly reflect the proto.
  private static volatile io.grpc.MethodDescriptor<io.github.celesteimage.image.v1.ListProvidersRequest,
      io.github.celesteimage.image.v1.ListProvidersResponse> getListProvidersMethod;

  @io.grpc.stub.annotations.RpcMethod(
      fullMethodName = SERVICE_NAME + '/' + "ListProviders",
      requestType = io.github.celesteimage.image.v1.ListProvidersRequest.class,
      responseType = io.github.celesteimage.image.v1.ListProvidersResponse.class,
      methodType = io.grpc.MethodDescriptor.MethodType.UNARY)
  public static io.grpc.MethodDescriptor<io.github.celesteimage.image.v1.ListProvidersRequest,
      io.github.celesteimage.image.v1.ListProvidersResponse> getListProvidersMethod() {
    io.grpc.MethodDescriptor<io.github.celesteimage.image.v1.ListProvidersRequest, io.github.celesteimage.image.v1.ListProvidersResponse> getListProvidersMethod;
    if ((getListProvidersMethod = ModelServiceGrpc.getListProvidersMethod) == null) {
      synchronized (ModelServiceGrpc.class) {
        if ((getListProvidersMethod = ModelServiceGrpc.getListProvidersMethod) == null) {
          ModelServiceGrpc.getListProvidersMethod = getListProvidersMethod =
              io.grpc.MethodDescriptor.<io.github.celesteimage.image.v1.ListProvidersRequest, io.github.celesteimage.image.v1.ListProvidersResponse>newBuilder()
              .setType(io.grpc.MethodDescriptor.MethodType.UNARY)
              .setFullMethodName(generateFullMethodName(SERVICE_NAME, "ListProviders"))
              .setSampledToLocalTracing(true)
              .setRequestMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  io.github.celesteimage.image.v1.ListProvidersRequest.getDefaultInstance()))
              .setResponseMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  io.github.celesteimage.image.v1.ListProvidersResponse.getDefaultInstance()))
              .setSchemaDescriptor(new ModelServiceMethodDescriptorSupplier("ListProviders"))
              .build();
        }
      }
    }
    return getListProvidersMethod;
  }

  private static volatile io.grpc.MethodDescriptor<io.github.celesteimage.image.v1.ListModelsRequest,
      io.github.celesteimage.image.v1.ListModelsResponse> getListModelsMethod;

  @io.grpc.stub.annotations.RpcMethod(
      fullMethodName = SERVICE_NAME + '/' + "ListModels",
      requestType = io.github.celesteimage.image.v1.ListModelsRequest.class,
      responseType = io.github.celesteimage.image.v1.ListModelsResponse.class,
      methodType = io.grpc.MethodDescriptor.MethodType.UNARY)
  public static io.grpc.MethodDescriptor<io.github.celesteimage.image.v1.ListModelsRequest,
      io.github.celesteimage.image.v1.ListModelsResponse> getListModelsMethod() {
    io.grpc.MethodDescriptor<io.github.celesteimage.image.v1.ListModelsRequest, io.github.celesteimage.image.v1.ListModelsResponse> getListModelsMethod;
    if ((getListModelsMethod = ModelServiceGrpc.getListModelsMethod) == null) {
      synchronized (ModelServiceGrpc.class) {
        if ((getListModelsMethod = ModelServiceGrpc.getListModelsMethod) == null) {
          ModelServiceGrpc.getListModelsMethod = getListModelsMethod =
              io.grpc.MethodDescriptor.<io.github.celesteimage.image.v1.ListModelsRequest, io.github.celesteimage.image.v1.ListModelsResponse>newBuilder()
              .setType(io.grpc.MethodDescriptor.MethodType.UNARY)
              .setFullMethodName(generateFullMethodName(SERVICE_NAME, "ListModels"))
              .setSampledToLocalTracing(true)
              .setRequestMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  io.github.celesteimage.image.v1.ListModelsRequest.getDefaultInstance()))
              .setResponseMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  io.github.celesteimage.image.v1.ListModelsResponse.getDefaultInstance()))
              .setSchemaDescriptor(new ModelServiceMethodDescriptorSupplier("ListModels"))
              .build();
        }
      }
    }
    return getListModelsMethod;
  }

  private static volatile io.grpc.MethodDescriptor<io.github.celesteimage.image.v1.GetModelRequest,
      io.github.celesteimage.image.v1.GetModelResponse> getGetModelMethod;

  @io.grpc.stub.annotations.RpcMethod(
      fullMethodName = SERVICE_NAME + '/' + "GetModel",
      requestType = io.github.celesteimage.image.v1.GetModelRequest.class,
      responseType = io.github.celesteimage.image.v1.GetModelResponse.class,
      methodType = io.grpc.MethodDescriptor.MethodType.UNARY)
  public static io.grpc.MethodDescriptor<io.github.celesteimage.image.v1.GetModelRequest,
      io.github.celesteimage.image.v1.GetModelResponse> getGetModelMethod() {
    io.grpc.MethodDescriptor<io.github.celesteimage.image.v1.GetModelRequest, io.github.celesteimage.image.v1.GetModelResponse> getGetModelMethod;
    if ((getGetModelMethod = ModelServiceGrpc.getGetModelMethod) == null) {
      synchronized (ModelServiceGrpc.class) {
        if ((getGetModelMethod = ModelServiceGrpc.getGetModelMethod) == null) {
          ModelServiceGrpc.getGetModelMethod = getGetModelMethod =
              io.grpc.MethodDescriptor.<io.github.celesteimage.image.v1.GetModelRequest, io.github.celesteimage.image.v1.GetModelResponse>newBuilder()
              .setType(io.grpc.MethodDescriptor.MethodType.UNARY)
              .setFullMethodName(generateFullMethodName(SERVICE_NAME, "GetModel"))
              .setSampledToLocalTracing(true)
              .setRequestMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  io.github.celesteimage.image.v1.GetModelRequest.getDefaultInstance()))
              .setResponseMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  io.github.celesteimage.image.v1.GetModelResponse.getDefaultInstance()))
              .setSchemaDescriptor(new ModelServiceMethodDescriptorSupplier("GetModel"))
              .build();
        }
      }
    }
    return getGetModelMethod;
  }

  private static volatile io.grpc.MethodDescriptor<io.github.celesteimage.image.v1.GetServerInfoRequest,
      io.github.celesteimage.image.v1.GetServerInfoResponse> getGetServerInfoMethod;

  @io.grpc.stub.annotations.RpcMethod(
      fullMethodName = SERVICE_NAME + '/' + "GetServerInfo",
      requestType = io.github.celesteimage.image.v1.GetServerInfoRequest.class,
      responseType = io.github.celesteimage.image.v1.GetServerInfoResponse.class,
      methodType = io.grpc.MethodDescriptor.MethodType.UNARY)
  public static io.grpc.MethodDescriptor<io.github.celesteimage.image.v1.GetServerInfoRequest,
      io.github.celesteimage.image.v1.GetServerInfoResponse> getGetServerInfoMethod() {
    io.grpc.MethodDescriptor<io.github.celesteimage.image.v1.GetServerInfoRequest, io.github.celesteimage.image.v1.GetServerInfoResponse> getGetServerInfoMethod;
    if ((getGetServerInfoMethod = ModelServiceGrpc.getGetServerInfoMethod) == null) {
      synchronized (ModelServiceGrpc.class) {
        if ((getGetServerInfoMethod = ModelServiceGrpc.getGetServerInfoMethod) == null) {
          ModelServiceGrpc.getGetServerInfoMethod = getGetServerInfoMethod =
              io.grpc.MethodDescriptor.<io.github.celesteimage.image.v1.GetServerInfoRequest, io.github.celesteimage.image.v1.GetServerInfoResponse>newBuilder()
              .setType(io.grpc.MethodDescriptor.MethodType.UNARY)
              .setFullMethodName(generateFullMethodName(SERVICE_NAME, "GetServerInfo"))
              .setSampledToLocalTracing(true)
              .setRequestMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  io.github.celesteimage.image.v1.GetServerInfoRequest.getDefaultInstance()))
              .setResponseMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  io.github.celesteimage.image.v1.GetServerInfoResponse.getDefaultInstance()))
              .setSchemaDescriptor(new ModelServiceMethodDescriptorSupplier("GetServerInfo"))
              .build();
        }
      }
    }
    return getGetServerInfoMethod;
  }

  /**
   * Creates a new async stub that supports all call types for the service
   */
  public static ModelServiceStub newStub(io.grpc.Channel channel) {
    io.grpc.stub.AbstractStub.StubFactory<ModelServiceStub> factory =
      new io.grpc.stub.AbstractStub.StubFactory<ModelServiceStub>() {
        @java.lang.Override
        public ModelServiceStub newStub(io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
          return new ModelServiceStub(channel, callOptions);
        }
      };
    return ModelServiceStub.newStub(factory, channel);
  }

  /**
   * Creates a new blocking-style stub that supports all types of calls on the service
   */
  public static ModelServiceBlockingV2Stub newBlockingV2Stub(
      io.grpc.Channel channel) {
    io.grpc.stub.AbstractStub.StubFactory<ModelServiceBlockingV2Stub> factory =
      new io.grpc.stub.AbstractStub.StubFactory<ModelServiceBlockingV2Stub>() {
        @java.lang.Override
        public ModelServiceBlockingV2Stub newStub(io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
          return new ModelServiceBlockingV2Stub(channel, callOptions);
        }
      };
    return ModelServiceBlockingV2Stub.newStub(factory, channel);
  }

  /**
   * Creates a new blocking-style stub that supports unary and streaming output calls on the service
   */
  public static ModelServiceBlockingStub newBlockingStub(
      io.grpc.Channel channel) {
    io.grpc.stub.AbstractStub.StubFactory<ModelServiceBlockingStub> factory =
      new io.grpc.stub.AbstractStub.StubFactory<ModelServiceBlockingStub>() {
        @java.lang.Override
        public ModelServiceBlockingStub newStub(io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
          return new ModelServiceBlockingStub(channel, callOptions);
        }
      };
    return ModelServiceBlockingStub.newStub(factory, channel);
  }

  /**
   * Creates a new ListenableFuture-style stub that supports unary calls on the service
   */
  public static ModelServiceFutureStub newFutureStub(
      io.grpc.Channel channel) {
    io.grpc.stub.AbstractStub.StubFactory<ModelServiceFutureStub> factory =
      new io.grpc.stub.AbstractStub.StubFactory<ModelServiceFutureStub>() {
        @java.lang.Override
        public ModelServiceFutureStub newStub(io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
          return new ModelServiceFutureStub(channel, callOptions);
        }
      };
    return ModelServiceFutureStub.newStub(factory, channel);
  }

  /**
   * <pre>
   * Describes the abilities and limits of this server.
   * All calls share this error, with `google.rpc.ErrorInfo`:
   * * `INVALID_ARGUMENT`: a field is wrong, or this server does not know it. A page token must come from the same list with
   *   the same filter.
   * </pre>
   */
  public interface AsyncService {

    /**
     * <pre>
     * Lists the providers, ordered by name. Only an empty `next_page_token` ends the list.
     * </pre>
     */
    default void listProviders(io.github.celesteimage.image.v1.ListProvidersRequest request,
        io.grpc.stub.StreamObserver<io.github.celesteimage.image.v1.ListProvidersResponse> responseObserver) {
      io.grpc.stub.ServerCalls.asyncUnimplementedUnaryCall(getListProvidersMethod(), responseObserver);
    }

    /**
     * <pre>
     * Lists the models, ordered by id. A page may have fewer models than `page_size`, since its bytes are limited too.
     * Only an empty `next_page_token` ends the list.
     * </pre>
     */
    default void listModels(io.github.celesteimage.image.v1.ListModelsRequest request,
        io.grpc.stub.StreamObserver<io.github.celesteimage.image.v1.ListModelsResponse> responseObserver) {
      io.grpc.stub.ServerCalls.asyncUnimplementedUnaryCall(getListModelsMethod(), responseObserver);
    }

    /**
     * <pre>
     * Returns one model with all its parameters.
     * * `NOT_FOUND`: no model has this id; ErrorInfo metadata `nearest` lists similar ids.
     * </pre>
     */
    default void getModel(io.github.celesteimage.image.v1.GetModelRequest request,
        io.grpc.stub.StreamObserver<io.github.celesteimage.image.v1.GetModelResponse> responseObserver) {
      io.grpc.stub.ServerCalls.asyncUnimplementedUnaryCall(getGetModelMethod(), responseObserver);
    }

    /**
     * <pre>
     * Returns the server's version and limits.
     * </pre>
     */
    default void getServerInfo(io.github.celesteimage.image.v1.GetServerInfoRequest request,
        io.grpc.stub.StreamObserver<io.github.celesteimage.image.v1.GetServerInfoResponse> responseObserver) {
      io.grpc.stub.ServerCalls.asyncUnimplementedUnaryCall(getGetServerInfoMethod(), responseObserver);
    }
  }

  /**
   * Base class for the server implementation of the service ModelService.
   * <pre>
   * Describes the abilities and limits of this server.
   * All calls share this error, with `google.rpc.ErrorInfo`:
   * * `INVALID_ARGUMENT`: a field is wrong, or this server does not know it. A page token must come from the same list with
   *   the same filter.
   * </pre>
   */
  public static abstract class ModelServiceImplBase
      implements io.grpc.BindableService, AsyncService {

    @java.lang.Override public final io.grpc.ServerServiceDefinition bindService() {
      return ModelServiceGrpc.bindService(this);
    }
  }

  /**
   * A stub to allow clients to do asynchronous rpc calls to service ModelService.
   * <pre>
   * Describes the abilities and limits of this server.
   * All calls share this error, with `google.rpc.ErrorInfo`:
   * * `INVALID_ARGUMENT`: a field is wrong, or this server does not know it. A page token must come from the same list with
   *   the same filter.
   * </pre>
   */
  public static final class ModelServiceStub
      extends io.grpc.stub.AbstractAsyncStub<ModelServiceStub> {
    private ModelServiceStub(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      super(channel, callOptions);
    }

    @java.lang.Override
    protected ModelServiceStub build(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      return new ModelServiceStub(channel, callOptions);
    }

    /**
     * <pre>
     * Lists the providers, ordered by name. Only an empty `next_page_token` ends the list.
     * </pre>
     */
    public void listProviders(io.github.celesteimage.image.v1.ListProvidersRequest request,
        io.grpc.stub.StreamObserver<io.github.celesteimage.image.v1.ListProvidersResponse> responseObserver) {
      io.grpc.stub.ClientCalls.asyncUnaryCall(
          getChannel().newCall(getListProvidersMethod(), getCallOptions()), request, responseObserver);
    }

    /**
     * <pre>
     * Lists the models, ordered by id. A page may have fewer models than `page_size`, since its bytes are limited too.
     * Only an empty `next_page_token` ends the list.
     * </pre>
     */
    public void listModels(io.github.celesteimage.image.v1.ListModelsRequest request,
        io.grpc.stub.StreamObserver<io.github.celesteimage.image.v1.ListModelsResponse> responseObserver) {
      io.grpc.stub.ClientCalls.asyncUnaryCall(
          getChannel().newCall(getListModelsMethod(), getCallOptions()), request, responseObserver);
    }

    /**
     * <pre>
     * Returns one model with all its parameters.
     * * `NOT_FOUND`: no model has this id; ErrorInfo metadata `nearest` lists similar ids.
     * </pre>
     */
    public void getModel(io.github.celesteimage.image.v1.GetModelRequest request,
        io.grpc.stub.StreamObserver<io.github.celesteimage.image.v1.GetModelResponse> responseObserver) {
      io.grpc.stub.ClientCalls.asyncUnaryCall(
          getChannel().newCall(getGetModelMethod(), getCallOptions()), request, responseObserver);
    }

    /**
     * <pre>
     * Returns the server's version and limits.
     * </pre>
     */
    public void getServerInfo(io.github.celesteimage.image.v1.GetServerInfoRequest request,
        io.grpc.stub.StreamObserver<io.github.celesteimage.image.v1.GetServerInfoResponse> responseObserver) {
      io.grpc.stub.ClientCalls.asyncUnaryCall(
          getChannel().newCall(getGetServerInfoMethod(), getCallOptions()), request, responseObserver);
    }
  }

  /**
   * A stub to allow clients to do synchronous rpc calls to service ModelService.
   * <pre>
   * Describes the abilities and limits of this server.
   * All calls share this error, with `google.rpc.ErrorInfo`:
   * * `INVALID_ARGUMENT`: a field is wrong, or this server does not know it. A page token must come from the same list with
   *   the same filter.
   * </pre>
   */
  public static final class ModelServiceBlockingV2Stub
      extends io.grpc.stub.AbstractBlockingStub<ModelServiceBlockingV2Stub> {
    private ModelServiceBlockingV2Stub(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      super(channel, callOptions);
    }

    @java.lang.Override
    protected ModelServiceBlockingV2Stub build(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      return new ModelServiceBlockingV2Stub(channel, callOptions);
    }

    /**
     * <pre>
     * Lists the providers, ordered by name. Only an empty `next_page_token` ends the list.
     * </pre>
     */
    public io.github.celesteimage.image.v1.ListProvidersResponse listProviders(io.github.celesteimage.image.v1.ListProvidersRequest request) throws io.grpc.StatusException {
      return io.grpc.stub.ClientCalls.blockingV2UnaryCall(
          getChannel(), getListProvidersMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * Lists the models, ordered by id. A page may have fewer models than `page_size`, since its bytes are limited too.
     * Only an empty `next_page_token` ends the list.
     * </pre>
     */
    public io.github.celesteimage.image.v1.ListModelsResponse listModels(io.github.celesteimage.image.v1.ListModelsRequest request) throws io.grpc.StatusException {
      return io.grpc.stub.ClientCalls.blockingV2UnaryCall(
          getChannel(), getListModelsMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * Returns one model with all its parameters.
     * * `NOT_FOUND`: no model has this id; ErrorInfo metadata `nearest` lists similar ids.
     * </pre>
     */
    public io.github.celesteimage.image.v1.GetModelResponse getModel(io.github.celesteimage.image.v1.GetModelRequest request) throws io.grpc.StatusException {
      return io.grpc.stub.ClientCalls.blockingV2UnaryCall(
          getChannel(), getGetModelMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * Returns the server's version and limits.
     * </pre>
     */
    public io.github.celesteimage.image.v1.GetServerInfoResponse getServerInfo(io.github.celesteimage.image.v1.GetServerInfoRequest request) throws io.grpc.StatusException {
      return io.grpc.stub.ClientCalls.blockingV2UnaryCall(
          getChannel(), getGetServerInfoMethod(), getCallOptions(), request);
    }
  }

  /**
   * A stub to allow clients to do limited synchronous rpc calls to service ModelService.
   * <pre>
   * Describes the abilities and limits of this server.
   * All calls share this error, with `google.rpc.ErrorInfo`:
   * * `INVALID_ARGUMENT`: a field is wrong, or this server does not know it. A page token must come from the same list with
   *   the same filter.
   * </pre>
   */
  public static final class ModelServiceBlockingStub
      extends io.grpc.stub.AbstractBlockingStub<ModelServiceBlockingStub> {
    private ModelServiceBlockingStub(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      super(channel, callOptions);
    }

    @java.lang.Override
    protected ModelServiceBlockingStub build(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      return new ModelServiceBlockingStub(channel, callOptions);
    }

    /**
     * <pre>
     * Lists the providers, ordered by name. Only an empty `next_page_token` ends the list.
     * </pre>
     */
    public io.github.celesteimage.image.v1.ListProvidersResponse listProviders(io.github.celesteimage.image.v1.ListProvidersRequest request) {
      return io.grpc.stub.ClientCalls.blockingUnaryCall(
          getChannel(), getListProvidersMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * Lists the models, ordered by id. A page may have fewer models than `page_size`, since its bytes are limited too.
     * Only an empty `next_page_token` ends the list.
     * </pre>
     */
    public io.github.celesteimage.image.v1.ListModelsResponse listModels(io.github.celesteimage.image.v1.ListModelsRequest request) {
      return io.grpc.stub.ClientCalls.blockingUnaryCall(
          getChannel(), getListModelsMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * Returns one model with all its parameters.
     * * `NOT_FOUND`: no model has this id; ErrorInfo metadata `nearest` lists similar ids.
     * </pre>
     */
    public io.github.celesteimage.image.v1.GetModelResponse getModel(io.github.celesteimage.image.v1.GetModelRequest request) {
      return io.grpc.stub.ClientCalls.blockingUnaryCall(
          getChannel(), getGetModelMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * Returns the server's version and limits.
     * </pre>
     */
    public io.github.celesteimage.image.v1.GetServerInfoResponse getServerInfo(io.github.celesteimage.image.v1.GetServerInfoRequest request) {
      return io.grpc.stub.ClientCalls.blockingUnaryCall(
          getChannel(), getGetServerInfoMethod(), getCallOptions(), request);
    }
  }

  /**
   * A stub to allow clients to do ListenableFuture-style rpc calls to service ModelService.
   * <pre>
   * Describes the abilities and limits of this server.
   * All calls share this error, with `google.rpc.ErrorInfo`:
   * * `INVALID_ARGUMENT`: a field is wrong, or this server does not know it. A page token must come from the same list with
   *   the same filter.
   * </pre>
   */
  public static final class ModelServiceFutureStub
      extends io.grpc.stub.AbstractFutureStub<ModelServiceFutureStub> {
    private ModelServiceFutureStub(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      super(channel, callOptions);
    }

    @java.lang.Override
    protected ModelServiceFutureStub build(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      return new ModelServiceFutureStub(channel, callOptions);
    }

    /**
     * <pre>
     * Lists the providers, ordered by name. Only an empty `next_page_token` ends the list.
     * </pre>
     */
    public com.google.common.util.concurrent.ListenableFuture<io.github.celesteimage.image.v1.ListProvidersResponse> listProviders(
        io.github.celesteimage.image.v1.ListProvidersRequest request) {
      return io.grpc.stub.ClientCalls.futureUnaryCall(
          getChannel().newCall(getListProvidersMethod(), getCallOptions()), request);
    }

    /**
     * <pre>
     * Lists the models, ordered by id. A page may have fewer models than `page_size`, since its bytes are limited too.
     * Only an empty `next_page_token` ends the list.
     * </pre>
     */
    public com.google.common.util.concurrent.ListenableFuture<io.github.celesteimage.image.v1.ListModelsResponse> listModels(
        io.github.celesteimage.image.v1.ListModelsRequest request) {
      return io.grpc.stub.ClientCalls.futureUnaryCall(
          getChannel().newCall(getListModelsMethod(), getCallOptions()), request);
    }

    /**
     * <pre>
     * Returns one model with all its parameters.
     * * `NOT_FOUND`: no model has this id; ErrorInfo metadata `nearest` lists similar ids.
     * </pre>
     */
    public com.google.common.util.concurrent.ListenableFuture<io.github.celesteimage.image.v1.GetModelResponse> getModel(
        io.github.celesteimage.image.v1.GetModelRequest request) {
      return io.grpc.stub.ClientCalls.futureUnaryCall(
          getChannel().newCall(getGetModelMethod(), getCallOptions()), request);
    }

    /**
     * <pre>
     * Returns the server's version and limits.
     * </pre>
     */
    public com.google.common.util.concurrent.ListenableFuture<io.github.celesteimage.image.v1.GetServerInfoResponse> getServerInfo(
        io.github.celesteimage.image.v1.GetServerInfoRequest request) {
      return io.grpc.stub.ClientCalls.futureUnaryCall(
          getChannel().newCall(getGetServerInfoMethod(), getCallOptions()), request);
    }
  }

  private static final int METHODID_LIST_PROVIDERS = 0;
  private static final int METHODID_LIST_MODELS = 1;
  private static final int METHODID_GET_MODEL = 2;
  private static final int METHODID_GET_SERVER_INFO = 3;

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
        case METHODID_LIST_PROVIDERS:
          serviceImpl.listProviders((io.github.celesteimage.image.v1.ListProvidersRequest) request,
              (io.grpc.stub.StreamObserver<io.github.celesteimage.image.v1.ListProvidersResponse>) responseObserver);
          break;
        case METHODID_LIST_MODELS:
          serviceImpl.listModels((io.github.celesteimage.image.v1.ListModelsRequest) request,
              (io.grpc.stub.StreamObserver<io.github.celesteimage.image.v1.ListModelsResponse>) responseObserver);
          break;
        case METHODID_GET_MODEL:
          serviceImpl.getModel((io.github.celesteimage.image.v1.GetModelRequest) request,
              (io.grpc.stub.StreamObserver<io.github.celesteimage.image.v1.GetModelResponse>) responseObserver);
          break;
        case METHODID_GET_SERVER_INFO:
          serviceImpl.getServerInfo((io.github.celesteimage.image.v1.GetServerInfoRequest) request,
              (io.grpc.stub.StreamObserver<io.github.celesteimage.image.v1.GetServerInfoResponse>) responseObserver);
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
          getListProvidersMethod(),
          io.grpc.stub.ServerCalls.asyncUnaryCall(
            new MethodHandlers<
              io.github.celesteimage.image.v1.ListProvidersRequest,
              io.github.celesteimage.image.v1.ListProvidersResponse>(
                service, METHODID_LIST_PROVIDERS)))
        .addMethod(
          getListModelsMethod(),
          io.grpc.stub.ServerCalls.asyncUnaryCall(
            new MethodHandlers<
              io.github.celesteimage.image.v1.ListModelsRequest,
              io.github.celesteimage.image.v1.ListModelsResponse>(
                service, METHODID_LIST_MODELS)))
        .addMethod(
          getGetModelMethod(),
          io.grpc.stub.ServerCalls.asyncUnaryCall(
            new MethodHandlers<
              io.github.celesteimage.image.v1.GetModelRequest,
              io.github.celesteimage.image.v1.GetModelResponse>(
                service, METHODID_GET_MODEL)))
        .addMethod(
          getGetServerInfoMethod(),
          io.grpc.stub.ServerCalls.asyncUnaryCall(
            new MethodHandlers<
              io.github.celesteimage.image.v1.GetServerInfoRequest,
              io.github.celesteimage.image.v1.GetServerInfoResponse>(
                service, METHODID_GET_SERVER_INFO)))
        .build();
  }

  private static abstract class ModelServiceBaseDescriptorSupplier
      implements io.grpc.protobuf.ProtoFileDescriptorSupplier, io.grpc.protobuf.ProtoServiceDescriptorSupplier {
    ModelServiceBaseDescriptorSupplier() {}

    @java.lang.Override
    public com.google.protobuf.Descriptors.FileDescriptor getFileDescriptor() {
      return io.github.celesteimage.image.v1.ModelServiceProto.getDescriptor();
    }

    @java.lang.Override
    public com.google.protobuf.Descriptors.ServiceDescriptor getServiceDescriptor() {
      return getFileDescriptor().findServiceByName("ModelService");
    }
  }

  private static final class ModelServiceFileDescriptorSupplier
      extends ModelServiceBaseDescriptorSupplier {
    ModelServiceFileDescriptorSupplier() {}
  }

  private static final class ModelServiceMethodDescriptorSupplier
      extends ModelServiceBaseDescriptorSupplier
      implements io.grpc.protobuf.ProtoMethodDescriptorSupplier {
    private final java.lang.String methodName;

    ModelServiceMethodDescriptorSupplier(java.lang.String methodName) {
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
      synchronized (ModelServiceGrpc.class) {
        result = serviceDescriptor;
        if (result == null) {
          serviceDescriptor = result = io.grpc.ServiceDescriptor.newBuilder(SERVICE_NAME)
              .setSchemaDescriptor(new ModelServiceFileDescriptorSupplier())
              .addMethod(getListProvidersMethod())
              .addMethod(getListModelsMethod())
              .addMethod(getGetModelMethod())
              .addMethod(getGetServerInfoMethod())
              .build();
        }
      }
    }
    return result;
  }
}
