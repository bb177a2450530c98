# Stand-in for apache/airflow:slim where no image registry can be reached: Debian's Python, the same
# user, group, paths and entry point's programs. The locked requirements are installed by our own
# Dockerfile in any case, Airflow among them, so that what runs is the same.
FROM reengage-standin/debian:bookworm
RUN useradd --uid 50000 --gid 0 --create-home --shell /bin/bash airflow \
 && python3 -m venv /home/airflow/.local && install -d -o airflow -g 0 -m 0775 /opt/airflow \
 && chown -R airflow:0 /home/airflow
ENV PATH=/home/airflow/.local/bin:/usr/local/bin:/usr/bin:/bin AIRFLOW_HOME=/opt/airflow
USER airflow
