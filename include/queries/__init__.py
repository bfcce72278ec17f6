"""Ready questions to a vault, for analysts: DuckDB (`duckdb/*.sql`), polars and pandas. Nothing here needs Airflow."""
