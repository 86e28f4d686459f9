# The platform's image: every service of docker-compose.yaml but PostgreSQL and Redis runs from it, as a user without rights.
FROM node:22-bookworm-slim AS page
WORKDIR /build/include/page
COPY include/page/package.json include/page/package-lock.json include/page/.npmrc ./
RUN npm ci --loglevel=error
COPY include/page ./
RUN npm run --silent build

FROM python:3.11-slim-bookworm

RUN useradd --system --uid 10001 --create-home --home-dir /home/interlock interlock \
    && install --directory --owner interlock --group interlock \
       /opt/interlock /var/lib/interlock /var/lib/interlock/landing /var/lib/interlock/state

WORKDIR /opt/interlock
USER interlock
ENV PATH=/opt/interlock/.venv/bin:$PATH \
    INTERLOCK_ROOT=/opt/interlock \
    INTERLOCK_STATE_DIR=/var/lib/interlock/state \
    AIRFLOW_HOME=/var/lib/interlock/state/airflow \
    INTERLOCK_LANDING_URL=/var/lib/interlock/landing

# The dependencies first: they change seldom, and their layer is kept. The installer comes by hash from a lock as well.
COPY --chown=interlock requirements.lock requirements.production.lock ./
RUN python -m venv .venv \
    && sed -n '/^uv==/,/[^\\]$/p' requirements.lock > /tmp/uv.txt \
    && pip install --no-cache-dir --require-hashes --requirement /tmp/uv.txt \
    && sed -n '/^hatchling==/,/[^\\]$/p;/^editables==/,/[^\\]$/p;/^trove-classifiers==/,/[^\\]$/p' requirements.lock > /tmp/build.txt \
    && uv pip install --no-cache --compile-bytecode --require-hashes --requirement requirements.production.lock \
    && uv pip install --no-cache --no-deps --require-hashes --requirement /tmp/build.txt

COPY --chown=interlock . .
COPY --from=page --chown=interlock /build/include/interlock/api/static include/interlock/api/static
RUN uv pip install --no-cache --no-deps --no-build-isolation --editable .

ENTRYPOINT ["interlock"]
CMD ["--help"]
