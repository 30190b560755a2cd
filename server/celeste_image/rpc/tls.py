"""TLS: gRPC's credentials for certificates that may change."""

from typing import Any

import grpc

from celeste_image.certificates import CertificateFiles, Certificates

__all__ = ["tls_credentials"]


def tls_credentials(files: CertificateFiles) -> grpc.ServerCredentials:
    """Returns the credentials of one address.

    gRPC asks before each handshake whether there are other certificates, in a thread of its own. Connections that are
    open keep theirs.
    """
    given = files.current()

    def fetch() -> Any:  # None means no change
        nonlocal given
        current = files.current()
        if current is given:
            return None
        given = current
        return _of(current)

    return grpc.dynamic_ssl_server_credentials(_of(given), fetch, given.client_ca is not None)


def _of(certificates: Certificates) -> grpc.ServerCertificateConfiguration:
    pair = certificates.key, certificates.certificate
    return grpc.ssl_server_certificate_configuration([pair], root_certificates=certificates.client_ca)
