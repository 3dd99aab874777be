"""The embedded ECS below its API: services, deployments and tasks, what to start and stop next, and who runs a task.

`rollout` and `health` decide and touch nothing; `scheduler` holds the state and carries decisions out; a runner
(`process` or `noop`) makes a task live. API operations are in `strict/ecs/`.
"""
