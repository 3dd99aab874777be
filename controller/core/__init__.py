"""Pure: the graph, the diff, the plan, the status. Nothing here knows AWS, time or files."""
