"""Training as in SageMaker: a container directory, an algorithm image run as a child process, and its artifact."""
