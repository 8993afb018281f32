# One file, two images: `api` has no PyTorch, `worker` has.
#   docker build --target api .
#   docker build --target worker .

FROM python:3.11-slim AS ground
# The index of a smaller PyTorch (one for CPUs only, say) may be given at build time:
# pip reads a variable of this name.
ARG PIP_EXTRA_INDEX_URL
ENV HOME=/tmp \
    PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_NO_CACHE_DIR=1 \
    PIP_ROOT_USER_ACTION=ignore \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    FROSTLINE_DATA=/data
# A named volume takes over the owner of the folder it covers.
RUN groupadd --system --gid 10001 frostline \
    && useradd --system --uid 10001 --gid frostline --no-create-home frostline \
    && install --directory --owner frostline --group frostline /data
WORKDIR /app
# What a change of the code does not change: the dependencies come first.
COPY pyproject.toml README.md LICENSE ./


FROM ground AS api
RUN pip install --editable ".[api,import]"
COPY alembic.ini ./
COPY api api
COPY catalog catalog
COPY dashboard dashboard
COPY frostline frostline
COPY migrations migrations
COPY trainer trainer
COPY worker worker
USER 10001:10001
EXPOSE 8000
CMD ["python", "-m", "uvicorn", "api.app:app", "--host", "0.0.0.0", "--port", "8000"]


FROM ground AS worker
RUN pip install --editable ".[worker]"
COPY catalog catalog
COPY trainer trainer
COPY worker worker
USER 10001:10001
CMD ["python", "-m", "worker"]
