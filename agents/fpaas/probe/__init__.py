"""The probe: samples of host, processes, NATS and clocks, and the seal of all files."""
