"""The probe: host, processes, NATS and clocks, sampled; and the seal of what was written."""
