"""Asking a cluster: one that does not answer, and the warning that strangers may run code on it."""

from __future__ import annotations

import json
import os
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tausweep.orchestrator.executors.ray import cluster
from tausweep.orchestrator.executors.ray.cluster import answer, client, exposure
from tausweep.storage.errors import InputError, TausweepError


class Dashboard:
    """A server that answers the one question as Ray's dashboard does; harmless on any network."""

    def __init__(self, host: str, mode: str | None):
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                known = self.path == "/api/authentication_mode" and mode is not None
                body = json.dumps({"authentication_mode": mode}).encode()
                self.send_response(200 if known else 404)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *arguments):
                pass

        self.server = ThreadingHTTPServer((host, 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def get_address(self) -> str:
        return f"http://127.0.0.1:{self.server.server_address[1]}"

    def close(self):
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def dashboard():
    made = []

    def make(host, mode):
        made.append(Dashboard(host, mode))
        return made[-1]

    yield make
    for one in made:
        one.close()


requests = pytest.importorskip("requests", reason="comes with Ray: pip install 'tausweep[ray]'")


@pytest.mark.parametrize("mode", ["disabled", None])
def test_a_dashboard_on_all_interfaces_without_authentication_is_warned_of(dashboard, mode):
    warning = exposure(dashboard("0.0.0.0", mode))
    assert "any code as you" in warning
    assert "0.0.0.0" in warning
    assert "RAY_AUTH_MODE=token" in warning


@pytest.mark.parametrize(("host", "mode"), [("127.0.0.1", "disabled"), ("0.0.0.0", "token")])
def test_one_on_loopback_or_with_a_token_is_not(dashboard, host, mode):
    assert exposure(dashboard(host, mode)) is None


def test_a_ray_that_does_not_answer_is_an_error_after_a_while():
    with pytest.raises(TausweepError, match="did not answer within 0 s"):
        answer(threading.Event().wait, seconds=0.05)


def test_a_cluster_that_hangs_leaves_the_environment_as_it_was(monkeypatch):
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:1")
    monkeypatch.setattr(cluster, "ANSWER_SECONDS", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(InputError, match=f"no Ray cluster answers at {url}"):
            client(url)
        assert os.environ["RAY_ADDRESS"] == "127.0.0.1:1"
