"""Server reflection in both versions, v1 and v1alpha: tools that know only one of them work."""

from collections.abc import Sequence

import grpc
from google.protobuf import descriptor_pool, text_format
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from grpc_reflection.v1alpha import reflection, reflection_pb2

__all__ = ["REFLECTION_NAMES", "add_reflection", "describe_v1"]

V1 = "grpc.reflection.v1.ServerReflection"
REFLECTION_NAMES = (V1, reflection.SERVICE_NAME)


def add_reflection(names: Sequence[str], server: grpc.aio.Server) -> None:
    """Adds both reflection services, which tell of the services `names`.

    grpcio-reflection has only v1alpha. v1 differs only in the name of its package, so the same servicer and messages
    serve both.
    """
    describe_v1()
    reflection.enable_server_reflection(names, server)
    servicer = reflection.aio.ReflectionServicer(names)
    handler = grpc.stream_stream_rpc_method_handler(
        servicer.ServerReflectionInfo,
        request_deserializer=reflection_pb2.ServerReflectionRequest.FromString,
        response_serializer=reflection_pb2.ServerReflectionResponse.SerializeToString,
    )
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(V1, {"ServerReflectionInfo": handler}),))


def describe_v1() -> None:
    """Adds the descriptor of v1 to the pool: `buf curl --list-methods` asks for that of each listed service."""
    pool = descriptor_pool.Default()
    try:
        pool.FindServiceByName(V1)
    except KeyError:
        alpha = FileDescriptorProto()
        reflection_pb2.DESCRIPTOR.CopyToProto(alpha)
        text = text_format.MessageToString(alpha).replace("v1alpha", "v1")
        pool.AddSerializedFile(text_format.Parse(text, FileDescriptorProto()).SerializeToString())
