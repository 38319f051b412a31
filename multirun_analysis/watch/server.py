"""Serve the page of a study that is being trained, to this machine alone, and only to those who know the token."""

import errno
import getpass
import hmac
import json
import secrets
import socket
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from importlib.resources import files
from types import EllipsisType
from typing import Any
from urllib.parse import quote

from werkzeug.serving import BaseWSGIServer, WSGIRequestHandler, make_server
from werkzeug.wrappers import Request, Response

from multirun_analysis.watch.followed_study import FollowedStudy
from paribus.errors import UserError

HOST = "127.0.0.1"
NAMES = {HOST, "localhost"}  # by which a browser may know this machine; any other may be a foreign page's
MOST_BYTES = 10_000  # of a request
HEADERS = {
    # Plotly writes style elements; nothing else is allowed but what comes from here
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; "
    "connect-src 'self'; img-src data: blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",  # the address holds the token
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
# What is served, by its name in the address: its kind, and the files that it is made of.
ASSETS = {
    "": ("text/html", ("watch/assets/watch.html",)),
    "watch.css": ("text/css", ("report/assets/page.css", "watch/assets/watch.css")),
    "watch.js": ("text/javascript", ("report/assets/basics.js", "watch/assets/watch.js")),
    "plotly.js": ("text/javascript", ()),
}


class WatchApplication:
    """The WSGI application: `/TOKEN/` is the page, `/TOKEN/state` what is new of the study, `/TOKEN/stop` stops.

    Args:
        study: the study that is followed.
        token: what every address has to begin with.
        by: who asks to stop, as user@host.
    """

    def __init__(self, study: FollowedStudy, token: str, by: str):
        self.study = study
        self.token = token
        self.by = by

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        response = self.respond(Request(environ))
        response.headers.update(HEADERS)
        return response(environ, start_response)

    def respond(self, request: Request) -> Response:
        """Return the response to a request; 403 for one with another host name, a wrong token, or from elsewhere."""
        host = request.headers.get("Host", "")
        if host.rpartition(":")[0] not in NAMES and host not in NAMES:
            return refuse(403, "This server answers to 127.0.0.1 and localhost only.")
        token, slash, name = request.path.removeprefix("/").partition("/")
        if not hmac.compare_digest(token.encode(), self.token.encode()):
            return refuse(
                403, "The token is missing or wrong. Copy the whole address that `paribus watch` has printed."
            )
        if not slash:  # copied without its end, by which the page's own addresses are found
            return Response(status=308, headers={"Location": f"/{quote(token)}/"})
        if name == "stop":
            return self._stop(request, host)
        if request.method not in ("GET", "HEAD"):
            return refuse(405, f"{request.method} is not allowed here.")
        if name == "state":
            return self._describe(request)
        if name in ASSETS:
            kind, _ = ASSETS[name]
            return Response(read_asset(name), content_type=f"{kind}; charset=utf-8")
        return refuse(404, "There is no such page.")

    def _describe(self, request: Request) -> Response:
        version = request.args.get("version", 0, type=int)
        found = self.study.describe(version, request.args.get("generation", ""), request.args.get("column"))
        return to_json_response(found)

    def _stop(self, request: Request, host: str) -> Response:
        if request.method != "POST":
            return refuse(405, "To stop takes POST.")
        if request.headers.get("Origin", f"http://{host}") != f"http://{host}":
            return refuse(403, "The request comes from another page.")
        name = read_name(request)
        if name is ...:
            return refuse(400, 'To stop takes the JSON {"run": NAME}, or {"run": null} for the whole study.')
        try:
            return to_json_response({"message": self.study.ask_to_stop(name, self.by)})
        except UserError as error:
            return refuse(409, str(error))


def read_name(request: Request) -> str | EllipsisType | None:
    """Read which run a request is to stop: its name, None for the whole study, ... where the request is not valid."""
    if request.mimetype != "application/json" or not 0 < (request.content_length or 0) <= MOST_BYTES:
        return ...
    try:
        asked = json.loads(request.get_data())
    except (ValueError, RecursionError):
        return ...
    name = asked.get("run", ...) if isinstance(asked, dict) else ...
    return name if isinstance(name, str | None) else ...


def refuse(status: int, message: str) -> Response:
    """Return a response that says why a request is refused."""
    return Response(f"{message}\n", status, content_type="text/plain; charset=utf-8")


def to_json_response(content: dict[str, Any]) -> Response:
    """Return a response of JSON."""
    return Response(json.dumps(content, separators=(",", ":"), allow_nan=False), content_type="application/json")


@cache
def read_asset(name: str) -> bytes:
    """Read a file of the page."""
    if name == "plotly.js":
        return (files("plotly") / "package_data" / "plotly.min.js").read_bytes()
    package = files("multirun_analysis")
    return b"\n".join((package / path).read_bytes() for path in ASSETS[name][1])


class QuietHandler(WSGIRequestHandler):
    """A handler that logs no requests, whose addresses hold the token."""

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Log nothing."""


@contextmanager
def open_server(study: FollowedStudy, port: int) -> Iterator[tuple[BaseWSGIServer, str]]:
    """Open the server of a study at a port of this machine (0: a free one); yield it and the address of its page.

    Raises UserError where the port is in use, or not allowed.
    """
    application = WatchApplication(study, secrets.token_urlsafe(16), f"{getpass.getuser()}@{socket.gethostname()}")
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as opened:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            opened.bind((HOST, port))
            opened.listen()
        except OSError as error:
            what = "in use by another program" if error.errno == errno.EADDRINUSE else f"refused ({error.strerror})"
            raise UserError(f"Port {port} is {what}. Choose another one with --port N, or leave --port out.") from error
        chosen = opened.getsockname()[1]
        server = make_server(HOST, chosen, application, threaded=True, request_handler=QuietHandler, fd=opened.fileno())
        try:
            yield server, f"http://{HOST}:{chosen}/{quote(application.token)}/"
        finally:
            server.server_close()
            study.verdict.close()
