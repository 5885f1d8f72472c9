"""The gRPC face: `taskgate/v1/*.proto`, the generated package `taskgate.v1`, and the service behind it."""
