# The gateway with its locked dependencies. Build: docker build -t credit-gateway .

FROM python:3.11-slim AS build
WORKDIR /app
# First what changes rarely. dev.py installs from wheels only and checks every hash.
COPY dev.py pyproject.toml ./
COPY requirements requirements
RUN python dev.py setup
COPY gateway gateway
COPY config config
COPY docs/problems docs/problems
COPY LICENSE ./
# The running user may not write here, so the byte code is made now.
RUN .venv/bin/python -m compileall -q .venv/lib gateway

FROM python:3.11-slim
RUN useradd --system --uid 10001 --home-dir /data --shell /usr/sbin/nologin gateway \
    && install --directory --owner=gateway --group=gateway --mode=0700 /data
COPY --from=build /app /app
ENV PATH=/app/.venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    GATEWAY_CONFIG=/app/config/deploy/gateway.yaml \
    GATEWAY_DATA=/data
WORKDIR /app
USER gateway
# Only used where REDIS_URL or DATABASE_URL is empty.
VOLUME /data
EXPOSE 8080 8081
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s --retries=3 \
    CMD ["python", "-c", "import os, urllib.request as u; u.build_opener(u.ProxyHandler({})).open('http://127.0.0.1:' + os.environ.get('GATEWAY_PORT', '8080') + '/readyz', timeout=2)"]
ENTRYPOINT ["gateway"]
CMD ["serve"]
