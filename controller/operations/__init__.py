"""The operations behind single commands: delete, retry, logs, wait, doctor."""
