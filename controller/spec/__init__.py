"""What users write: the models, their checks and their schema. `load` alone reads YAML."""
