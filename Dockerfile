# Airflow with Ghost Tracking's DAGs and package in it; see docker-compose.yaml.
FROM apache/airflow:3.3.2

# The image's own Airflow stays: pip may add to it, not replace it.
COPY requirements.txt /tmp/requirements.txt
RUN pip install --no-cache-dir "apache-airflow==${AIRFLOW_VERSION}" -r /tmp/requirements.txt

# Named volumes take their owner from these folders.
RUN mkdir -p /opt/airflow/vault /opt/airflow/state

COPY --chown=airflow:0 dags /opt/airflow/dags
COPY --chown=airflow:0 plugins /opt/airflow/plugins
COPY --chown=airflow:0 include /opt/airflow/include
