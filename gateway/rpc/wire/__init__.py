"""gRPC over HTTP/2 on asyncio (ADR 15): frames and headers, connections, calls, and the server around them."""
