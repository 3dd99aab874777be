# The inference server, without a model: `image.base` of a ModelService may name what this builds, pinned by its digest,
# and then a model is one more layer. docs/explanation/image.md tells how it is built; no BuildKit frontend has to be fetched.
ARG BASE_IMAGE=public.ecr.aws/docker/library/python:3.11-slim@sha256:9c900dea9e8fb7e16277c179b555cc72d29a352dbc33cff48ad5a0412fd5bfc7

FROM ${BASE_IMAGE} AS dependencies
COPY inference_server/requirements.lock /build/
# Which index, and whose certificates, is the builder's business: both are secrets, there for this one command.
RUN --mount=type=secret,id=pip,target=/run/secrets/pip.conf --mount=type=secret,id=ca,target=/run/secrets/ca.pem \
    python -m venv /build/venv \
    && PIP_CONFIG_FILE=/run/secrets/pip.conf PIP_DISABLE_PIP_VERSION_CHECK=1 \
       $(test -s /run/secrets/ca.pem && echo env PIP_CERT=/run/secrets/ca.pem) \
       /build/venv/bin/python -m pip install --quiet --no-cache-dir --no-compile --no-deps --only-binary :all: \
       --require-hashes --requirement /build/requirements.lock --target /opt/moorage/lib
COPY inference_server /opt/moorage/lib/inference_server
# Of XGBoost the server calls the library alone; sources and stubs are for compilers.
RUN cd /opt/moorage/lib && rm -rf bin \
    && find xgboost -mindepth 1 -maxdepth 1 ! -name lib -exec rm -r {} + \
    && find . -depth \( -name __pycache__ -o -name '*.py[cix]' -o -name '*.pxd' -o -name '*.[ch]' \) -exec rm -r {} + \
    && chmod -R u=rwX,go=rX .

FROM ${BASE_IMAGE}
ARG VERSION=0
ARG REVISION=
ARG BASE_IMAGE
COPY --from=dependencies /opt/moorage /opt/moorage
ENV PYTHONPATH=/opt/moorage/lib PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
LABEL dev.moorage.server="${VERSION}" \
      org.opencontainers.image.title="Moorage inference server" \
      org.opencontainers.image.description="Serves one XGBoost model bundle over HTTP" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.base.name="${BASE_IMAGE}"
USER 65532:65532
WORKDIR /
EXPOSE 8080
STOPSIGNAL SIGTERM
HEALTHCHECK --start-period=30s CMD ["python", "-m", "inference_server.health", "--url", "http://127.0.0.1:8080/livez"]
ENTRYPOINT ["python", "-m", "inference_server"]
CMD ["--model-dir", "/opt/model", "--host", "0.0.0.0", "--port", "8080"]
