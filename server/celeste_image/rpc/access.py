"""Access: who may call which method. A method without a row is denied."""

from collections.abc import Mapping
from enum import StrEnum

__all__ = ["ACCESS", "Access"]


class Access(StrEnum):
    """Who may call a method."""

    ANYONE = "anyone"
    CALLERS = "callers"


ACCESS: Mapping[str, Access] = {
    # The contract
    "/celeste.image.v1.ImageService/Generate": Access.CALLERS,
    "/celeste.image.v1.ImageService/Edit": Access.CALLERS,
    "/celeste.image.v1.ImageService/Upscale": Access.CALLERS,
    "/celeste.image.v1.ImageService/Analyze": Access.CALLERS,
    "/celeste.image.v1.ImageService/Stream": Access.CALLERS,
    "/celeste.image.v1.ArtifactService/WriteArtifact": Access.CALLERS,
    "/celeste.image.v1.ArtifactService/WriteArtifactChunk": Access.CALLERS,
    "/celeste.image.v1.ArtifactService/QueryWriteStatus": Access.CALLERS,
    "/celeste.image.v1.ArtifactService/ReadArtifact": Access.CALLERS,
    "/celeste.image.v1.ArtifactService/GetArtifact": Access.CALLERS,
    "/celeste.image.v1.ArtifactService/ListArtifacts": Access.CALLERS,
    "/celeste.image.v1.ArtifactService/FindMissingArtifacts": Access.CALLERS,
    "/celeste.image.v1.ArtifactService/DeleteArtifact": Access.CALLERS,
    "/celeste.image.v1.ArtifactHttpService/UploadArtifact": Access.CALLERS,
    "/celeste.image.v1.ArtifactHttpService/DownloadArtifact": Access.CALLERS,
    "/celeste.image.v1.ModelService/ListProviders": Access.CALLERS,
    "/celeste.image.v1.ModelService/ListModels": Access.CALLERS,
    "/celeste.image.v1.ModelService/GetModel": Access.CALLERS,
    "/celeste.image.v1.ModelService/GetServerInfo": Access.CALLERS,
    "/celeste.image.v1.UsageService/QueryUsage": Access.CALLERS,
    "/celeste.image.v1.UsageService/ListLedgerEntries": Access.CALLERS,
    # Probes and load balancers have no key, and ask for one service by name. The list has the names of the providers.
    "/grpc.health.v1.Health/Check": Access.ANYONE,
    "/grpc.health.v1.Health/Watch": Access.ANYONE,
    "/grpc.health.v1.Health/List": Access.CALLERS,
    # Reflection
    "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo": Access.CALLERS,
    "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo": Access.CALLERS,
}
"""Rows by the full name of the method."""
