"""What the services need from the outside, as Protocols: `storage`, `vectors`, `models`, `files`, `work`."""
