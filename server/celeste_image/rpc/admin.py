"""Admin: the gRPC listener for operators, with health, channelz and reflection.

It is a server of its own in threads of its own, so it answers while the event loop stands still, while the server
drains, and whatever load there is. Imported while `admin.listen` is set.
"""

from concurrent.futures import ThreadPoolExecutor

import grpc
from grpc_channelz.v1 import channelz, channelz_pb2
from grpc_health.v1 import health, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from celeste_image.rpc.health import LIVENESS, Health, status_of
from celeste_image.rpc.http2 import ADMIN_STREAMS, base_options, listen
from celeste_image.rpc.pulse import Pulse

__all__ = ["Admin"]

THREADS = 4
REQUEST_BYTES = 4 << 10
MOST_CALLS = 100
"""Most calls at a time; a Watch of the health takes no thread. The next one is refused with RESOURCE_EXHAUSTED."""


class Admin:
    """Serves health and channelz at an address of its own. It has no TLS and asks nobody for a key.

    Args:
        status: What the health service says. Its statuses come here too, and `liveness` from the pulse as well.
    """

    def __init__(self, status: Health) -> None:
        servicer = health.HealthServicer()
        status.mirrors.append(servicer)
        self._pulse = Pulse(lambda is_alive: servicer.set(LIVENESS, status_of(is_alive)))
        options = [
            *base_options(ADMIN_STREAMS),
            ("grpc.max_receive_message_length", REQUEST_BYTES),
            ("grpc.enable_channelz", 0),  # operators look at the server for callers
        ]
        self._threads = ThreadPoolExecutor(THREADS, "celeste-admin")
        self._server = grpc.server(self._threads, options=options, maximum_concurrent_rpcs=MOST_CALLS)
        health_pb2_grpc.add_HealthServicer_to_server(servicer, self._server)
        channelz.add_channelz_servicer(self._server)
        channelz_name = channelz_pb2.DESCRIPTOR.services_by_name["Channelz"].full_name
        names = (health.SERVICE_NAME, channelz_name, reflection.SERVICE_NAME)
        reflection.enable_server_reflection(names, self._server)

    def start(self, address: str) -> str:
        """Listens and returns the address. A port 0 becomes the port that the system chose.

        Args:
            address: `host:port` or `unix:PATH`.

        Raises:
            OSError: The process can't listen there.
        """
        try:
            bound = listen(address, self._server.add_insecure_port)
        except OSError as error:
            raise OSError(f"admin.listen: {error}") from error
        self._server.start()
        self._pulse.start()
        return bound

    def stop(self) -> None:
        """Ends the listener and its calls."""
        self._pulse.stop()
        self._server.stop(None).wait(1)
        self._threads.shutdown(wait=False)
