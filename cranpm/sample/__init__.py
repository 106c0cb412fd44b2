"""The sample world: a simulator that stands in for the providers where none can be reached."""
