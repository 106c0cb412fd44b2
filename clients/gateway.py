"""The gateway: nginx before a SuperLink that listens on loopback alone.

Flower's SuperLink answers agencies and operators on one port, and knows no operator's login: whoever reaches it can
send code to every agency. The gateway passes the calls that a registered node makes, and nothing else.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from cranpm.errors import CranpmError
from cranpm.folders import write_whole

CALLS = (
    "activate-node", "deactivate-node", "send-node-heartbeat", "pull-messages", "push-messages", "get-run", "get-fab",
    "push-object", "pull-object", "confirm-message-received",
)  # fmt: skip
"""All that a node with a key calls; a node without one registers itself, which is not among them."""
BODY = "16m"
"""Largest request: Flower sends tensors in pieces of at most 5 MB."""
CONF = "nginx.conf"


def configuration(folder: Path, listen: str, superlink: int) -> str:
    """nginx's configuration.

    Args:
        folder: of the coordinator, absolute; nginx writes below it only.
        listen: address and port that agencies reach.
        superlink: the SuperLink's port on loopback.
    """
    home, keys = folder / "gateway", folder / "secrets"
    return f"""# Written by `cranpm federate init`. Start it with `cranpm federate serve`, or by your service manager:
#   nginx -p {home} -c {home / CONF}
daemon off;
pid {home}/nginx.pid;
error_log {home}/error.log warn;
worker_processes 1;
events {{ worker_connections 256; }}
http {{
  log_format bytes '$remote_addr [$time_iso8601] "$request" $status $request_length $bytes_sent';
  access_log {home}/access.log bytes;  # the last two: bytes that came and that were sent
  client_body_temp_path {home}/body;
  proxy_temp_path {home}/proxy;
  fastcgi_temp_path {home}/unused;
  uwsgi_temp_path {home}/unused;
  scgi_temp_path {home}/unused;
  server_tokens off;
  limit_req_zone $binary_remote_addr zone=each:1m rate=200r/s;
  limit_conn_zone $binary_remote_addr zone=open:1m;
  server {{
    listen {listen} ssl;
    ssl_certificate {keys}/server.crt;
    ssl_certificate_key {keys}/server.key;
    ssl_protocols TLSv1.2 TLSv1.3;
    client_max_body_size {BODY};
    client_body_buffer_size {BODY};  # updates stay in memory: nothing of an agency's is written to this disk
    proxy_max_temp_file_size 0;
    client_header_timeout 10s;
    client_body_timeout 30s;
    send_timeout 30s;
    keepalive_timeout 75s;
    limit_req zone=each burst=1000 nodelay;
    limit_conn open 64;
    error_page 502 504 =503 @away;  # a SuperLink that restarts: nodes wait and try again
    location ~ ^/v1/fleet/(?:{"|".join(CALLS)})$ {{
      limit_except POST {{ deny all; }}
      proxy_pass https://127.0.0.1:{superlink};
      proxy_ssl_trusted_certificate {keys}/ca.crt;
      proxy_ssl_verify on;
      proxy_ssl_name localhost;
      proxy_http_version 1.1;
      proxy_connect_timeout 5s;
      proxy_read_timeout 120s;
    }}
    location @away {{ return 503; }}
    location / {{ return 403; }}
  }}
}}
"""


def write_configuration(folder: Path, listen: str, superlink: int) -> Path:
    """Write `gateway/nginx.conf`."""
    home = folder / "gateway"
    for name in ("body", "proxy", "unused"):
        (home / name).mkdir(parents=True, exist_ok=True)
    write_whole(home / CONF, configuration(folder.resolve(), listen, superlink).encode())
    return home / CONF


def command(folder: Path) -> list[str]:
    """How the gateway is started.

    Raises:
        CranpmError: nginx is not installed.
    """
    program = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")
    if program is None:
        raise CranpmError("nginx is not installed, and a SuperLink without gateway is open to all: apt install nginx")
    home = folder.resolve() / "gateway"
    return [program, "-p", str(home), "-c", str(home / CONF), "-e", str(home / "error.log")]
