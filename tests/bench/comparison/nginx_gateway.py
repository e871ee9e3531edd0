#!/usr/bin/env python3
"""The comparison gateway: nginx + Lua + Redis doing the same work per call, or the upstream behind both.

    nginx_gateway.py upstream --port 9000
    nginx_gateway.py gateway  --port 8002 --upstream 127.0.0.1:9000 --redis-port 6379
    nginx_gateway.py plain    --port 8003 --upstream 127.0.0.1:9000        # proxy_pass alone: the practical limit

Runs in the foreground until it is ended. Per call: hash the key and find its account, one script before (sliding window
and conditional hold), stream through, one script after (settle, usage event to a stream): the data path of the usual
gateways without their plugins. Needs Debian's nginx and libnginx-mod-http-lua.
"""

import argparse
import os
import pathlib
import socket
import tempfile
from typing import Final

HERE: Final = pathlib.Path(__file__).resolve().parent
ACCOUNTS: Final = 100
HEAD: Final = """
load_module /usr/lib/nginx/modules/ndk_http_module.so;
load_module /usr/lib/nginx/modules/ngx_http_lua_module.so;
worker_processes 1; daemon off; pid {folder}/pid; error_log {folder}/error.log warn; worker_rlimit_nofile 60000;
events {{ worker_connections 19000; multi_accept on; }}
http {{
  access_log off; keepalive_timeout 600s; keepalive_requests 1000000000; tcp_nodelay on; client_max_body_size 0;
  default_type application/json; client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
  lua_package_path "{here}/?.lua;/usr/share/lua/5.1/?.lua;;"; lua_socket_log_errors off;
  lua_max_pending_timers 20000; lua_max_running_timers 20000;
"""
UPSTREAM: Final = """
  server {{
    listen 127.0.0.1:{port} backlog=20000 reuseport;
    location = /slow {{ content_by_lua_block {{ ngx.sleep(5); ngx.print('{{"ok":true}}') }} }}
    location / {{ return 200 '{answer}'; }}
  }}
}}
"""
PROXY: Final = """
  upstream u {{ server {upstream}; keepalive 512; keepalive_requests 1000000000; }}
  server {{
    listen 127.0.0.1:{port} backlog=20000; proxy_http_version 1.1; proxy_set_header Connection "";
    proxy_buffering off; proxy_request_buffering off; proxy_read_timeout 120s;
"""
SCRIPTS: Final = """
  init_by_lua_block {{
    gw = require "gateway"; gw.init({{reserve = "{reserve}", settle = "{settle}", redis_port = {redis_port}}})
  }}
"""
GATEWAY: Final = """
    proxy_set_header Authorization "";
    location / {
      set $gid ''; set $gaccount '';
      access_by_lua_block { gw.access() } header_filter_by_lua_block { gw.headers() } log_by_lua_block { gw.log() }
      proxy_set_header X-Request-Id $gid; proxy_set_header X-Account-Id $gaccount; proxy_pass http://u;
    }
  }
}
"""
PLAIN: Final = "    location / { proxy_pass http://u; }\n  }\n}\n"


def ask_redis(port: int, *commands: tuple[object, ...]) -> str:
    """Sends commands; the text of the last reply. Stops at the first error."""
    line = b""
    with socket.create_connection(("127.0.0.1", port)) as connection:
        replies = connection.makefile("rb")
        for command in commands:
            parts = [str(part).encode() for part in command]
            packed = b"".join(b"$%d\r\n%b\r\n" % (len(part), part) for part in parts)
            connection.sendall(b"*%d\r\n" % len(parts) + packed)
            line = replies.readline()
            if line.startswith(b"-"):
                raise SystemExit(line.decode())
            if line.startswith(b"$"):
                line = replies.read(int(line[1:]) + 2)
    return line.strip().decode().lstrip("+")


def gateway(upstream: str, port: int, redis_port: int) -> str:
    """The configuration behind HEAD, with a hundred accounts that never run out."""
    ask_redis(redis_port, *(("HSET", f"{{o{k}}}:bal", "avail", 10**15, "held", 0) for k in range(1, ACCOUNTS + 1)))
    reserve, settle = (
        ask_redis(redis_port, ("SCRIPT", "LOAD", (HERE / f"{name}.lua").read_text())) for name in ("reserve", "settle")
    )
    scripts = SCRIPTS.format(reserve=reserve, settle=settle, redis_port=redis_port)
    return scripts + PROXY.format(upstream=upstream, port=port) + GATEWAY


def main() -> None:
    """Writes the configuration and becomes nginx."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["upstream", "gateway", "plain"])
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--upstream", default="127.0.0.1:9000")
    parser.add_argument("--redis-port", type=int, default=6379)
    chosen = parser.parse_args()
    folder = tempfile.mkdtemp(prefix="bench-nginx-")
    text = HEAD.format(folder=folder, here=HERE)
    match chosen.what:
        case "upstream":
            answer = '{"pipeline_id":"x","retrieval_nodes":[],"pad":"' + "x" * 960 + '"}'
            text += UPSTREAM.format(port=chosen.port, answer=answer)
        case "gateway":
            text += gateway(chosen.upstream, chosen.port, chosen.redis_port)
        case _:
            text += PROXY.format(upstream=chosen.upstream, port=chosen.port) + PLAIN
    path = pathlib.Path(folder, "nginx.conf")
    path.write_text(text)
    os.execvp("nginx", ["nginx", "-c", str(path), "-p", folder])  # noqa: S606, S607 - becoming nginx is the purpose


if __name__ == "__main__":
    main()
