"""The RQ worker: thin jobs that take ids, the relay from Postgres to RQ, and the process around them."""
