"""The only door to AWS: sessions, rate budgets, retries, the mapping of errors. Nothing else imports boto3."""
