# A worker that executes notebooks: Isochrone beside a Python with Jupyter, at the versions that Isochrone is tested with.
#
#   docker build -f deploy/docker/notebook.Dockerfile -t isochrone-notebook:0.1.0 .
#
# What your notebooks import beside that goes into an image of your own, which is built on this one:
#   FROM isochrone-notebook:0.1.0
#   USER 0
#   RUN /opt/notebook/bin/pip install arcgis==2.4.4
#   USER 65532:65532
#
# The stage `build` is the same text in both files, so that the second build takes it from the cache.

# What compiles. With PREBUILT (a binary's path in this folder) any image will do, and nothing is compiled.
ARG BUILDER=rust:1.95.0-slim-bookworm
FROM ${BUILDER} AS build
ARG PREBUILT=
WORKDIR /source
COPY . .
RUN set -eu; mkdir -p /out/data; \
    if [ -n "$PREBUILT" ]; then cp "$PREBUILT" /out/isochrone; \
    else \
      cargo build --release --locked -p isochrone; \
      cp target/release/isochrone /out/; \
      rm -rf target; \
    fi; \
    chmod 0755 /out/isochrone

FROM python:3.12.12-slim-bookworm
LABEL org.opencontainers.image.title="Isochrone for notebooks" \
      org.opencontainers.image.description="Scheduled GIS work that provably ran: the worker of ExecuteNotebook" \
      org.opencontainers.image.licenses="Apache-2.0 OR MIT"
# bubblewrap isolates notebooks where the container may make namespaces (docs/containers.md); elsewhere Landlock does.
RUN apt-get update && apt-get install -y --no-install-recommends bubblewrap ca-certificates \
    && rm -rf /var/lib/apt/lists/*
COPY crates/executors/src/notebook/requirements.txt /opt/notebook/requirements.txt
RUN python3 -m venv /opt/notebook && /opt/notebook/bin/pip install --no-cache-dir -r /opt/notebook/requirements.txt
COPY --from=build /out/isochrone /usr/local/bin/isochrone
# A volume that is mounted here first belongs to the user below.
COPY --from=build --chown=65532:65532 /out/data /var/lib/isochrone
COPY --from=build --chown=65532:65532 /out/data /var/lib/isochrone-artifacts
# The same user as in the other image: they share the artifacts.
USER 65532:65532
WORKDIR /var/lib/isochrone
ENV ISOCHRONE__DATA_DIR=/var/lib/isochrone \
    ISOCHRONE__ARTIFACTS__DIR=/var/lib/isochrone-artifacts \
    ISOCHRONE__NOTEBOOK__PYTHON=/opt/notebook/bin/python \
    HOME=/var/lib/isochrone
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 CMD ["/usr/local/bin/isochrone", "healthcheck"]
ENTRYPOINT ["/usr/local/bin/isochrone"]
CMD ["worker", "--types", "ExecuteNotebook"]
