package io.github.celesteimage.image.v1;

import static io.grpc.MethodDescriptor.generateFullMethodName;

/**
 * <pre>
 * Tells what was used and what it cost. A caller sees the requests of its own tenant.
 * Both calls refuse unknown fields with INVALID_ARGUMENT, reason UNKNOWN_FIELD: the server would answer another question
 * if it ignored a filter. Pages may have fewer entries than asked for; only an empty `next_page_token` ends a list.
 * </pre>
 */
@io.grpc.stub.annotations.GrpcGenerated
public final class UsageServiceGrpc {

  private UsageServiceGrpc() {}

  public static final java.lang.String SERVICE_NAME = "celeste.image.v1.UsageService";

  // Static method descriptors that strictly reflect the proto.
  private static volatile io.grpc.MethodDescriptor<io.github.celesteimage.image.v1.QueryUsageRequest,
      io.github.celesteimage.image.v1.QueryUsageResponse> getQueryUsageMethod;

  @io.grpc.stub.annotations.RpcMethod(
      fullMethodName = SERVICE_NAME + '/' + "QueryUsage",
      requestType = io.github.celesteimage.image.v1.QueryUsageRequest.class,
      responseType = io.github.celesteimage.image.v1.QueryUsageResponse.class,
      methodType = io.grpc.MethodDescriptor.MethodType.UNARY)
  public static io.grpc.MethodDescriptor<io.github.celesteimage.image.v1.QueryUsageRequest,
      io.github.celesteimage.image.v1.QueryUsageResponse> getQueryUsageMethod() {
    io.grpc.MethodDescriptor<io.github.celesteimage.image.v1.QueryUsageRequest, io.github.celesteimage.image.v1.QueryUsageResponse> getQueryUsageMethod;
    if ((getQueryUsageMethod = UsageServiceGrpc.getQueryUsageMethod) == null) {
      synchronized (UsageServiceGrpc.class) {
        if ((getQueryUsageMethod = UsageServiceGrpc.getQueryUsageMethod) == null) {
          UsageServiceGrpc.getQueryUsageMethod = getQueryUsageMethod =
              io.grpc.MethodDescriptor.<io.github.celesteimage.image.v1.QueryUsageRequest, io.github.celesteimage.image.v1.QueryUsageResponse>newBuilder()
              .setType(io.grpc.MethodDescriptor.MethodType.UNARY)
              .setFullMethodName(generateFullMethodName(SERVICE_NAME, "QueryUsage"))
              .setSampledToLocalTracing(true)
              .setRequestMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  io.github.celesteimage.image.v1.QueryUsageRequest.getDefaultInstance()))
              .setResponseMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  io.github.celesteimage.image.v1.QueryUsageResponse.getDefaultInstance()))
              .setSchemaDescriptor(new UsageServiceMethodDescriptorSupplier("QueryUsage"))
              .build();
        }
      }
    }
    return getQueryUsageMethod;
  }

  private static volatile io.grpc.MethodDescriptor<io.github.celesteimage.image.v1.ListLedgerEntriesRequest,
      io.github.celesteimage.image.v1.ListLedgerEntriesResponse> getListLedgerEntriesMethod;

  @io.grpc.stub.annotations.RpcMethod(
      fullMethodName = SERVICE_NAME + '/' + "ListLedgerEntries",
      requestType = io.github.celesteimage.image.v1.ListLedgerEntriesRequest.class,
      responseType = io.github.celesteimage.image.v1.ListLedgerEntriesResponse.class,
      methodType = io.grpc.MethodDescriptor.MethodType.UNARY)
  public static io.grpc.MethodDescriptor<io.github.celesteimage.image.v1.ListLedgerEntriesRequest,
      io.github.celesteimage.image.v1.ListLedgerEntriesResponse> getListLedgerEntriesMethod() {
    io.grpc.MethodDescriptor<io.github.celesteimage.image.v1.ListLedgerEntriesRequest, io.github.celesteimage.image.v1.ListLedgerEntriesResponse> getListLedgerEntriesMethod;
    if ((getListLedgerEntriesMethod = UsageServiceGrpc.getListLedgerEntriesMethod) == null) {
      synchronized (UsageServiceGrpc.class) {
        if ((getListLedgerEntriesMethod = UsageServiceGrpc.getListLedgerEntriesMethod) == null) {
          UsageServiceGrpc.getListLedgerEntriesMethod = getListLedgerEntriesMethod =
              io.grpc.MethodDescriptor.<io.github.celesteimage.image.v1.ListLedgerEntriesRequest, io.github.celesteimage.image.v1.ListLedgerEntriesResponse>newBuilder()
              .setType(io.grpc.MethodDescriptor.MethodType.UNARY)
              .setFullMethodName(generateFullMethodName(SERVICE_NAME, "ListLedgerEntries"))
              .setSampledToLocalTracing(true)
              .setRequestMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  io.github.celesteimage.image.v1.ListLedgerEntriesRequest.getDefaultInstance()))
              .setResponseMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  io.github.celesteimage.image.v1.ListLedgerEntriesResponse.getDefaultInstance()))
              .setSchemaDescriptor(new UsageServiceMethodDescriptorSupplier("ListLedgerEntries"))
              .build();
        }
      }
    }
    return getListLedgerEntriesMethod;
  }

  /**
   * Creates a new async stub that supports all call types for the service
   */
  public static UsageServiceStub newStub(io.grpc.Channel channel) {
    io.grpc.stub.AbstractStub.StubFactory<UsageServiceStub> factory =
      new io.grpc.stub.AbstractStub.StubFactory<UsageServiceStub>() {
        @java.lang.Override
        public UsageServiceStub newStub(io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
          return new UsageServiceStub(channel, callOptions);
        }
      };
    return UsageServiceStub.newStub(factory, channel);
  }

  /**
   * Creates a new blocking-style stub that supports all types of calls on the service
   */
  public static UsageServiceBlockingV2Stub newBlockingV2Stub(
      io.grpc.Channel channel) {
    io.grpc.stub.AbstractStub.StubFactory<UsageServiceBlockingV2Stub> factory =
      new io.grpc.stub.AbstractStub.StubFactory<UsageServiceBlockingV2Stub>() {
        @java.lang.Override
        public UsageServiceBlockingV2Stub newStub(io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
          return new UsageServiceBlockingV2Stub(channel, callOptions);
        }
      };
    return UsageServiceBlockingV2Stub.newStub(factory, channel);
  }

  /**
   * Creates a new blocking-style stub that supports unary and streaming output calls on the service
   */
  public static UsageServiceBlockingStub newBlockingStub(
      io.grpc.Channel channel) {
    io.grpc.stub.AbstractStub.StubFactory<UsageServiceBlockingStub> factory =
      new io.grpc.stub.AbstractStub.StubFactory<UsageServiceBlockingStub>() {
        @java.lang.Override
        public UsageServiceBlockingStub newStub(io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
          return new UsageServiceBlockingStub(channel, callOptions);
        }
      };
    return UsageServiceBlockingStub.newStub(factory, channel);
  }

  /**
   * Creates a new ListenableFuture-style stub that supports unary calls on the service
   */
  public static UsageServiceFutureStub newFutureStub(
      io.grpc.Channel channel) {
    io.grpc.stub.AbstractStub.StubFactory<UsageServiceFutureStub> factory =
      new io.grpc.stub.AbstractStub.StubFactory<UsageServiceFutureStub>() {
        @java.lang.Override
        public UsageServiceFutureStub newStub(io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
          return new UsageServiceFutureStub(channel, callOptions);
        }
      };
    return UsageServiceFutureStub.newStub(factory, channel);
  }

  /**
   * <pre>
   * Tells what was used and what it cost. A caller sees the requests of its own tenant.
   * Both calls refuse unknown fields with INVALID_ARGUMENT, reason UNKNOWN_FIELD: the server would answer another question
   * if it ignored a filter. Pages may have fewer entries than asked for; only an empty `next_page_token` ends a list.
   * </pre>
   */
  public interface AsyncService {

    /**
     * <pre>
     * Adds up usage and costs over a time, by day, model and so on.
     * </pre>
     */
    default void queryUsage(io.github.celesteimage.image.v1.QueryUsageRequest request,
        io.grpc.stub.StreamObserver<io.github.celesteimage.image.v1.QueryUsageResponse> responseObserver) {
      io.grpc.stub.ServerCalls.asyncUnimplementedUnaryCall(getQueryUsageMethod(), responseObserver);
    }

    /**
     * <pre>
     * Lists calls to providers, newest first. Each call that may have to be paid has an entry, written before the call is
     * sent.
     * </pre>
     */
    default void listLedgerEntries(io.github.celesteimage.image.v1.ListLedgerEntriesRequest request,
        io.grpc.stub.StreamObserver<io.github.celesteimage.image.v1.ListLedgerEntriesResponse> responseObserver) {
      io.grpc.stub.ServerCalls.asyncUnimplementedUnaryCall(getListLedgerEntriesMethod(), responseObserver);
    }
  }

  /**
   * Base class for the server implementation of the service UsageService.
   * <pre>
   * Tells what was used and what it cost. A caller sees the requests of its own tenant.
   * Both calls refuse unknown fields with INVALID_ARGUMENT, reason UNKNOWN_FIELD: the server would answer another question
   * if it ignored a filter. Pages may have fewer entries than asked for; only an empty `next_page_token` ends a list.
   * </pre>
   */
  public static abstract class UsageServiceImplBase
      implements io.grpc.BindableService, AsyncService {

    @java.lang.Override public final io.grpc.ServerServiceDefinition bindService() {
      return UsageServiceGrpc.bindService(this);
    }
  }

  /**
   * A stub to allow clients to do asynchronous rpc calls to service UsageService.
   * <pre>
   * Tells what was used and what it cost. A caller sees the requests of its own tenant.
   * Both calls refuse unknown fields with INVALID_ARGUMENT, reason UNKNOWN_FIELD: the server would answer another question
   * if it ignored a filter. Pages may have fewer entries than asked for; only an empty `next_page_token` ends a list.
   * </pre>
   */
  public static final class UsageServiceStub
      extends io.grpc.stub.AbstractAsyncStub<UsageServiceStub> {
    private UsageServiceStub(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      super(channel, callOptions);
    }

    @java.lang.Override
    protected UsageServiceStub build(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      return new UsageServiceStub(channel, callOptions);
    }

    /**
     * <pre>
     * Adds up usage and costs over a time, by day, model and so on.
     * </pre>
     */
    public void queryUsage(io.github.celesteimage.image.v1.QueryUsageRequest request,
        io.grpc.stub.StreamObserver<io.github.celesteimage.image.v1.QueryUsageResponse> responseObserver) {
      io.grpc.stub.ClientCalls.asyncUnaryCall(
          getChannel().newCall(getQueryUsageMethod(), getCallOptions()), request, responseObserver);
    }

    /**
     * <pre>
     * Lists calls to providers, newest first. Each call that may have to be paid has an entry, written before the call is
     * sent.
     * </pre>
     */
    public void listLedgerEntries(io.github.celesteimage.image.v1.ListLedgerEntriesRequest request,
        io.grpc.stub.StreamObserver<io.github.celesteimage.image.v1.ListLedgerEntriesResponse> responseObserver) {
      io.grpc.stub.ClientCalls.asyncUnaryCall(
          getChannel().newCall(getListLedgerEntriesMethod(), getCallOptions()), request, responseObserver);
    }
  }

  /**
   * A stub to allow clients to do synchronous rpc calls to service UsageService.
   * <pre>
   * Tells what was used and what it cost. A caller sees the requests of its own tenant.
   * Both calls refuse unknown fields with INVALID_ARGUMENT, reason UNKNOWN_FIELD: the server would answer another question
   * if it ignored a filter. Pages may have fewer entries than asked for; only an empty `next_page_token` ends a list.
   * </pre>
   */
  public static final class UsageServiceBlockingV2Stub
      extends io.grpc.stub.AbstractBlockingStub<UsageServiceBlockingV2Stub> {
    private UsageServiceBlockingV2Stub(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      super(channel, callOptions);
    }

    @java.lang.Override
    protected UsageServiceBlockingV2Stub build(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      return new UsageServiceBlockingV2Stub(channel, callOptions);
    }

    /**
     * <pre>
     * Adds up usage and costs over a time, by day, model and so on.
     * </pre>
     */
    public io.github.celesteimage.image.v1.QueryUsageResponse queryUsage(io.github.celesteimage.image.v1.QueryUsageRequest request) throws io.grpc.StatusException {
      return io.grpc.stub.ClientCalls.blockingV2UnaryCall(
          getChannel(), getQueryUsageMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * Lists calls to providers, newest first. Each call that may have to be paid has an entry, written before the call is
     * sent.
     * </pre>
     */
    public io.github.celesteimage.image.v1.ListLedgerEntriesResponse listLedgerEntries(io.github.celesteimage.image.v1.ListLedgerEntriesRequest request) throws io.grpc.StatusException {
      return io.grpc.stub.ClientCalls.blockingV2UnaryCall(
          getChannel(), getListLedgerEntriesMethod(), getCallOptions(), request);
    }
  }

  /**
   * A stub to allow clients to do limited synchronous rpc calls to service UsageService.
   * <pre>
   * Tells what was used and what it cost. A caller sees the requests of its own tenant.
   * Both calls refuse unknown fields with INVALID_ARGUMENT, reason UNKNOWN_FIELD: the server would answer another question
   * if it ignored a filter. Pages may have fewer entries than asked for; only an empty `next_page_token` ends a list.
   * </pre>
   */
  public static final class UsageServiceBlockingStub
      extends io.grpc.stub.AbstractBlockingStub<UsageServiceBlockingStub> {
    private UsageServiceBlockingStub(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      super(channel, callOptions);
    }

    @java.lang.Override
    protected UsageServiceBlockingStub build(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      return new UsageServiceBlockingStub(channel, callOptions);
    }

    /**
     * <pre>
     * Adds up usage and costs over a time, by day, model and so on.
     * </pre>
     */
    public io.github.celesteimage.image.v1.QueryUsageResponse queryUsage(io.github.celesteimage.image.v1.QueryUsageRequest request) {
      return io.grpc.stub.ClientCalls.blockingUnaryCall(
          getChannel(), getQueryUsageMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * Lists calls to providers, newest first. Each call that may have to be paid has an entry, written before the call is
     * sent.
     * </pre>
     */
    public io.github.celesteimage.image.v1.ListLedgerEntriesResponse listLedgerEntries(io.github.celesteimage.image.v1.ListLedgerEntriesRequest request) {
      return io.grpc.stub.ClientCalls.blockingUnaryCall(
          getChannel(), getListLedgerEntriesMethod(), getCallOptions(), request);
    }
  }

  /**
   * A stub to allow clients to do ListenableFuture-style rpc calls to service UsageService.
   * <pre>
   * Tells what was used and what it cost. A caller sees the requests of its own tenant.
   * Both calls refuse unknown fields with INVALID_ARGUMENT, reason UNKNOWN_FIELD: the server would answer another question
   * if it ignored a filter. Pages may have fewer entries than asked for; only an empty `next_page_token` ends a list.
   * </pre>
   */
  public static final class UsageServiceFutureStub
      extends io.grpc.stub.AbstractFutureStub<UsageServiceFutureStub> {
    private UsageServiceFutureStub(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      super(channel, callOptions);
    }

    @java.lang.Override
    protected UsageServiceFutureStub build(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      return new UsageServiceFutureStub(channel, callOptions);
    }

    /**
     * <pre>
     * Adds up usage and costs over a time, by day, model and so on.
     * </pre>
     */
    public com.google.common.util.concurrent.ListenableFuture<io.github.celesteimage.image.v1.QueryUsageResponse> queryUsage(
        io.github.celesteimage.image.v1.QueryUsageRequest request) {
      return io.grpc.stub.ClientCalls.futureUnaryCall(
          getChannel().newCall(getQueryUsageMethod(), getCallOptions()), request);
    }

    /**
     * <pre>
     * Lists calls to providers, newest first. Each call that may have to be paid has an entry, written before the call is
     * sent.
     * </pre>
     */
    public com.google.common.util.concurrent.ListenableFuture<io.github.celesteimage.image.v1.ListLedgerEntriesResponse> listLedgerEntries(
        io.github.celesteimage.image.v1.ListLedgerEntriesRequest request) {
      return io.grpc.stub.ClientCalls.futureUnaryCall(
          getChannel().newCall(getListLedgerEntriesMethod(), getCallOptions()), request);
    }
  }

  private static final int METHODID_QUERY_USAGE = 0;
  private static final int METHODID_LIST_LEDGER_ENTRIES = 1;

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
        case METHODID_QUERY_USAGE:
          serviceImpl.queryUsage((io.github.celesteimage.image.v1.QueryUsageRequest) request,
              (io.grpc.stub.StreamObserver<io.github.celesteimage.image.v1.QueryUsageResponse>) responseObserver);
          break;
        case METHODID_LIST_LEDGER_ENTRIES:
          serviceImpl.listLedgerEntries((io.github.celesteimage.image.v1.ListLedgerEntriesRequest) request,
              (io.grpc.stub.StreamObserver<io.github.celesteimage.image.v1.ListLedgerEntriesResponse>) responseObserver);
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
          getQueryUsageMethod(),
          io.grpc.stub.ServerCalls.asyncUnaryCall(
            new MethodHandlers<
              io.github.celesteimage.image.v1.QueryUsageRequest,
              io.github.celesteimage.image.v1.QueryUsageResponse>(
                service, METHODID_QUERY_USAGE)))
        .addMethod(
          getListLedgerEntriesMethod(),
          io.grpc.stub.ServerCalls.asyncUnaryCall(
            new MethodHandlers<
              io.github.celesteimage.image.v1.ListLedgerEntriesRequest,
              io.github.celesteimage.image.v1.ListLedgerEntriesResponse>(
                service, METHODID_LIST_LEDGER_ENTRIES)))
        .build();
  }

  private static abstract class UsageServiceBaseDescriptorSupplier
      implements io.grpc.protobuf.ProtoFileDescriptorSupplier, io.grpc.protobuf.ProtoServiceDescriptorSupplier {
    UsageServiceBaseDescriptorSupplier() {}

    @java.lang.Override
    public com.google.protobuf.Descriptors.FileDescriptor getFileDescriptor() {
      return io.github.celesteimage.image.v1.UsageServiceProto.getDescriptor();
    }

    @java.lang.Override
    public com.google.protobuf.Descriptors.ServiceDescriptor getServiceDescriptor() {
      return getFileDescriptor().findServiceByName("UsageService");
    }
  }

  private static final class UsageServiceFileDescriptorSupplier
      extends UsageServiceBaseDescriptorSupplier {
    UsageServiceFileDescriptorSupplier() {}
  }

  private static final class UsageServiceMethodDescriptorSupplier
      extends UsageServiceBaseDescriptorSupplier
      implements io.grpc.protobuf.ProtoMethodDescriptorSupplier {
    private final java.lang.String methodName;

    UsageServiceMethodDescriptorSupplier(java.lang.String methodName) {
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
      synchronized (UsageServiceGrpc.class) {
        result = serviceDescriptor;
        if (result == null) {
          serviceDescriptor = result = io.grpc.ServiceDescriptor.newBuilder(SERVICE_NAME)
              .setSchemaDescriptor(new UsageServiceFileDescriptorSupplier())
              .addMethod(getQueryUsageMethod())
              .addMethod(getListLedgerEntriesMethod())
              .build();
        }
      }
    }
    return result;
  }
}
