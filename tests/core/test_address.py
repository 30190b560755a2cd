"""Addresses: which of them only this machine reaches."""

import pytest

from celeste_image.core.address import is_local


@pytest.mark.parametrize(
    ("address", "local"),
    [
        ("127.0.0.1:50051", True),
        ("127.9.9.9:0", True),
        ("[::1]:50051", True),
        ("[::ffff:127.0.0.1]:0", True),
        ("localhost:50051", True),
        ("dns:///localhost:1", True),
        ("ipv4:127.0.0.1:1,127.0.0.2:1", True),
        ("unix:/run/celeste.sock", True),
        ("unix-abstract:celeste", True),
        ("0.0.0.0:50051", False),
        ("[::]:50051", False),
        ("10.0.0.1:50051", False),
        ("[::ffff:10.0.0.1]:0", False),
        ("ipv4:127.0.0.1:1,10.0.0.1:1", False),
        ("dns:celeste:1", False),
        ("celeste:50051", False),
        ("localhost.example:1", False),
        ("LOCALHOST:1", False),
        ("127.1:1", False),
        ("0:1", False),
        ("vsock:2:3", False),
    ],
)
def test_which_addresses_are_of_this_machine_alone(address: str, local: bool) -> None:
    assert is_local(address) is local
