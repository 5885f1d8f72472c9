"""What a Redis server says of itself (`INFO`)."""

from __future__ import annotations

from dataclasses import dataclass

_KEEPS = "noeviction"


@dataclass(frozen=True, slots=True)
class RedisServer:
    """`eviction_policy` takes effect once a limit of memory is set."""

    version: str
    eviction_policy: str
    memory_limit: int

    @classmethod
    def of(cls, info: str) -> RedisServer:
        """From the answer to `INFO`."""
        lines = (line.partition(":") for line in info.splitlines())
        found = {name: value.strip() for name, sign, value in lines if sign}
        return cls(
            found.get("redis_version", "0"),
            found.get("maxmemory_policy", _KEEPS),
            int(found.get("maxmemory", "0")),
        )

    @property
    def version_numbers(self) -> tuple[int, ...]:
        """`7.0.15` as (7, 0, 15)."""
        return tuple(int(part) for part in self.version.split(".") if part.isdigit())

    @property
    def evicts(self) -> bool:
        """Whether it drops keys, and so tasks, when its memory is full."""
        return self.memory_limit > 0 and self.eviction_policy != _KEEPS
