# Two images of one server:
#   docker build -t featurescope .                    everything: index, live texts, browsing; torch for CPUs
#   docker build -t featurescope:browse --target browse .   browsing alone: no torch, no models
#
# Another torch: --build-arg TORCH_INDEX=... takes the package index of any of PyTorch's builds (its "Get started"
# page names them), such as https://download.pytorch.org/whl/cu130 for CUDA 13.0.

# Debian 13 with Python 3.13, by the digest of its list of platforms: the same bytes wherever it is built. To move on:
# docker buildx imagetools inspect python:3.13-slim-trixie
ARG BASE=docker.io/library/python:3.13-slim-trixie@sha256:9d2e5553305c7c7b0097999bb17187c69b921ccd6bc9d40e4bb5ebe652c00285

FROM ${BASE} AS browse-build
# Where pip looks, where that is not PyPI.
ARG PIP_INDEX_URL
ARG PIP_EXTRA_INDEX_URL
ARG PIP_FIND_LINKS
ARG PIP_CERT
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore
# pip stays in an environment of its own, which no image keeps.
RUN python3 -m venv /opt/tools && python3 -m venv --without-pip /opt/featurescope
WORKDIR /src
COPY constraints.txt pyproject.toml ./
COPY recipes/requirements.py recipes/
RUN python3 recipes/requirements.py browse > /tmp/browse.txt \
 && /opt/tools/bin/pip --python /opt/featurescope/bin/python3 install -c constraints.txt -r /tmp/browse.txt
COPY README.md LICENSE ./
COPY recipes/fetch_htmx.py recipes/build_hook.py recipes/
COPY app app
COPY templates templates
COPY static static
COPY demo demo
COPY docs/definitions.md docs/
RUN /opt/tools/bin/pip wheel --no-deps --wheel-dir /tmp/wheels . \
 && /opt/tools/bin/pip --python /opt/featurescope/bin/python3 install --no-deps /tmp/wheels/*.whl

# Without numpy's tests and tools for building, the demo's model, and bytecode but of what a server loads.
FROM browse-build AS browse-slim
RUN cd /opt/featurescope/lib/python3*/site-packages \
 && rm -rf numpy/f2py numpy/distutils app/bundled/demo/model app/bundled/demo/sae* \
 && find numpy -type d -name tests -prune -exec rm -r {} + \
 && find . -name '*.pyi' -delete \
 && find . -type d -name __pycache__ -prune -exec rm -r {} + \
 && /opt/featurescope/bin/python3 -c 'import app.__main__, app.listening, alembic.command, psycopg'

FROM browse-build AS full-build
ARG PIP_INDEX_URL
ARG PIP_EXTRA_INDEX_URL
ARG PIP_FIND_LINKS
ARG PIP_CERT
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
RUN /opt/tools/bin/pip --python /opt/featurescope/bin/python3 install --no-deps \
      ${TORCH_INDEX:+--index-url "$TORCH_INDEX"} "$(grep '^torch==' constraints.txt)" \
 && python3 recipes/requirements.py all > /tmp/all.txt \
 && /opt/tools/bin/pip --python /opt/featurescope/bin/python3 install -c constraints.txt -r /tmp/all.txt

FROM ${BASE} AS server
RUN useradd --create-home --uid 10001 featurescope && mkdir /data && chown featurescope /data
# Everything that is written goes to /data (and /tmp), so that the rest can be read-only.
ENV PATH=/opt/featurescope/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 \
    FEATURESCOPE_DB=/data/featurescope.db FEATURESCOPE_HOST=0.0.0.0 HF_HOME=/data/huggingface
# In a container the server listens beyond loopback, so it needs a rule for who may do what (docs/operations.md):
# everybody looks and nobody changes anything, until FEATURESCOPE_ACCESS=token or proxy says better.
ENV FEATURESCOPE_READ_ONLY=1
USER featurescope
WORKDIR /data
VOLUME /data
EXPOSE 8000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=5s --start-period=300s \
    CMD ["python3", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/readyz', timeout=4)"]
ENTRYPOINT ["featurescope"]

FROM server AS browse
COPY --from=browse-slim /opt/featurescope /opt/featurescope
CMD ["serve", "--no-model"]

FROM server AS full
COPY --from=full-build /opt/featurescope /opt/featurescope
CMD ["demo"]
