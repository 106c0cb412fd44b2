"""The gateway as nginx runs it: what passes, what does not, and how much. Behind it there is nobody."""

from __future__ import annotations

import http.client
import shutil
import ssl
import subprocess
import time
from collections.abc import Callable, Iterator

import pytest

from cranpm.clients.deploy import Addresses, make_coordinator
from cranpm.clients.gateway import CALLS, command
from cranpm.clients.processes import free_port

pytestmark = pytest.mark.skipif(
    shutil.which("nginx", path="/usr/sbin:/usr/bin:/usr/local/sbin") is None, reason="nginx is not installed"
)
Ask = Callable[..., int]
PASSED = 503  # the gateway let it through, and found no SuperLink


@pytest.fixture(scope="module")
def ask(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ask]:
    """Sends a request and gives the status of the answer."""
    folder, port = tmp_path_factory.mktemp("gateway") / "coordinator", free_port()
    make_coordinator(folder, Addresses(f"localhost:{port}", f"127.0.0.1:{port}", free_port()))
    known = ssl.create_default_context(cafile=str(folder / "secrets" / "ca.crt"))

    def send(path: str, method: str = "POST", body: bytes = b"", context: ssl.SSLContext = known) -> int:
        connection = http.client.HTTPSConnection("localhost", port, context=context, timeout=60)
        try:
            connection.request(method, path, body)
            return connection.getresponse().status
        finally:
            connection.close()

    with subprocess.Popen(command(folder)) as nginx:
        try:
            for _ in range(200):
                try:
                    send("/")
                    break
                except ConnectionRefusedError:
                    time.sleep(0.1)
            yield send
        finally:
            nginx.terminate()


@pytest.mark.parametrize("call", CALLS)
def test_calls_of_a_registered_node_pass(ask: Ask, call: str):
    assert ask(f"/v1/fleet/{call}") == PASSED


@pytest.mark.parametrize(
    "path",
    [
        "/", "/docs", "/openapi.json", "/v1/control/start-run", "/v1/control/register-node", "/v1/control/list-runs",
        "/v1/runtime/pull-task-input", "/v1/fleet/register-node", "/v1/fleet/unregister-node", "/v1/fleet/",
        "/v1/fleet/pull-messages/", "/v1/fleet/pull-messages/../../control/start-run",
        "/v1/fleet/..%2fcontrol/start-run", "//v1//control//start-run", "/V1/FLEET/PULL-MESSAGES",
        "/v1/fleet/pull-messages%00", "/x/v1/fleet/pull-messages",
    ],
)  # fmt: skip
def test_nothing_else_passes(ask: Ask, path: str):
    assert ask(path) in (400, 403)


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "OPTIONS"])
def test_only_posts_pass(ask: Ask, method: str):
    assert ask("/v1/fleet/pull-messages", method) == 403


def test_pieces_of_five_megabytes_pass_and_floods_do_not(ask: Ask):
    assert ask("/v1/fleet/push-object", body=bytes(5_500_000)) == PASSED
    assert ask("/v1/fleet/push-object", body=bytes(17_000_000)) == 413


def test_who_does_not_know_the_authority_is_not_fooled(ask: Ask):
    """A client that trusts the usual authorities alone ends the connection: so would one with somebody in between."""
    with pytest.raises(ssl.SSLCertVerificationError):
        ask("/v1/fleet/pull-messages", context=ssl.create_default_context())
