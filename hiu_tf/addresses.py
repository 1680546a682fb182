"""Addresses of pictures, cameras and servers, as messages print them."""


def shown(address: str) -> str:
    """An address without user and password."""
    scheme, mark, rest = address.partition("://")
    host, slash, path = (rest if mark else address).partition("/")
    return f"{scheme + mark if mark else ''}{host.rpartition('@')[2]}{slash}{path}"
