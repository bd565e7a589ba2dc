"""Pages inside Airflow's UI; they run in the API server."""
