"""Names and addresses of the machine itself."""

import ipaddress


def is_loopback(host: str) -> bool:
    """Whether a name or address always means this machine."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False  # a name, which may resolve to any address


def name_in(host: str) -> str:
    """The name or address of a Host header, without brackets and port, in lower case."""
    if host.startswith("["):
        name, bracket, _ = host[1:].partition("]")
        return name.lower() if bracket else ""
    return host.partition(":")[0].lower().removesuffix(".")


def neighbourhood(address: str) -> str:
    """The key that an address is counted under: itself, or the /64 of an IPv6 address, since a machine has all of
    that."""
    if ":" not in address:
        return address
    try:
        parsed = ipaddress.IPv6Address(address.partition("%")[0])
    except ValueError:
        return address
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return str(ipaddress.IPv6Network((int(parsed) >> 64 << 64, 64)))
