"""What happens around every call: correlation, credentials, errors, the access log, draining."""
