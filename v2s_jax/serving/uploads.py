"""Forms with files, bounded in size and time while they are sent."""

import asyncio
import contextlib
from typing import Any

from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.types import Message

_REST = 1 << 20  # bytes of a form that are not its files
_DRAIN = 3.0  # seconds


class Refused(Exception):
    """A request that is not met: the status and one sentence for the sender."""

    def __init__(self, status: int, sentence: str):
        super().__init__(sentence)
        self.status, self.sentence = status, sentence


class Incoming:
    """A request's body on its way in.

    Args:
        request: untouched yet.
        limit: the most bytes of its files.
    """

    def __init__(self, request: Request, limit: int):
        self._request, self._limit, self._size, self._whole = request, limit, 0, False

    async def form(self, seconds: float | int) -> FormData:
        """The form in it; its files are in temporary files without a name.

        Raises:
            Refused: it is too large, takes too long, or is no such form.
        """
        declared = self._request.headers.get("content-length", "")
        if declared.isdecimal() and int(declared) > self._limit + _REST:
            raise self._too_large()
        if not self._request.headers.get("content-type", "").startswith("multipart/form-data"):
            raise Refused(415, "expected a form with a clip in it (multipart/form-data)")
        try:
            async with asyncio.timeout(seconds):
                parsed = Request(self._request.scope, self._receive)
                return await parsed.form(max_files=2, max_fields=8, max_part_size=4096)
        except TimeoutError:
            raise Refused(408, f"the upload took longer than {seconds:.0f} s; send a smaller clip") from None

    async def drain(self) -> None:
        """Takes in, for a moment, what is still being sent: a browser reads no answer before it has sent all."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_DRAIN):
                while not self._whole:
                    self._note(await self._request.receive())

    async def _receive(self) -> Message:
        message = await self._request.receive()
        self._note(message)
        if self._size > self._limit + _REST:
            raise self._too_large()
        return message

    def _note(self, message: Any) -> None:
        self._size += len(message.get("body", b""))
        self._whole = not message.get("more_body", False)

    def _too_large(self) -> Refused:
        return Refused(413, f"the upload is larger than {self._limit / 1e6:g} MB; send a shorter or smaller clip")
