# One image: the server with the bundled demo. Build arguments of pip (PIP_INDEX_URL, PIP_EXTRA_INDEX_URL) choose the
# build of torch: point them at PyTorch's CPU index for an image without CUDA.
ARG PYTHON=3.13
FROM python:${PYTHON}-slim AS build
ARG PIP_INDEX_URL
ARG PIP_EXTRA_INDEX_URL
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
RUN python -m venv /opt/featurescope
WORKDIR /src
COPY constraints.txt ./
RUN /opt/featurescope/bin/pip install "$(grep '^torch==' constraints.txt)"
COPY pyproject.toml README.md LICENSE ./
COPY recipes/fetch_htmx.py recipes/build_hook.py recipes/
COPY app app
COPY templates templates
COPY static static
COPY demo demo
COPY docs/definitions.md docs/
RUN /opt/featurescope/bin/pip install -c constraints.txt .

FROM python:${PYTHON}-slim
RUN useradd --create-home --uid 10001 featurescope && mkdir /data && chown featurescope /data
COPY --from=build /opt/featurescope /opt/featurescope
ENV PATH=/opt/featurescope/bin:$PATH PYTHONUNBUFFERED=1 \
    FEATURESCOPE_DB=/data/featurescope.db FEATURESCOPE_HOST=0.0.0.0
# In a container the server listens beyond loopback, so it needs a rule for who may do what (docs/operations.md):
# everybody looks and nobody changes anything, until FEATURESCOPE_ACCESS=token or proxy says better.
ENV FEATURESCOPE_READ_ONLY=1
USER featurescope
WORKDIR /data
VOLUME /data
EXPOSE 8000
HEALTHCHECK --interval=30s --timeout=5s --start-period=300s \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/healthz', timeout=4)"]
CMD ["featurescope", "demo"]
