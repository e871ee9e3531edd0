"""New ids of things in the books: a prefix that says what it is, then a UUIDv7, so that ids sort by time."""

import uuid_utils


def new_id(prefix: str) -> str:
    """For example `acc_0199…`."""
    return f"{prefix}_{uuid_utils.uuid7().hex}"
