"""`v2s-jax serve`: a local web page, clip in, speech out."""

import argparse
import functools
import ipaddress
import socket
import sys
from typing import Any

from v2s_jax.arguments import positive
from v2s_jax.errors import V2SError
from v2s_jax.serving.desk import Desk
from v2s_jax.serving.offers import by_name, load_offer, shipped_speakers
from v2s_jax.serving.speaking import speak
from v2s_jax.synthesis.compilation import keep_compiled
from v2s_jax.synthesis.options import add_compilation_option

HELP = "a web page on this machine: drop or record a clip, hear and see it speak"
_CONNECTIONS = 64
_GOODBYE = 2  # seconds that open connections get when the server ends
_NEEDED = ("starlette", "uvicorn", "python_multipart")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the command's options."""
    parser.add_argument("--host", default="127.0.0.1", help="address to listen at (default: this machine alone)")
    parser.add_argument("--port", type=_port, default=8080, help="(default: %(default)s; 0: any that is free)")
    parser.add_argument(
        "--model", action="append", metavar="NAME-OR-PATH", help="to offer; repeatable (default: all that ship)"
    )
    parser.add_argument(
        "--max-upload", type=positive, default=200, metavar="MB", help="largest upload (default: %(default)s)"
    )
    parser.add_argument(
        "--timeout",
        type=positive,
        default=300,
        metavar="S",
        help="seconds that an upload may take, and then reading it (default: %(default)s)",
    )
    add_compilation_option(parser)


def run(args: argparse.Namespace) -> int:
    """Serves until it is interrupted; nothing of what was sent or made stays."""
    uvicorn, make_app = _framework()
    keep_compiled(args.compilation_cache)
    with listening(args.host, args.port) as listener:
        offers = by_name([load_offer(name) for name in dict.fromkeys(args.model or shipped_speakers())])
        with Desk(functools.partial(speak, seconds=args.timeout)) as desk:
            app = make_app(offers, desk, host_names(args.host), args.max_upload * 1_000_000, args.timeout)
            server = uvicorn.Server(config(uvicorn, app))
            if not _loopback(listener):
                print(
                    f"warning: whoever can reach {args.host} can use this page; there is no password and no encryption",
                    file=sys.stderr,
                )
            print(f"{address(listener)} speaks with {', '.join(offers)}; Ctrl-C ends it", flush=True)
            server.run(sockets=[listener])
    return 0


def config(uvicorn: Any, app: Any) -> Any:
    """How the server runs an application."""
    return uvicorn.Config(
        app,
        log_level="warning",
        lifespan="off",
        ws="none",
        server_header=False,
        proxy_headers=False,
        limit_concurrency=_CONNECTIONS,
        timeout_graceful_shutdown=_GOODBYE,
    )


def listening(host: str, port: int) -> socket.socket:
    """A socket that listens there.

    Raises:
        V2SError: it cannot.
    """
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family)
    except OSError as error:
        raise V2SError(
            f"{host}, port {port}: cannot listen there ({error.strerror or error}); name another --host or --port"
        ) from error


def host_names(host: str) -> set[str]:
    """Names that a server which listens at a host may be asked by, besides addresses."""
    return {"localhost"} if host in ("127.0.0.1", "::1", "localhost") else {"localhost", host, socket.gethostname()}


def address(listener: socket.socket) -> str:
    """What to type into a browser."""
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _loopback(listener: socket.socket) -> bool:
    return ipaddress.ip_address(listener.getsockname()[0]).is_loopback


def _framework() -> tuple[Any, Any]:
    try:
        import python_multipart  # noqa: F401 (starlette's forms need it)
        import uvicorn

        from v2s_jax.serving.app import make_app
    except ModuleNotFoundError as error:
        if error.name not in _NEEDED:
            raise
        raise V2SError(f"{error.name} is not installed; the page needs it: pip install 'v2s-jax[serve]'") from error
    return uvicorn, make_app


def _port(text: str) -> int:
    number = int(text)
    if not 0 <= number < 1 << 16:
        raise argparse.ArgumentTypeError("must be from 0 to 65535")
    return number
