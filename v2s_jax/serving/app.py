"""The web application: the page, what it asks for, and the results."""

import base64
import hashlib
import importlib.resources
import json
import re
import shutil
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import FormData, UploadFile
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from v2s_jax.data.corpus import VIDEO_SUFFIXES
from v2s_jax.serving.desk import Desk, Full, Task, Wish
from v2s_jax.serving.guard import Guard
from v2s_jax.serving.offers import MOST_EVALUATIONS, Offer
from v2s_jax.serving.speaking import RESULTS
from v2s_jax.serving.uploads import Incoming, Refused

_MOST_FACES = 99


def make_app(
    offers: Mapping[str, Offer], desk: Desk, names: Collection[str], max_bytes: int, seconds: float | int
) -> Starlette:
    """The application.

    Args:
        offers: the models by name.
        desk: where the tasks go.
        names: host names that the server may be asked by.
        max_bytes: of an upload.
        seconds: that an upload may take.
    """
    page = (importlib.resources.files("v2s_jax.serving") / "page.html").read_text(encoding="utf-8")
    routes = _Routes(offers, desk, max_bytes, seconds)

    async def show(request: Request) -> Response:
        return HTMLResponse(page)

    return Starlette(
        routes=[
            Route("/", show),
            Route("/about", routes.about),
            Route("/tasks", routes.submit, methods=["POST"]),
            Route("/tasks/{id}", routes.state, methods=["GET"]),
            Route("/tasks/{id}", routes.forget, methods=["DELETE"]),
            Route("/tasks/{id}/{name}", routes.result),
        ],
        middleware=[Middleware(Guard, names=names, headers={"Content-Security-Policy": policy(page)})],
        exception_handlers={Refused: _refused, HTTPException: _failed, ClientDisconnect: _left},
    )


def policy(page: str) -> str:
    """The content security policy of a page whose scripts and styles are all in it: those, and no others, may run."""
    hashes = {}
    for tag in ("script", "style"):
        parts = re.findall(rf"<{tag}>(.*?)</{tag}>", page, re.DOTALL)
        digests = (base64.b64encode(hashlib.sha256(part.encode()).digest()).decode() for part in parts)
        hashes[tag] = " ".join(f"'sha256-{digest}'" for digest in digests) or "'none'"
    return (
        f"default-src 'none'; script-src {hashes['script']}; style-src {hashes['style']}; connect-src 'self'; "
        "img-src blob: data:; media-src blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )


class _Routes:
    def __init__(self, offers: Mapping[str, Offer], desk: Desk, max_bytes: int, seconds: float | int):
        self._offers, self._desk, self._max_bytes, self._seconds = offers, desk, max_bytes, seconds

    async def about(self, request: Request) -> Response:
        models = [offer.facts() for offer in self._offers.values()]
        return JSONResponse({"models": models, "max_bytes": self._max_bytes, "most_evaluations": MOST_EVALUATIONS})

    async def submit(self, request: Request) -> Response:
        incoming, task = Incoming(request, self._max_bytes), None
        try:
            task = self._desk.open()
            form = await incoming.form(self._seconds)
            try:
                task.wish = await self._wish(form, task)
            finally:
                await form.close()
            self._desk.put(task)
        except Full as error:
            await incoming.drain()
            raise Refused(503, str(error)) from error
        except BaseException as error:
            if task is not None:
                self._desk.forget(task.id)
            if isinstance(error, Refused):
                await incoming.drain()
            raise
        return JSONResponse({"id": task.id}, 202)

    async def _wish(self, form: FormData, task: Task) -> Wish:
        offer = self._offers.get(str(form.get("model") or next(iter(self._offers))))
        if offer is None:
            raise Refused(400, f"there is no such model here; expected one of {', '.join(self._offers)}")
        face = _number(form, "face", _MOST_FACES)
        evaluations = _number(form, "evaluations", MOST_EVALUATIONS)
        if evaluations is not None and offer.evaluations is None:
            raise Refused(400, f"the model {offer.name} has no number of evaluations to choose")
        sent, voice = form.get("clip"), form.get("voice")
        if not isinstance(sent, UploadFile) or not sent.size:
            raise Refused(400, "there is no clip in the form, or it is empty; send a video file")
        heard = voice if isinstance(voice, UploadFile) and voice.size else None
        if heard is not None and not offer.takes_voice:
            raise Refused(400, f"the model {offer.name} takes no other voice than the clip's own")
        name = Path(sent.filename or "").name[:100] or "clip"
        suffix = Path(name).suffix.lower()
        clip = task.folder / f"clip{suffix if suffix in VIDEO_SUFFIXES else ''}"
        await _save(sent, clip)
        if heard is None:
            return Wish(offer, clip, name, face, evaluations)
        await _save(heard, task.folder / "voice")
        return Wish(offer, clip, name, face, evaluations, task.folder / "voice")

    async def state(self, request: Request) -> Response:
        task = self._found(request)
        return JSONResponse(
            {"state": task.state, "before": self._desk.before(task), "error": task.error, "facts": task.facts}
        )

    async def forget(self, request: Request) -> Response:
        task = self._found(request)
        await run_in_threadpool(self._desk.forget, task.id)
        return Response(status_code=204)

    async def result(self, request: Request) -> Response:
        task, name = self._found(request), request.path_params["name"]
        if task.state != "done" or name not in RESULTS:
            raise Refused(404, f"there is no {name} of this clip, or not yet")
        return FileResponse(task.folder / name, media_type=RESULTS[name])

    def _found(self, request: Request) -> Task:
        task = self._desk.find(request.path_params["id"])
        if task is None:
            raise Refused(404, "there is no such clip any more; results go once they were fetched, or after a while")
        return task


async def _save(sent: UploadFile, path: Path) -> None:
    def copy() -> None:
        with open(path, "wb") as file:
            shutil.copyfileobj(sent.file, file, 1 << 20)

    await run_in_threadpool(copy)


def _number(form: FormData, name: str, most: int) -> int | None:
    text = str(form.get(name) or "").strip()
    if not text:
        return None
    if not (text.isascii() and text.isdecimal() and len(text) < 6 and 1 <= int(text) <= most):
        raise Refused(400, f"{name} is {json.dumps(text[:20])}; expected a whole number from 1 to {most}")
    return int(text)


def _refused(request: Request, error: Any) -> Response:
    return JSONResponse({"error": error.sentence}, error.status)


def _failed(request: Request, error: Any) -> Response:
    return JSONResponse({"error": f"{error.detail}".strip()}, error.status_code)


def _left(request: Request, error: Any) -> Response:
    return Response(status_code=400)  # nobody reads it
