"""Carry out one request of a person: delete, retry, logs, wait, doctor."""
