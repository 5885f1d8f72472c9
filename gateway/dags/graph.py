"""Pure functions on the dependencies of nodes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

Needs = Mapping[str, Iterable[str]]


def find_cycles(needs: Needs) -> list[list[str]]:
    """One cycle for each knot of nodes that need each other, in the order in which they need each other."""
    return [_cycle_in(needs, knot) for knot in _knots(needs)]


def downstream_of(needs: Needs, stuck: Iterable[str]) -> set[str]:
    """The nodes that need one of these, directly or not, without being one."""
    followers: dict[str, list[str]] = {}
    for name, needed in needs.items():
        for one in needed:
            followers.setdefault(one, []).append(name)
    start = set(stuck)
    seen, rest = set(start), list(start)
    while rest:
        for follower in followers.get(rest.pop(), ()):
            if follower not in seen:
                seen.add(follower)
                rest.append(follower)
    return seen - start


def _knots(needs: Needs) -> list[list[str]]:
    """Strongly connected components of more than one node, or of one that needs itself (Tarjan, without recursion)."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    on_stack: set[str] = set()
    knots: list[list[str]] = []
    for root in needs:
        if root in index:
            continue
        work = [(root, iter(list(needs[root])))]
        index[root] = low[root] = len(index)
        stack.append(root)
        on_stack.add(root)
        while work:
            name, rest = work[-1]
            for other in rest:
                if other not in needs:
                    continue
                if other not in index:
                    index[other] = low[other] = len(index)
                    stack.append(other)
                    on_stack.add(other)
                    work.append((other, iter(list(needs[other]))))
                    break
                if other in on_stack:
                    low[name] = min(low[name], index[other])
            else:
                work.pop()
                if work:
                    low[work[-1][0]] = min(low[work[-1][0]], low[name])
                if low[name] == index[name]:
                    knot = []
                    while True:
                        member = stack.pop()
                        on_stack.discard(member)
                        knot.append(member)
                        if member == name:
                            break
                    if len(knot) > 1 or name in needs[name]:
                        knots.append(sorted(knot))
    return knots


def _cycle_in(needs: Needs, knot: list[str]) -> list[str]:
    members, path, seen = set(knot), [knot[0]], {knot[0]: 0}
    while True:
        following = next(name for name in needs[path[-1]] if name in members)
        if following in seen:
            return path[seen[following] :]
        seen[following] = len(path)
        path.append(following)
