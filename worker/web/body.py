"""The bytes of a request: no more than an event may have, and not for ever."""

import asyncio
from typing import Annotated

from fastapi import Depends, Request

from worker.domain.incident import MAX_EVENT_BYTES
from worker.web.refusals import refusal

ARRIVAL_S = 30
"""Slower than 35 kB/s is no alerting system."""
DRAINED_BYTES = 8 * MAX_EVENT_BYTES
"""A body that is too large is still read this far: an answer sent before the end is often not seen."""
MOST_BYTES = 2 * DRAINED_BYTES
"""What is read of any body, whoever reads it."""
_CLOSE = {"Connection": "close"}
"""Without it the server goes on to read, and to throw away, whatever still comes."""


async def read_body(request: Request) -> bytes:
    """Return the whole body; 413 if it is larger than an event may be, 408 if it does not come in time."""
    try:
        async with asyncio.timeout(ARRIVAL_S):
            return await _collect(request)
    except TimeoutError:
        raise refusal(408, "too_slow", f"the body did not arrive within {ARRIVAL_S} s", headers=_CLOSE) from None


async def _collect(request: Request) -> bytes:
    size_bytes, kept = 0, []
    async for chunk in request.stream():
        size_bytes += len(chunk)
        if size_bytes <= MAX_EVENT_BYTES:
            kept.append(chunk)
        elif size_bytes > DRAINED_BYTES:
            break
    if size_bytes > MAX_EVENT_BYTES:
        raise refusal(413, "too_large", f"at most {MAX_EVENT_BYTES} bytes are accepted", headers=_CLOSE)
    return b"".join(kept)


RawBody = Annotated[bytes, Depends(read_body)]
