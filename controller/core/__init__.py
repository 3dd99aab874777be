"""The pure core: graph, diff, plan and status. Code here knows nothing of AWS, time or files."""
