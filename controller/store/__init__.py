"""What was applied and what is in progress: records, journal, events, lease. One protocol, several backends."""
