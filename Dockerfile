# The container image: the server with the local engines.
#
#   docker build -t celeste .
#   docker build -t celeste --build-arg FREE_WEIGHTS=1 .    # with all weights that have a free license
#   docker build -t celeste --build-arg PULL_MODELS="local/realesrgan-animevideov3" .
#
# docs/deploy.md tells how to run it. The wheels bring their own libraries. They need libstdc++ and zlib from the system, which every Debian image has.
ARG BASE=python:3.11-slim-bookworm

FROM ${BASE} AS build
# The build sees no git history, so the version is an argument.
ARG VERSION=0.1.0.dev0
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_NO_CACHE_DIR=1 \
    SETUPTOOLS_SCM_PRETEND_VERSION=${VERSION} \
    PATH=/opt/celeste/bin:${PATH}
WORKDIR /src
RUN python -m venv /opt/celeste
# Locked packages, as wheels only: pip resolves nothing and compiles nothing.
COPY requirements/local.lock requirements/local.lock
RUN pip install --no-deps --require-hashes --only-binary=:all: -r requirements/local.lock
# Our own wheel, built offline with the locked tools.
COPY LICENSE README.md pyproject.toml ./
COPY server server
RUN pip wheel --no-index --no-deps --no-build-isolation --wheel-dir dist . \
    && pip install --no-index --no-deps dist/*.whl
# Models whose weights go into the image: 1 for all with a free license, or names, separated by spaces. The default is
# none; `celeste models pull` gets them later.
ARG FREE_WEIGHTS=""
ARG PULL_MODELS=""
ENV CELESTE_MODELS_DIR=/models
RUN mkdir -p /models \
    && if [ -n "${FREE_WEIGHTS}" ]; then celeste models pull --free; fi \
    && for model in ${PULL_MODELS}; do celeste models pull "${model}" || exit 1; done

FROM ${BASE}
ARG VERSION=0.1.0.dev0
LABEL org.opencontainers.image.title="Celeste" \
    org.opencontainers.image.description="One gRPC contract for every image model" \
    org.opencontainers.image.licenses="Apache-2.0" \
    org.opencontainers.image.version="${VERSION}"
RUN groupadd --gid 10001 celeste \
    && useradd --uid 10001 --gid 10001 --create-home --shell /usr/sbin/nologin celeste \
    && install -d -m 0700 -o 10001 -g 10001 /data /run/celeste
COPY --from=build /opt/celeste /opt/celeste
COPY --from=build --chown=10001:10001 /models /models
# The address is for the commands inside the container, such as the health check: a Unix socket needs neither TLS nor a
# certificate.
ENV CELESTE_MODELS_DIR=/models \
    CELESTE_ADDRESS=unix:/run/celeste/celeste.sock \
    PATH=/opt/celeste/bin:${PATH} \
    PYTHONDONTWRITEBYTECODE=1
USER 10001:10001
WORKDIR /home/celeste
VOLUME /data
EXPOSE 50051
HEALTHCHECK --interval=30s --timeout=10s --start-period=20s CMD ["celeste", "health"]
ENTRYPOINT ["celeste"]
# Other machines reach 0.0.0.0, so the server wants `server.tls`, or CELESTE_SERVER__INSECURE=true in a trusted network.
CMD ["serve", "--listen", "0.0.0.0:50051", "--listen", "unix:/run/celeste/celeste.sock", "--store", "file:///data/artifacts"]
