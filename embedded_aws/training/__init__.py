"""Training as in SageMaker: a container directory, an algorithm image that is a child process, and its artifact."""
