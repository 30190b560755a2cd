"""celeste health: asks a running server whether it serves."""

import time

import click

from celeste_image.cli.options import Number, Server, server_options
from celeste_image.cli.terminal import say

__all__ = ["command"]

DEFAULT_ADDRESS = "127.0.0.1:50051"
UNREACHABLE = 9
DAY = 86400.0


@click.command(name="health")
@click.option(
    "--service", default="", help="One service, such as celeste.image.v1.ImageService; default: the whole server."
)
@click.option("--wait", type=Number(min=0), default=0.0, help="Most seconds to wait until the server serves.")
@server_options
def command(service: str, wait: float, server: Server) -> int:
    """Ask a server whether it serves; the exit code is 0 if it does, else 9.

    Without an address it asks the one at 127.0.0.1:50051.
    """
    import grpc
    from grpc_health.v1 import health_pb2, health_pb2_grpc

    from celeste_image.client.access import access_from_environment
    from celeste_image.client.channels import open_channel
    from celeste_image.client.checks import check_text

    try:
        check_text(service, "--service")
        access = access_from_environment(server.access)
        channel, calls = open_channel(grpc, server.address or DEFAULT_ADDRESS, access)
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    until = time.monotonic() + wait
    with channel:
        stub = health_pb2_grpc.HealthStub(calls)
        request = health_pb2.HealthCheckRequest(service=service)
        while True:
            left = max(0.0, until - time.monotonic())
            try:
                answer = stub.Check(request, timeout=min(left, DAY) + 5, wait_for_ready=left > 0)
                status = health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status)
            except grpc.RpcError as error:
                status = error.code().name
            if status == "SERVING" or time.monotonic() >= until:
                break
            time.sleep(0.1)
    say(status)
    return 0 if status == "SERVING" else UNREACHABLE
