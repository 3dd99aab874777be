"""Write specs for existing objects: live objects are read, never changed, and described as a spec."""
