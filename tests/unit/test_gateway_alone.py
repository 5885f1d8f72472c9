"""The gateway runs where the workers' libraries are not installed."""

from __future__ import annotations

import subprocess
import sys

_CODE = """
import importlib, pkgutil, sys

BLOCKED = ("graphiti_core", "networkx", "numpy", "openai", "scipy", "sklearn", "workers", "deploy")

class Block:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in BLOCKED:
            raise ModuleNotFoundError(f"{name} is not installed", name=name)

sys.meta_path.insert(0, Block())
import gateway
names = [found.name for found in pkgutil.walk_packages(gateway.__path__, "gateway.")]
for name in names:
    # Run by hand in a checkout; it needs the compiler of protos.
    if name != "gateway.rpc.generate" and ".migrations" not in name:
        importlib.import_module(name)
print(len(names), [name for name in BLOCKED if name in sys.modules])
"""


def test_every_module_of_the_gateway_is_imported_without_them() -> None:
    done = subprocess.run([sys.executable, "-c", _CODE], capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
    count, _, loaded = done.stdout.strip().partition(" ")
    assert int(count) > 200
    assert loaded == "[]"
