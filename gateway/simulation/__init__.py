"""What a fleet would do with a workload: the gateway's own rules over a virtual clock."""
