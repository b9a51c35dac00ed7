"""`python -m minirag` is the `minirag` command."""

from minirag.cli.main import run

if __name__ == "__main__":
    run()
