"""Beside which Airflows the wheel is tried."""

VERSIONS = {"3.2.*": ["--exclude-newer", "2026-06-30"], "3.3.*": []}
"""An Airflow whose next minor version is out is installed with what was there then, as its constraints file would have
it: with the FastAPI of today a task of Airflow 3.2 cannot report."""
OLDEST = ["--exclude-newer", "2026-06-30", "--resolution", "lowest-direct"]
"""The first patch of Airflow 3.2, with the oldest version of each package that requirements.txt allows."""
