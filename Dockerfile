# Wattline on the official Airflow image: its pinned libraries, its code, and nothing that is secret.
#
# The slim variant comes without the sixty providers of the full one, so that requirements.txt alone says what is
# installed, here as on a developer's machine.
FROM apache/airflow:slim-3.3.2-python3.11

USER root
# mysqlclient is compiled; git, docs and the like stay out.
RUN apt-get update \
    && apt-get install -y --no-install-recommends build-essential libmariadb-dev pkg-config \
    && apt-get clean \
    && rm -rf /var/lib/apt/lists/*
USER airflow

WORKDIR /opt/airflow
COPY --chown=airflow:0 requirements.txt ./
RUN pip install --no-cache-dir -r requirements.txt

COPY --chown=airflow:0 pyproject.toml requirements.in README.md LICENSE airflow.cfg ./
COPY --chown=airflow:0 config ./config
COPY --chown=airflow:0 docker ./docker
COPY --chown=airflow:0 include ./include
COPY --chown=airflow:0 plugins ./plugins
COPY --chown=airflow:0 dags ./dags
# Editable, so that a folder mounted over include/ is what runs; data/ is made here so that a new volume is airflow's.
RUN pip install --no-cache-dir --no-deps --editable . && mkdir --mode=0770 data

ENV PYTHONPATH=/opt/airflow/include:/opt/airflow/plugins
ENV WATTLINE_DATA_DIR=/opt/airflow/data
