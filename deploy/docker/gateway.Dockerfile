# The gateway: `docker build -f deploy/docker/gateway.Dockerfile .` at the top of the checkout.

FROM node:20.20-bookworm-slim AS console
WORKDIR /console
COPY gateway/console/package.json gateway/console/package-lock.json gateway/console/.npmrc ./
RUN npm ci
COPY gateway/console ./
RUN npm run build

FROM python:3.11.14-slim-bookworm AS build
WORKDIR /src
RUN python -m venv /opt/taskgate
COPY deploy/docker/gateway.lock ./
RUN /opt/taskgate/bin/pip install --no-cache-dir --require-hashes -r gateway.lock
COPY pyproject.toml README.md taskgate_command.py ./
COPY backends ./backends
COPY gateway ./gateway
COPY --from=console /console/dist ./gateway/console/dist
COPY workers ./workers
RUN /opt/taskgate/bin/pip install --no-cache-dir --no-deps --no-build-isolation .

FROM python:3.11.14-slim-bookworm
RUN groupadd --system --gid 10001 taskgate \
    && useradd --system --uid 10001 --gid taskgate --no-create-home --shell /usr/sbin/nologin taskgate \
    && install --directory --owner=taskgate --group=taskgate /var/lib/taskgate
COPY --from=build /opt/taskgate /opt/taskgate
ENV PATH=/opt/taskgate/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    TASKGATE_HTTP_HOST=0.0.0.0 \
    TASKGATE_GRPC_HOST=0.0.0.0
# The flag file, when flags come from a file.
VOLUME /var/lib/taskgate
USER 10001:10001
EXPOSE 8080 50051
HEALTHCHECK --interval=5s --timeout=3s --start-period=20s --retries=5 \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8080/health', timeout=2)"]
ENTRYPOINT ["taskgate"]
CMD ["serve"]
