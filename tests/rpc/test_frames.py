"""A failed call leaves no cycles that hold its frames: the garbage collector would stop the event loop for them."""

import gc
from types import FrameType

import grpc
from tests.support.servers import running

from celeste_image.v1 import GenerateRequest, ImageServiceStub


async def test_a_failed_call_leaves_no_frames_to_the_garbage_collector() -> None:
    async with running() as server, grpc.aio.insecure_channel(server.address) as channel:
        stub = ImageServiceStub(channel)

        async def failed(request: GenerateRequest) -> None:
            try:
                await stub.Generate(request)
            except grpc.aio.AioRpcError:
                return
            raise AssertionError("it did not fail")

        await failed(GenerateRequest(model="no/such", prompt="a boat"))
        gc.collect()
        gc.disable()
        gc.set_debug(gc.DEBUG_SAVEALL)
        try:
            for _ in range(5):
                await failed(GenerateRequest(model="no/such", prompt="a boat"))
                await failed(GenerateRequest(prompt=""))
            gc.collect()
            frames = [each.f_code.co_qualname for each in gc.garbage if isinstance(each, FrameType)]
        finally:
            gc.set_debug(0)
            gc.garbage.clear()
            gc.enable()
    assert [name for name in frames if "failed" not in name] == []
