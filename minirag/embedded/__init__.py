"""Postgres and Redis as supervised child processes, for running on one machine with nothing installed.

- `layout` says where things lie in the data directory, and lets one process at a time use it.
- `postgres` and `redis` are the two servers; `binaries` and `account` find what they run as.
- `children` starts and ends a child, `processes` finds those of an earlier life, `supervisor`
  starts again what dies.
- `launch` is the script that becomes the server: it must stay free of imports of this package.
- `platform_key` makes the platform key on first start.
- `node` runs all of it with the server and the worker in one process: `minirag up`.
- `available` checks this machine, for `minirag doctor`.

Start the servers from the main thread: on Linux a child is told to end when the *thread* that
started it ends.
"""
