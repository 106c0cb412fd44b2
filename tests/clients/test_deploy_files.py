"""What lies on disk of a deployment: keys that only their owner reads, a gateway that passes ten calls, invitations."""

from __future__ import annotations

import json
import shutil
import ssl
import stat
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from cranpm.clients.approval import app_folder, fingerprint
from cranpm.clients.deploy import Addresses, addresses, admit, make_coordinator, node_command, serving_commands
from cranpm.clients.gateway import CALLS, command, configuration
from cranpm.clients.invitation import Invitation, read_invitation, write_invitation
from cranpm.clients.joining import check_app
from cranpm.clients.keys import NODE_KEY, check_private, make_certificates, make_node_key
from cranpm.clients.quiet import SWITCHES, environment
from cranpm.clients.running import check_run
from cranpm.errors import CranpmError

INVITATION = Invitation(
    "india", "aq.example.org:8443", "-----BEGIN CERTIFICATE-----\n", "ab" * 32, "europe", "cd" * 32, "lora: {}\n"
)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("federation") / "coordinator"
    make_coordinator(folder, Addresses("localhost:8443", "127.0.0.1:8443", 8000))
    return folder


def test_private_keys_are_their_owners_alone(made: Path, tmp_path: Path):
    assert mode(made) == 0o700
    assert mode(made / "secrets" / "ca.key") == mode(made / "secrets" / "server.key") == 0o600
    public = make_node_key(tmp_path / "agency")
    assert mode(tmp_path / "agency" / NODE_KEY) == 0o600
    assert (tmp_path / "agency" / NODE_KEY).read_text().startswith("-----BEGIN OPENSSH PRIVATE KEY-----")
    assert public.read_text().startswith("ecdsa-sha2-nistp384 ")
    with pytest.raises(CranpmError, match="there already"):
        make_node_key(tmp_path / "agency")


def test_a_key_that_others_can_read_is_not_used(tmp_path: Path):
    make_node_key(tmp_path)
    (tmp_path / NODE_KEY).chmod(0o644)
    with pytest.raises(CranpmError, match="mode 0644, 0600 is expected: chmod 600"):
        check_private(tmp_path / NODE_KEY)
    with pytest.raises(CranpmError, match="mode 0644"):
        node_command(tmp_path, INVITATION, 9094)


def test_the_servers_certificate_is_signed_by_the_authority_and_names_the_host(tmp_path: Path):
    make_certificates(tmp_path, ["aq.example.org"])
    context = ssl.create_default_context(cafile=str(tmp_path / "ca.crt"))
    assert context.get_ca_certs()
    context.load_cert_chain(tmp_path / "server.crt", tmp_path / "server.key")
    done = subprocess.run(
        ["openssl", "verify", "-CAfile", tmp_path / "ca.crt", "-verify_hostname", "aq.example.org",
         tmp_path / "server.crt"], capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


def test_the_superlink_listens_on_loopback_with_node_authentication(made: Path):
    if shutil.which("nginx", path="/usr/sbin:/usr/bin") is None:
        pytest.skip("nginx is not installed")
    link, gateway = serving_commands(made)
    assert link[link.index("--host") + 1] == "127.0.0.1"
    assert "--enable-supernode-auth" in link and "--disable-runtime-dependency-installation" in link
    assert "--insecure" not in link
    checked = subprocess.run([*gateway, "-t"], capture_output=True, text=True)
    assert checked.returncode == 0, checked.stderr
    assert command(made)[0].endswith("nginx")


def test_the_gateway_knows_no_call_of_an_operator():
    text = configuration(Path("/srv/federation"), "0.0.0.0:8443", 8000)
    assert all(call in text for call in CALLS) and "control" not in text and "runtime" not in text
    assert "register" not in " ".join(CALLS), "a node without an admitted key must not register itself"
    assert "limit_except POST" in text and "client_max_body_size" in text and "location / { return 403; }" in text


def test_a_coordinator_is_not_made_twice(made: Path):
    assert addresses(made).address == "localhost:8443"
    with pytest.raises(CranpmError, match="holds a coordinator already"):
        make_coordinator(made, Addresses("localhost:1", "127.0.0.1:1", 1))
    with pytest.raises(CranpmError, match="host:port is expected"):
        make_coordinator(made.with_name("other"), Addresses("localhost", "127.0.0.1:1", 1))
    with pytest.raises(CranpmError, match="host:port is expected"):
        make_coordinator(made.with_name("other"), Addresses("localhost:1", "0.0.0.0:1; include /etc/passwd", 1))
    with pytest.raises(CranpmError, match="configuration cannot hold this path"):
        make_coordinator(made.with_name("of; ours"), Addresses("localhost:1", "127.0.0.1:1", 1))


def test_names_and_keys_are_looked_at_before_anyone_is_admitted(made: Path, tmp_path: Path):
    with pytest.raises(CranpmError, match=r"agency '\.\./x'"):
        admit(made, tmp_path / "key.pub", "../x", tmp_path / "i.json")
    (tmp_path / "key.pub").write_text("ssh-rsa AAAA")
    with pytest.raises(CranpmError, match="not a public key of `cranpm federate request`"):
        admit(made, tmp_path / "key.pub", "india", tmp_path / "i.json")


def test_an_invitation_survives_the_way_and_holds_no_secret(tmp_path: Path):
    write_invitation(tmp_path / "i.json", INVITATION)
    assert read_invitation(tmp_path / "i.json") == INVITATION
    assert "PRIVATE" not in (tmp_path / "i.json").read_text()


@pytest.mark.parametrize(
    "change",
    [{"agency": "../etc"}, {"address": "nowhere"}, {"address": "a b:1"}, {"app_sha256": "ab"}, {"schema_version": 2},
     {"more": "x"}, {"settings": 3}],
)  # fmt: skip
def test_an_invitation_that_was_tampered_with_is_refused(tmp_path: Path, change: dict):
    write_invitation(tmp_path / "i.json", INVITATION)
    values = json.loads((tmp_path / "i.json").read_text())
    (tmp_path / "i.json").write_text(json.dumps({**values, **change}))
    with pytest.raises(CranpmError):
        read_invitation(tmp_path / "i.json")


def test_the_apps_fingerprint_changes_with_the_app_and_with_nothing_else(tmp_path: Path):
    copy = tmp_path / "clients"
    shutil.copytree(app_folder(), copy, ignore=shutil.ignore_patterns("__pycache__"))
    assert fingerprint(copy) == fingerprint() == fingerprint()
    (copy / "agency.py").write_text("# cranpm changed, the app did not\n")
    assert fingerprint(copy) == fingerprint()
    path = copy / "flapp" / "client_app.py"
    path.write_text(path.read_text() + "# looks harmless\n")
    assert fingerprint(copy) != fingerprint()


def test_an_app_that_was_not_approved_is_refused_before_anything_starts():
    with pytest.raises(CranpmError, match="approve it with --approve FINGERPRINT"):
        check_app(INVITATION, "")
    check_app(INVITATION, INVITATION.app_sha256)
    check_app(replace(INVITATION, app_sha256=fingerprint()), "")


def test_telemetry_update_checks_and_installs_are_off_in_every_process():
    made = environment("/somewhere")
    assert {name: made[name] for name in SWITCHES} == SWITCHES
    assert made["FLWR_TELEMETRY_ENABLED"] == "0" and made["FLWR_DISABLE_UPDATE_CHECK"] == "1"


def test_a_run_begins_or_goes_on_as_asked(tmp_path: Path):
    (tmp_path / "federation.yaml").write_text("rounds: 2\n")
    check_run(tmp_path, resume=False)
    with pytest.raises(CranpmError, match="no round there to go on with"):
        check_run(tmp_path, resume=True)
