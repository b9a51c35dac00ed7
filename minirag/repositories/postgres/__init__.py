"""The relational store on Postgres: `unit_of_work.PostgresUnitOfWorkFactory` and what it is made of.

`engine` opens connections, `transaction` runs statements in one transaction, `failures` turns what goes
wrong into `minirag.errors`, `tables` names the columns; each aggregate has its module of queries.
"""
