"""Wattline: energy telemetry. The product; it knows nothing of Airflow."""
