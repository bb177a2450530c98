# One image for every process of ours: Airflow's components, the workers, the portal, the one-shot
# jobs. The official image with exactly the locked requirements (hashes checked) and this checkout's
# code in it, so that what runs is what was tested. Nothing is installed at start.
# docs/scale.md says how to build and name it; tests/deploy holds its version to requirements.txt.
ARG AIRFLOW_IMAGE=apache/airflow:slim-3.3.2-python3.11
FROM ${AIRFLOW_IMAGE}

USER airflow
COPY --chown=airflow:0 requirements.txt /opt/reengage/requirements.txt
RUN pip install --no-cache-dir --disable-pip-version-check --require-hashes \
      -r /opt/reengage/requirements.txt \
 && pip check

COPY --chown=airflow:0 campaigns /opt/reengage/campaigns
COPY --chown=airflow:0 dags /opt/reengage/dags
COPY --chown=airflow:0 expectations /opt/reengage/expectations
COPY --chown=airflow:0 plugins /opt/reengage/plugins
COPY --chown=airflow:0 sql /opt/reengage/sql
COPY --chown=airflow:0 templates /opt/reengage/templates
COPY --chown=airflow:0 deploy/compose/vendors.dev.yaml /opt/reengage/deploy/vendors.dev.yaml
COPY --chown=airflow:0 docs/sample-agreement.txt /opt/reengage/docs/sample-agreement.txt
COPY --chown=airflow:0 jurisdictions.yaml practice.yaml vendors.yaml /opt/reengage/

USER root
# Empty directories with the owner that a new volume takes over; none is writable for others.
RUN install -d -m 0700 -o airflow -g root \
      /var/lib/reengage/keys /var/lib/reengage/journal /var/lib/reengage/checkpoints \
      /var/lib/reengage/archive /var/lib/reengage/returns /var/lib/reengage/mail \
      /var/lib/reengage/rehearsal /var/log/airflow \
 && install -d -m 0750 -o airflow -g root \
      /tls/ca /tls/api-server /tls/portal /tls/postgres /tls/redis /tls/mail /tls/marquez /tls/jwt
USER airflow

ENV AIRFLOW_HOME=/opt/airflow \
    AIRFLOW__CORE__DAGS_FOLDER=/opt/reengage/dags \
    AIRFLOW__CORE__PLUGINS_FOLDER=/opt/reengage/plugins \
    PYTHONPATH=/opt/reengage/plugins \
    PYTHONDONTWRITEBYTECODE=1 \
    REENGAGE_HOME=/opt/reengage \
    CONNECTION_CHECK_MAX_COUNT=0
WORKDIR /opt/airflow
# A new minor version of Airflow changes its own entry point now and then; ours needs none of it.
ENTRYPOINT ["/usr/bin/dumb-init", "--"]
CMD ["airflow", "version"]
