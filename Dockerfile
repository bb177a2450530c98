# One image for every process of ours: Airflow's components, the workers, the portal, the one-shot
# jobs. The official image with exactly the locked requirements (hashes checked) and this checkout's
# code in it, so that what runs is what was tested. Nothing is installed at start.
# docs/scale.md says how to build and name it; tests/deploy holds its version to requirements.txt.
ARG AIRFLOW_IMAGE=apache/airflow:slim-3.3.2-python3.11
ARG POSTGRES_IMAGE=postgres:18.4-bookworm

# pg_dump and pg_restore are the server's own, with what they are linked to but libc: a backup wants
# programs of the server's version, and those of the Python wheel speak no TLS.
FROM ${POSTGRES_IMAGE} AS postgres
USER root
RUN install -d /client/bin /client/lib \
 && for name in pg_dump pg_restore; do \
      real=$(readlink -f "$(command -v $name)") && install -m 0755 "$real" /client/lib/$name \
   && ldd "$real" | awk '$2 == "=>" && $3 ~ /^\// && $1 !~ /^(libc|libm|libpthread|libdl|librt)\.so/ {print $3}' \
      | xargs -r cp -L -n -t /client/lib \
   && printf '#!/bin/sh\nLD_LIBRARY_PATH=/opt/postgresql/lib exec /opt/postgresql/lib/%s "$@"\n' $name \
      > /client/bin/$name && chmod 0755 /client/bin/$name; \
    done

# python-ldap, for a log-in by LDAP (docs/people.md): it is in C and has no wheels. Built here where
# the image is built with LDAP=1, so that no compiler is in the image; else an empty directory.
FROM ${AIRFLOW_IMAGE} AS ldap
ARG LDAP=
USER root
COPY requirements-uv.txt requirements-ldap.txt /tmp/
RUN install -d /opt/ldap && if [ -n "$LDAP" ]; then \
      apt-get update -qq && apt-get install -qq -y --no-install-recommends gcc libc6-dev libldap-dev libsasl2-dev \
   && python -m venv /tmp/uv && /tmp/uv/bin/pip install --quiet --no-cache-dir --disable-pip-version-check \
        --require-hashes -r /tmp/requirements-uv.txt \
   && UV_PYTHON_DOWNLOADS=never /tmp/uv/bin/uv pip install --python "$(command -v python)" --target /opt/ldap \
        --no-cache --preview-features build-dependency-hashes --require-hashes --require-build-hashes \
        --build-constraints /tmp/requirements-ldap.txt -r /tmp/requirements-ldap.txt \
   && rm -rf /opt/ldap/setuptools* /opt/ldap/_distutils_hack /opt/ldap/distutils-precedence.pth; \
    fi

FROM ${AIRFLOW_IMAGE}

# An environment of its own, exactly the lock: what the official image has besides is not in it. It
# belongs to root, so that no process can change what it runs, and there is no pip in it.
USER root
COPY requirements.txt requirements-uv.txt /opt/reengage/
RUN python -m venv /tmp/uv && python -m venv --without-pip /opt/venv \
 && /tmp/uv/bin/pip install --quiet --no-cache-dir --disable-pip-version-check --require-hashes \
      -r /opt/reengage/requirements-uv.txt \
 && export VIRTUAL_ENV=/opt/venv UV_LINK_MODE=copy UV_PYTHON_DOWNLOADS=never \
 && /tmp/uv/bin/uv pip sync --no-cache --compile-bytecode --require-hashes /opt/reengage/requirements.txt \
 && /tmp/uv/bin/uv pip check && rm -rf /tmp/uv
COPY --from=ldap /opt/ldap /opt/ldap
# ldap-utils brings the libraries that it is linked to, whichever Debian this is.
ARG LDAP=
RUN if [ -n "$LDAP" ]; then \
      apt-get update -qq && apt-get install -qq -y --no-install-recommends ldap-utils \
   && rm -rf /var/lib/apt/lists/* \
   && echo /opt/ldap > "$(/opt/venv/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/ldap.pth" \
   && /opt/venv/bin/python -c 'import ldap'; \
    fi
COPY --from=postgres /client /opt/postgresql
ENV PATH=/opt/venv/bin:/opt/postgresql/bin:$PATH VIRTUAL_ENV=/opt/venv

COPY campaigns /opt/reengage/campaigns
COPY dags /opt/reengage/dags
COPY expectations /opt/reengage/expectations
COPY plugins /opt/reengage/plugins
COPY sql /opt/reengage/sql
COPY templates /opt/reengage/templates
COPY deploy/compose/vendors.dev.yaml /opt/reengage/deploy/vendors.dev.yaml
COPY docs/sample-agreement.txt /opt/reengage/docs/sample-agreement.txt
COPY jurisdictions.yaml practice.yaml vendors.yaml /opt/reengage/

# Empty directories with the owner that a new volume takes over; none is writable for others.
RUN install -d -m 0700 -o airflow -g root \
      /var/lib/reengage/keys /var/lib/reengage/journal /var/lib/reengage/checkpoints \
      /var/lib/reengage/archive /var/lib/reengage/returns /var/lib/reengage/mail \
      /var/lib/reengage/rehearsal /var/log/airflow /backups/dumps /backups/keys \
 && install -d -m 0750 -o airflow -g root \
      /tls/ca /tls/api-server /tls/portal /tls/postgres /tls/redis /tls/mail /tls/marquez /tls/jwt
USER airflow

# In a container everybody is the same user: who decides or looks is asked for (SEC-03).
ENV AIRFLOW_HOME=/opt/airflow \
    AIRFLOW__CORE__DAGS_FOLDER=/opt/reengage/dags \
    AIRFLOW__CORE__PLUGINS_FOLDER=/opt/reengage/plugins \
    PYTHONPATH=/opt/reengage/plugins \
    PYTHONDONTWRITEBYTECODE=1 \
    REENGAGE_HOME=/opt/reengage \
    REENGAGE_ACTOR_REQUIRED=true \
    CONNECTION_CHECK_MAX_COUNT=0
WORKDIR /opt/airflow
# A new minor version of Airflow changes its own entry point now and then; ours needs none of it.
ENTRYPOINT ["/usr/bin/dumb-init", "--"]
CMD ["airflow", "version"]
