#!/usr/bin/env python3
"""Runs the comparison gateway (nginx + Lua + Redis), or the plain upstream behind both, in the foreground until it is ended.

    nginx_gateway.py upstream --port 9000
    nginx_gateway.py gateway  --port 8002 --upstream 127.0.0.1:9000 --redis-port 6379
    nginx_gateway.py plain    --port 8003 --upstream 127.0.0.1:9000        # nginx proxy_pass alone: the practical limit

Needs Debian's nginx and libnginx-mod-http-lua. Pin it with taskset -c 0 and everything else with taskset -c 1.
"""

import argparse
import os
import pathlib
import socket
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
HEAD = """load_module /usr/lib/nginx/modules/ndk_http_module.so; load_module /usr/lib/nginx/modules/ngx_http_lua_module.so;
worker_processes 1; daemon off; pid {d}/pid; error_log {d}/error.log warn; worker_rlimit_nofile 60000;
events {{ worker_connections 19000; multi_accept on; }}
http {{ access_log off; keepalive_timeout 600s; keepalive_requests 1000000000; tcp_nodelay on; client_max_body_size 0; default_type application/json;
 client_body_temp_path {d}/body; proxy_temp_path {d}/proxy; lua_package_path "{here}/?.lua;/usr/share/lua/5.1/?.lua;;"; lua_socket_log_errors off;
 lua_max_pending_timers 20000; lua_max_running_timers 20000;
"""
PROXY = """ upstream u {{ server {upstream}; keepalive 512; keepalive_requests 1000000000; }}
 server {{ listen 127.0.0.1:{port} backlog=20000; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_buffering off; proxy_request_buffering off; proxy_read_timeout 120s;
"""
GATEWAY = """  proxy_set_header Authorization "";
  location / {{ set $gid ''; set $gaccount ''; access_by_lua_block {{ gw.access() }} header_filter_by_lua_block {{ gw.headers() }} log_by_lua_block {{ gw.log() }}
   proxy_set_header X-Request-Id $gid; proxy_set_header X-Account-Id $gaccount; proxy_pass http://u; }}
 }}
}}
"""


def redis(port, *commands):
    """Sends RESP commands, returns the last reply's text."""
    with socket.create_connection(("127.0.0.1", port)) as s:
        f = s.makefile("rb")
        for c in commands:
            parts = [str(x).encode() for x in c]
            s.sendall(b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%b\r\n" % (len(p), p) for p in parts))
            line = f.readline()
            if line.startswith(b"-"):
                raise SystemExit(line.decode())
            if line.startswith(b"$"):
                line = f.read(int(line[1:]) + 2)
    return line.strip().decode().lstrip("+")


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("what", choices=["upstream", "gateway", "plain"])
    p.add_argument("--port", type=int, required=True)
    p.add_argument("--upstream", default="127.0.0.1:9000")
    p.add_argument("--redis-port", type=int, default=6379)
    a = p.parse_args()
    d = tempfile.mkdtemp(prefix="bench-nginx-")
    conf = HEAD.format(d=d, here=HERE)
    if a.what == "upstream":
        answer = '{"pipeline_id":"x","retrieval_nodes":[],"pad":"' + "x" * 960 + '"}'
        conf += f""" server {{ listen 127.0.0.1:{a.port} backlog=20000 reuseport;
  location = /slow {{ content_by_lua_block {{ ngx.sleep(5); ngx.print('{{"ok":true}}') }} }}
  location / {{ return 200 '{answer}'; }} }} }}"""
    else:
        if a.what == "gateway":
            seed = [("HSET", f"{{o{k}}}:bal", "avail", 10**15, "held", 0) for k in range(1, 101)]
            redis(a.redis_port, *seed)
            sha = [
                redis(a.redis_port, ("SCRIPT", "LOAD", (HERE / f"{n}.lua").read_text())) for n in ("reserve", "settle")
            ]
            conf += f' init_by_lua_block {{ gw = require "gateway"; gw.init({{reserve = "{sha[0]}", settle = "{sha[1]}", redis_port = {a.redis_port}}}) }}\n'
        conf += PROXY.format(upstream=a.upstream, port=a.port)
        conf += GATEWAY.format() if a.what == "gateway" else "  location / { proxy_pass http://u; }\n }\n}\n"
    path = pathlib.Path(d, "nginx.conf")
    path.write_text(conf)
    os.execvp("nginx", ["nginx", "-c", str(path), "-p", d])


main()
