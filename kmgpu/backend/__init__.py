"""Arrays, devices, memory and threads: what the algorithm runs on."""
