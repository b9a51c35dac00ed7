"""A text of a gigabyte on its way through a server and a worker, and the memory that it takes."""
