"""Which network addresses may be connected to. Asked at the moment of connecting, about the address itself.

A name can mean another address a second later, and an address has many spellings, so neither is looked at here.
The tables are ours because `ipaddress` is not enough: Python 3.11.7 calls 192.0.0.192, 64:ff9b::7f00:1, 2002:7f00:1::,
::127.0.0.1, fec0::1 and multicast "global".
"""

from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

__all__ = ["AddressForbidden", "check_address"]

PRIVATE = [
    ip_network(text)
    for text in (
        "10.0.0.0/8",
        "100.64.0.0/10",  # carrier-grade NAT; clusters number their pods with it
        "127.0.0.0/8",
        "172.16.0.0/12",
        "192.168.0.0/16",
        "::1/128",
        "fc00::/7",  # unique local
    )
]
"""Addresses of this machine and of networks behind it: only for a host that the operator named."""

NEVER = [
    ip_network(text)
    for text in (
        "0.0.0.0/8",  # this host
        "100.100.100.200/32",  # metadata service of Alibaba Cloud
        "168.63.129.16/32",  # Azure's host, a public address that is not public
        "169.254.0.0/16",  # link-local, and the metadata service of most clouds
        "192.0.0.0/24",  # protocol assignments, and Oracle's metadata service
        "192.0.2.0/24",  # documentation
        "192.31.196.0/24",  # AS112
        "192.52.193.0/24",  # AMT
        "192.88.99.0/24",  # 6to4 relays
        "192.175.48.0/24",  # AS112
        "198.18.0.0/15",  # benchmarks
        "198.51.100.0/24",  # documentation
        "203.0.113.0/24",  # documentation
        "224.0.0.0/4",  # multicast
        "240.0.0.0/4",  # reserved, and broadcast
        "fd00:ec2::/32",  # metadata service of AWS
        "fd20:ce::/32",  # metadata service of Google Cloud
        "2001::/23",  # protocol assignments: Teredo, benchmarks, ORCHID
        "2001:db8::/32",  # documentation
        "2002::/16",  # 6to4: an IPv4 address inside
        "2620:4f:8000::/48",  # AS112
        "3ffe::/16",  # 6bone, given back
        "3fff::/20",  # documentation
    )
]
"""Addresses where no server of anybody's is, or one that must not be asked: not even for the operator's own hosts."""

GLOBAL_UNICAST = ip_network("2000::/3")
"""All that is given out of IPv6. NAT64, IPv4-compatible, link-local, site-local and multicast are outside."""


class AddressForbidden(PermissionError):
    """No connection is made to this address. The text is always the same, so that it tells nothing about a network."""

    def __init__(self) -> None:
        super().__init__("its address is not one that is connected to")


def check_address(text: str, *, private: bool = False) -> None:
    """Checks an address that is about to be connected to.

    Args:
        text: The address as it goes to the socket.
        private: Whether it is for a host that the operator named, which may be on this machine or network.

    Raises:
        AddressForbidden: It is in a table above, or no address at all.
    """
    try:
        address: IPv4Address | IPv6Address = ip_address(text)
    except ValueError:
        raise AddressForbidden from None
    if isinstance(address, IPv6Address):
        address = address.ipv4_mapped or address
    if any(address in network for network in NEVER):
        raise AddressForbidden
    if any(address in network for network in PRIVATE):
        if not private:
            raise AddressForbidden
    elif address.version == 6 and address not in GLOBAL_UNICAST:
        raise AddressForbidden
