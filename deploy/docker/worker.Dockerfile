# A worker of one backend: `docker build -f deploy/docker/worker.Dockerfile .` at the top of the checkout.

FROM python:3.11.14-slim-bookworm AS build
WORKDIR /src
RUN python -m venv /opt/taskgate
COPY deploy/docker/worker.lock ./
RUN /opt/taskgate/bin/pip install --no-cache-dir --require-hashes -r worker.lock
COPY pyproject.toml README.md taskgate_command.py ./
COPY backends ./backends
COPY gateway ./gateway
COPY workers ./workers
COPY deploy/__init__.py ./deploy/
COPY deploy/demo ./deploy/demo
RUN /opt/taskgate/bin/pip install --no-cache-dir --no-deps --no-build-isolation .

FROM python:3.11.14-slim-bookworm
RUN groupadd --system --gid 10001 taskgate \
    && useradd --system --uid 10001 --gid taskgate --no-create-home --shell /usr/sbin/nologin taskgate \
    && install --directory --owner=taskgate --group=taskgate /run/taskgate /var/lib/taskgate
COPY --from=build /opt/taskgate /opt/taskgate
ENV PATH=/opt/taskgate/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    GRAPHITI_TELEMETRY_ENABLED=false \
    TASKGATE_READY_FILE=/run/taskgate/ready
USER 10001:10001
# The worker makes this file once it polls.
HEALTHCHECK --interval=5s --timeout=3s --start-period=20s --retries=5 CMD ["test", "-f", "/run/taskgate/ready"]
ENTRYPOINT ["taskgate", "worker"]
CMD ["--backend", "temporal"]
