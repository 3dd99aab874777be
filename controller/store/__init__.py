"""What was applied, and what is under way: records, journal, events, lease. One protocol, several homes."""
