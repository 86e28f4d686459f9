"""What Airflow sees of the platform: operators, and the factory that makes a DAG of each domain."""
