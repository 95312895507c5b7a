"""The faults agent: injects a run's faults on its host, by its own clock, and undoes them."""
