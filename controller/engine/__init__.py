"""Run passes: the dispatcher, its work queue, the control loop, single runs, metrics and HTTP endpoints."""
