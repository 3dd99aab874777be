"""The embedded ECS below its API: services, deployments, tasks, and the runners that execute tasks.

`rollout` and `health_check` decide and have no side effects. `scheduler` holds the state and carries decisions out. A
runner (`process_runner`, `docker_runner` or `noop_runner`) executes tasks. API operations are in `strict/ecs/`.
"""
