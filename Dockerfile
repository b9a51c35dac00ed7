# One image for every process: `serve` (the default), `worker` and `migrate`.

FROM python:3.11.14-slim-bookworm AS build
WORKDIR /src
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore
# Without pip inside: the final stage gets this directory as it is.
RUN python -m venv --without-pip /opt/minirag
COPY requirements.lock requirements-dev.lock ./
RUN pip --python /opt/minirag/bin/python install --require-hashes --only-binary :all: -r requirements.lock
# The build backend and what it needs, by the same hashes that developers use.
RUN awk '/^[a-z]/ { keep = /^(hatchling|packaging|pathspec|pluggy|tomlkit|trove-classifiers)==/ } keep' \
      requirements-dev.lock > build.lock \
    && pip install --require-hashes --only-binary :all: -r build.lock
COPY pyproject.toml README.md LICENSE ./
COPY gen/python ./gen/python
COPY minirag ./minirag
COPY worker ./worker
RUN pip wheel --no-deps --no-build-isolation --no-index --wheel-dir /wheels ./gen/python . \
    && pip --python /opt/minirag/bin/python install --no-deps --no-index /wheels/*.whl

FROM python:3.11.14-slim-bookworm
RUN python -m pip uninstall --yes --quiet --root-user-action=ignore setuptools wheel pip \
    && groupadd --gid 10001 minirag \
    && useradd --uid 10001 --gid minirag --home-dir /var/lib/minirag --create-home --shell /usr/sbin/nologin minirag \
    && install -d -o minirag -g minirag -m 0700 /var/lib/minirag/blobs
COPY --from=build /opt/minirag /opt/minirag
ENV PATH=/opt/minirag/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
WORKDIR /var/lib/minirag
USER 10001:10001
EXPOSE 50051
STOPSIGNAL SIGTERM
# Of `serve`; a worker is asked by `python -m worker.healthcheck`.
HEALTHCHECK --interval=10s --timeout=5s --start-period=20s --retries=3 CMD ["python", "-m", "minirag.healthcheck"]
ENTRYPOINT ["minirag"]
CMD ["serve"]
