"""Airflow shells around Wattline's collectors, gates, processors and storers."""
