"""Protection against SSRF: which network addresses the server may connect to, checked as a connection is made.

The check reads the address itself. A host name can resolve to another address a second later, and the text of an
address has many spellings. The tables are ours because `ipaddress` is not enough: Python 3.11.7 calls 192.0.0.192,
64:ff9b::7f00:1, 2002:7f00:1::, ::127.0.0.1, fec0::1 and multicast "global".
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
"""Addresses of this machine and its private networks: allowed only for a host that the operator named."""

NEVER = [
    ip_network(text)
    for text in (
        "0.0.0.0/8",  # this host
        "100.100.100.200/32",  # metadata service of Alibaba Cloud
        "168.63.129.16/32",  # Azure's platform service; the address only looks public
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
        "3ffe::/16",  # 6bone, returned
        "3fff::/20",  # documentation
    )
]
"""Addresses without a server, or with one that must never be asked; forbidden for the operator's own hosts too."""

GLOBAL_UNICAST = ip_network("2000::/3")
"""The allocated part of IPv6. NAT64, IPv4-compatible, link-local, site-local and multicast are outside."""


class AddressForbidden(PermissionError):
    """Connections to this address are forbidden. The text is always the same, so it reveals nothing about a network."""

    def __init__(self) -> None:
        super().__init__("its network address is not allowed")


def check_address(text: str, *, private: bool = False) -> None:
    """Checks an address before the connection is made.

    Args:
        text: The address that the socket gets.
        private: Whether the operator named the host, so that it may be on this machine or network.

    Raises:
        AddressForbidden: The text is not an address, or the tables above forbid the address.
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
